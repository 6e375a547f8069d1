"""Servers that never end: each exchange has a deadline, and each body a size."""

import gzip
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from regctl import errors
from regctl.cluster import client as cluster_client
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import SECRETS
from regctl.registry import pagination
from regctl.registry.request import Request
from tests.cli import COMMAND, run
from tests.conftest import Servers
from tests.registry import CI, PLAIN, connect
from tests.servers.hostile import MIB, OK, document, hostile_server, whole

# Every 20 ms a piece, for half a minute: no read waits long, and all of them are never over.
_PAUSE = 0.02
_PIECES = 1500


def drip(begin: bytes, piece: bytes) -> Iterator[bytes]:
    yield begin
    yield from itertools.repeat(piece, _PIECES)


DRIPS = {
    "headers": (b"HTTP/1.1 200 OK\r\nX-A: ", b"x"),
    "a body": (OK + b"Content-Length: 9999\r\n\r\n", b" "),
    "a body without an end": (OK + b"\r\n", b" "),
    "a size of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: y\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an error": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9999\r\n\r\n", b" "),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_registry_that_drips_is_given_up(serve: Servers, name: str) -> None:
    server = serve(hostile_server(lambda _head: drip(*DRIPS[name]), pause=_PAUSE))
    result = run("catalog", server.host, "--plain-http", "--timeout", "0.3s")
    assert result.exit_code == 1
    assert "no response in time" in result.stderr
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("ping", "HOST"),
        ("login", "HOST", "--username", "ci", "--password-stdin"),
        ("tags", "HOST/a"),
        ("image", "inspect", "HOST/a:1"),
        ("image", "delete", "HOST/a:1", "--yes"),
        ("image", "prune", "HOST/a", "--keep-last", "1", "--yes"),
        ("doctor", "HOST"),
    ],
    ids="-".join,
)
def test_timeout_ends_every_command_at_a_registry(serve: Servers, words: tuple[str, ...]) -> None:
    server = serve(hostile_server(lambda _head: drip(*DRIPS["headers"]), pause=_PAUSE))
    words = tuple(word.replace("HOST", server.host) for word in words)
    result = run(*words, "--plain-http", "--timeout", "0.3s", stdin="hunter2\n")
    assert result.exit_code == 1
    assert "no response in time" in result.output + result.stderr


def test_a_tls_handshake_that_drips_is_given_up(serve: Servers) -> None:
    hello = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # a record of 16 KiB, which never ends
    server = serve(hostile_server(lambda _head: drip(hello, b"\0"), pause=_PAUSE))
    result = run("catalog", server.host, "--timeout", "0.3s")
    assert result.exit_code == 1
    assert "no response in time" in result.stderr
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", DRIPS)
def test_an_api_server_that_drips_is_given_up(serve: Servers, tmp_path: Path, name: str) -> None:
    server = serve(hostile_server(lambda _head: drip(*DRIPS[name]), pause=_PAUSE))
    words = ("secret", "list", "-n", "team-a", "--kubeconfig", server.kubeconfig(tmp_path))
    result = run(*words, "--timeout", "0.3s")
    assert result.exit_code == 1
    assert "timed out" in result.stderr
    assert len(server.requests) == 1


def test_redirects_and_challenges_share_the_deadline_of_their_request(serve: Servers) -> None:
    """Each response comes in time, and all of them do not."""

    def respond(_head: bytes) -> Iterable[bytes]:
        location = b"Location: /v2/%d\r\n" % len(server.requests)
        return (*(b"" for _ in range(8)), whole(b"", location, b"HTTP/1.1 307 Again"))

    server = serve(hostile_server(respond, pause=0.05))
    result = run("tags", f"{server.host}/a", "--plain-http", "--timeout", "0.6s")
    assert result.exit_code == 1
    assert "no response in time" in result.stderr
    assert 1 <= len(server.requests) < 5


def test_a_blob_that_drips_is_given_up(serve: Servers) -> None:
    begin = OK + b"Content-Length: 999999\r\n\r\n"
    server = serve(hostile_server(lambda _head: drip(begin, b"x"), pause=_PAUSE))
    client = connect(server.host, CI, PLAIN.within(0.3))
    with pytest.raises(errors.RegistryUnreachableError, match="no response in time"):
        client.blob("a", f"sha256:{'0' * 64}")
    assert len(server.requests) == 1
