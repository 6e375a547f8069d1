"""Servers that never end: each exchange has a deadline, and each body a size."""

import base64
import io
import itertools
import json
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from subprocess import DEVNULL
from urllib.parse import parse_qsl, urlsplit

import pytest

from regctl import errors
from regctl.cluster import client as cluster_client
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import SECRETS
from regctl.cluster.status import Status
from regctl.registry import pagination
from regctl.registry.request import Request
from regctl.registry.session import Callbacks
from regctl.retry import Backoff
from tests.cli import COMMAND, run
from tests.conftest import Servers
from tests.registry import CI, PLAIN, connect
from tests.servers.certificates import make_certificate
from tests.servers.hostile import MIB, OK, document, hostile_server, whole

# Every 20 ms a piece, for half a minute: no read waits long, and all of them are never over. The
# number of requests says that none is repeated; on a busy machine the server may not see the first.
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
    assert len(server.requests) <= 1


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
    assert len(server.requests) <= 1


@pytest.mark.parametrize("name", DRIPS)
def test_an_api_server_that_drips_is_given_up(serve: Servers, tmp_path: Path, name: str) -> None:
    server = serve(hostile_server(lambda _head: drip(*DRIPS[name]), pause=_PAUSE))
    words = ("secret", "list", "-n", "team-a", "--kubeconfig", server.kubeconfig(tmp_path))
    result = run(*words, "--timeout", "0.3s")
    assert result.exit_code == 1
    assert "timed out" in result.stderr
    assert len(server.requests) <= 1


def test_redirects_and_challenges_share_the_deadline_of_their_request(serve: Servers) -> None:
    """Each response comes in time, and all of them do not."""

    def respond(_head: bytes) -> Iterable[bytes]:
        location = b"Location: /v2/%d\r\n" % len(server.requests)
        return (*(b"" for _ in range(8)), whole(b"", location, b"HTTP/1.1 307 Again"))

    server = serve(hostile_server(respond, pause=0.05))
    result = run("tags", f"{server.host}/a", "--plain-http", "--timeout", "0.6s")
    assert result.exit_code == 1
    assert "no response in time" in result.stderr
    assert len(server.requests) < 5


@pytest.mark.parametrize("name", ["headers", "a body"])
def test_a_registry_that_drips_over_tls_is_given_up(
    serve: Servers, tmp_path: Path, name: str
) -> None:
    certificate = make_certificate(tmp_path)
    server = serve(
        hostile_server(lambda _head: drip(*DRIPS[name]), pause=_PAUSE, certificate=certificate)
    )
    result = run("catalog", server.host, "--ca-file", certificate.ca_file, "--timeout", "0.5s")
    assert result.exit_code == 1
    assert "no response in time" in result.stderr
    assert len(server.requests) <= 1


def test_a_proxy_that_drips_is_given_up(serve: Servers) -> None:
    server = serve(hostile_server(lambda _head: drip(*DRIPS["headers"]), pause=_PAUSE))
    environment = {"HTTP_PROXY": f"http://{server.host}"}
    words = ("catalog", "registry.foo.com", "--plain-http", "--timeout", "0.3s")
    result = run(*words, env=environment)
    assert result.exit_code == 1
    assert "no response in time" in result.stderr
    assert set(server.requests) <= {b"GET http://registry.foo.com/v2/_catalog?n=1000 HTTP/1.1"}


def test_an_upload_to_a_registry_that_reads_nothing_is_given_up(serve: Servers) -> None:
    server = serve(hostile_server(lambda _head: drip(b"", b""), pause=_PAUSE))
    client = connect(server.host, CI, PLAIN.within(0.3))
    body = io.BytesIO(bytes(64 * MIB))
    with pytest.raises(errors.RegistryUnreachableError, match="no response in time"):
        client.send(Request("PATCH", "/v2/a/blobs/uploads/x", "cannot upload", body=body))
    assert body.tell() == 0
    assert len(server.requests) <= 1


def test_a_blob_that_drips_is_given_up(serve: Servers) -> None:
    begin = OK + b"Content-Length: 999999\r\n\r\n"
    server = serve(hostile_server(lambda _head: drip(begin, b"x"), pause=_PAUSE))
    client = connect(server.host, CI, PLAIN.within(0.3))
    with pytest.raises(errors.RegistryUnreachableError, match="no response in time"):
        client.blob("a", f"sha256:{'0' * 64}")
    assert len(server.requests) <= 1


def bomb(piece: bytes, size: int) -> bytes:
    """Return *piece* again and again up to *size* bytes, compressed."""
    packer = zlib.compressobj(wbits=31)
    many = piece * (MIB // len(piece))
    rounds = size // len(many)
    return b"".join([*(packer.compress(many) for _ in range(rounds)), packer.flush()])


@pytest.fixture(scope="module")
def blanks() -> bytes:
    """A response of 300 KiB, which are 300 MiB of blanks."""
    return whole(bomb(b" ", 300 * MIB), b"Content-Encoding: gzip\r\n")


def run_in_little_memory(
    *words: str | Path, mebibytes: int = 400
) -> subprocess.CompletedProcess[str]:
    """Run `regctl WORDS` with so much address space; Python and its modules take 150 MiB."""
    limit = ("sh", "-c", f'ulimit -v {mebibytes * 1024}; exec "$@"', "sh")
    line = [*limit, *COMMAND, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, stdin=DEVNULL)


@pytest.mark.parametrize("command", ["catalog", "tags"])
def test_a_page_of_a_list_has_four_mebibytes_of_json(
    serve: Servers, blanks: bytes, command: str
) -> None:
    server = serve(hostile_server(lambda _head: [blanks]))
    result = run_in_little_memory(command, f"{server.host}/a", "--plain-http")
    assert result.returncode == 1
    assert "the response is longer than 4 MiB" in result.stderr
    assert "1000 names a page" in result.stderr
    assert len(server.requests) == 1


def test_a_page_of_small_values_fits_in_little_memory(serve: Servers) -> None:
    """An object of seven bytes takes two hundred in memory."""
    body = b'{"repositories":[%s""]}' % (b'{"":0},' * (4 * MIB // 7 - 10))
    server = serve(hostile_server(lambda _head: [whole(body)]))
    result = run_in_little_memory("catalog", server.host, "--plain-http")
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (b"HTTP/1.1 500 Error", "answers 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html", "it sends a web page"),
    ],
)
def test_of_an_endless_text_the_beginning_is_read(
    serve: Servers, status: bytes, message: str
) -> None:
    begin = status + b"\r\nConnection: close\r\n\r\n"
    server = serve(
        hostile_server(lambda _head: itertools.chain([begin], itertools.repeat(b"<p>" * 9999)))
    )
    with pytest.raises(errors.RegctlError, match=message):
        connect(server.host, CI).ping()
    assert len(server.requests) == (3 if b"500" in status else 1)


def test_a_page_of_the_api_server_that_is_too_long_is_requested_with_fewer_objects(
    serve: Servers, tmp_path: Path
) -> None:
    """Large Secrets of one tenant do not end the list of all others."""
    total, large = 40, "x" * MIB

    def respond(head: bytes) -> list[bytes]:
        query = dict(parse_qsl(urlsplit(head.split()[1].decode()).query))
        first = int(query.get("continue", 0))
        last = min(total, first + int(query["limit"]))
        items = [{"metadata": {"name": str(n)}, "data": large} for n in range(first, last)]
        more = {"continue": str(last)} if last < total else {}
        return [document({"items": items, "metadata": more})]

    server = serve(hostile_server(respond))
    found = Cluster(Kubeconfig({}, server.kubeconfig(tmp_path))).list(SECRETS)
    assert [item["metadata"]["name"] for item in found] == [str(n) for n in range(total)]
    limits = [head.split(b"limit=")[1].split()[0].split(b"&")[0] for head in server.requests]
    assert limits == [b"2000", b"250", b"31", *[b"3"] * 14]


def test_a_page_of_the_api_server_that_is_always_too_long_is_an_error(
    serve: Servers, blanks: bytes, tmp_path: Path
) -> None:
    server = serve(hostile_server(lambda _head: [blanks]))
    kubeconfig = server.kubeconfig(tmp_path)
    result = run_in_little_memory("secret", "list", "-n", "a", "--kubeconfig", kubeconfig)
    assert result.returncode == 1
    assert "cannot list secrets in namespace a" in result.stderr
    assert "longer than 6 MiB" in result.stderr
    assert len(server.requests) == 5


def test_of_an_endless_error_of_the_api_server_the_beginning_is_read(
    serve: Servers, tmp_path: Path
) -> None:
    begin = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n"
    server = serve(
        hostile_server(lambda _head: itertools.chain([begin], itertools.repeat(b"<p>" * 9999)))
    )
    with pytest.raises(errors.NotPermittedError, match="forbidden"):
        Cluster(Kubeconfig({}, server.kubeconfig(tmp_path))).get(SECRETS, "a", "b")
    assert len(server.requests) == 1


def test_pages_without_end_end(serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page has a new name, and a link to the next."""
    monkeypatch.setattr(pagination, "_MAX_PAGES", 20)

    def respond(_head: bytes) -> list[bytes]:
        number = len(server.requests)
        link = b'Link: </v2/_catalog?page=%d>; rel="next"\r\n' % number
        return [document({"repositories": [f"name-{number}"]}, link)]

    server = serve(hostile_server(respond))
    result = run("catalog", server.host, "--plain-http")
    assert result.exit_code == 3
    assert result.stdout.split() == [f"name-{n}" for n in range(1, 21)]
    assert "more than 20 names on 20 pages" in result.stderr
    assert "--last name-20" in result.stderr
    assert len(server.requests) == 21


@pytest.mark.parametrize("limit", ["_MAX_NAMES", "_MAX_CHARACTERS"])
def test_a_list_has_a_size(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(pagination, limit, 10)
    pages = ([f"{n}{m}" for m in range(5)] for n in itertools.count(1))
    names: list[str] = []
    with pytest.raises(errors.IncompleteListError, match=r"more than 10 names on 2 pages"):
        names.extend(pagination.each_once(pages, pagination.ListQuery("", "", "x")))


def test_pages_of_the_api_server_without_end_end(
    serve: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster_client, "_MAX_PAGES", 20)
    server = serve(
        hostile_server(
            lambda _head: [document({"metadata": {"continue": str(len(server.requests))}})]
        )
    )
    with pytest.raises(errors.ClusterError, match="sends no last one"):
        list(Cluster(Kubeconfig({}, server.kubeconfig(tmp_path))).list(SECRETS))
    assert len(server.requests) == 21


def test_warnings_are_cut_in_length_and_number(serve: Servers, tmp_path: Path) -> None:
    def respond(_head: bytes) -> list[bytes]:
        texts = (b'Warning: 299 - "%d%s"\r\n' % (n, b"x" * 5000) for n in range(50))
        return [document({"items": []}, b"".join(texts))]

    server = serve(hostile_server(respond))
    warnings: list[str] = []
    cluster = Cluster(Kubeconfig({}, server.kubeconfig(tmp_path)), on_warning=warnings.append)
    assert list(cluster.list(SECRETS)) == []
    client = connect(server.host, CI, callbacks=Callbacks(on_notice=warnings.append))
    client.ping()
    assert len(warnings) == 40
    assert max(map(len, warnings)) < 1100


@pytest.mark.parametrize("body", [b"-5\r\n{}\r\n", b"f" * 30 + b"\r\n", b"x\r\n"])
def test_a_size_of_a_chunk_that_is_none_breaks_the_connection(
    serve: Servers, tmp_path: Path, body: bytes
) -> None:
    begin = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    server = serve(hostile_server(lambda _head: [begin + body + b"0\r\n\r\n"]))
    with pytest.raises(errors.ConnectionLostError):
        connect(server.host, CI).tags("a")
    assert len(server.requests) == 3
    cluster = Cluster(Kubeconfig({}, server.kubeconfig(tmp_path)), backoff=Backoff(tries=1))
    with pytest.raises(errors.ClusterUnreachableError):
        cluster.get(SECRETS, "a", "b")


ODD_PAGES = [
    {"items": {"a": 1}},
    {"items": [None]},
    {"items": ["x"]},
    {"items": [{"metadata": 7}]},
    {"items": [{"metadata": {"namespace": "a"}}]},
    {"items": [{"metadata": {"name": "a", "namespace": 5}}]},
    {"metadata": [1]},
    {"metadata": {"continue": {"a": 1}}},
    {"items": [float("nan")]},
]


@pytest.mark.parametrize("page", ODD_PAGES, ids=str)
def test_a_page_of_anything_else_is_not_from_an_api_server(
    serve: Servers, tmp_path: Path, page: object
) -> None:
    server = serve(hostile_server(lambda _head: [document(page)]))
    cluster = Cluster(Kubeconfig({}, server.kubeconfig(tmp_path)))
    with pytest.raises(errors.ClusterError, match="not a Kubernetes API server"):
        list(cluster.list(SECRETS))
    with pytest.raises(errors.ClusterError, match="not a Kubernetes API server"):
        cluster.get(SECRETS, "a", "b")


@pytest.mark.parametrize(
    "details", [None, 5, [], {"causes": 5}, {"causes": "text"}, {"causes": [5, {"reason": 7}]}]
)
def test_a_status_may_have_any_details(details: object) -> None:
    body = json.dumps({"kind": "Status", "details": details, "message": [], "reason": {}}).encode()
    for code in (400, 403, 404, 409, 422, 429, 500):
        assert isinstance(Status.parse(code, body).error("x"), errors.RegctlError)


def test_the_trial_of_a_credential_reads_64_kib(
    serve: Servers, blanks: bytes, tmp_path: Path
) -> None:
    """Eight Secrets of a tenant name a registry that sends 300 MiB: each is tried at once."""

    def respond(head: bytes) -> list[bytes]:
        if head.startswith(b"GET /v2/"):
            return [blanks]
        auths = ({server.host: {"username": f"u{n}", "password": "x"}} for n in range(8))
        texts = (base64.b64encode(json.dumps({"auths": auth}).encode()).decode() for auth in auths)
        secrets = [
            {
                "metadata": {"name": f"s{n}", "namespace": "a"},
                "type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": text},
            }
            for n, text in enumerate(texts)
        ]
        return [document({"items": secrets if b"/secrets" in head.split()[1] else []})]

    server = serve(hostile_server(respond))
    kubeconfig = server.kubeconfig(tmp_path)
    words = ("secret", "check", "-n", "a", "--kubeconfig", kubeconfig, "--plain-http")
    result = run_in_little_memory(*words, mebibytes=1200)  # each of eight threads reserves 72
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(f"s{n}" in result.stdout for n in range(8))
    assert server.requests.count(b"GET /v2/ HTTP/1.1") == 8
