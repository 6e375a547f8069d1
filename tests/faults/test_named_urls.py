"""URLs that a hostile registry names: no other server gets a request, a password or a blob."""

import contextlib
import hashlib
import io
import itertools
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from regctl import errors
from regctl.images.archive import SavedManifest
from regctl.images.layers import Blob
from regctl.images.push import ImagePusher
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.registry import CI, PLAIN, connect
from tests.servers.certificates import make_certificate
from tests.servers.nginx import nginx
from tests.servers.products import REFUSED, challenge
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

# Linux's list of connections, and a state in it.
TCP, ESTABLISHED = Path("/proc/net/tcp"), "01"

# A server that is reached wrongly never answers.
SETTINGS = replace(PLAIN, read_seconds=1.0)

# HERE is the registry, PORT another server's on the same machine.
DISGUISED = [
    "http://x\\@127.0.0.1:PORT/v2/",
    "http://127.0.0.1:PORT\\@HERE/v2/",
    "http:\\\\127.0.0.1:PORT/v2/",
    "http://HERE@127.0.0.1:PORT/v2/",
    "//@127.0.0.1:PORT/v2/",
    "x:1\\@127.0.0.1:PORT/v2/",
    "http://127%2e0.0.1:PORT/v2/",
    "http://%6cocalhost:PORT/v2/",
    "http://127\u30020.0.1:PORT/v2/",
    "http://\uff11\uff12\uff17.0.0.1:PORT/v2/",
    "http://\u24db\u24deocalhost:PORT/v2/",
    "http://127.0.0.1:PORT\t/v2/",
    "http://local\thost:PORT/v2/",
    "http://2130706433:PORT/v2/",
    "http://0x7f.1:PORT/v2/",
    "http://0177.0.0.1:PORT/v2/",
    "http://127.1:PORT/v2/",
    "http://127.0.0.1.:PORT/v2/",
    "http://[::ffff:127.0.0.1]:PORT/v2/",
    "http://[::ffff:7f00:1]:PORT/v2/",
    "http://[fe80::1%25lo]:PORT/v2/",
    "ftp://127.0.0.1:PORT/v2/",
    "http+unix://127.0.0.1:PORT/v2/",
]

CONTENT = b"a layer"
BLOB = Blob(
    f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", 7, "text/x", lambda: io.BytesIO(CONTENT)
)


def upload(client: RegistryClient) -> object:
    return ImagePusher(client, "a").push(SavedManifest("x", (BLOB,), body=b"{}"), ["1"])


# What the registry answers with the URL in it, and what makes regctl ask.
PLACES: dict[str, tuple[Callable[[str], Answer], Callable[[RegistryClient], object]]] = {
    "link": (
        lambda url: Answer.of({"repositories": ["a"]}, headers={"Link": f'<{url}>; rel="next"'}),
        lambda client: list(client.repositories()),
    ),
    "redirect": (
        lambda url: Answer(307, headers={"Location": url}),
        lambda client: client.manifest("a", "1"),
    ),
    "realm": (
        lambda url: challenge(REFUSED, f'Bearer realm="{url}"'.replace("\\", "\\\\")),
        lambda client: client.ping(),
    ),
    "upload": (lambda url: Answer(202, headers={"Location": url}), upload),
}


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Another server, which never answers: connections wait in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Iterator[str]]:
    """Names and their addresses: each question takes the next one."""
    known: dict[str, Iterator[str]] = {}
    resolve = socket.getaddrinfo

    def answer(name: str, *args: object, **options: object) -> object:
        address = next(known[name]) if name in known else name
        return resolve(address, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("disguised", DISGUISED)
def test_a_url_in_disguise_is_not_followed(
    serve: Servers, other: socket.socket, place: str, disguised: str
) -> None:
    answer, ask = PLACES[place]
    state = StandinRegistry()

    def script(request: Request) -> Answer | None:
        url = disguised.replace("PORT", str(other.getsockname()[1])).replace("HERE", state.host)
        # A header is sent as latin-1.
        named = url.encode().decode("latin-1")
        return Answer(404) if place == "upload" and request.method == "HEAD" else answer(named)

    state.script = script
    host = serve(standin_registry(state)).host
    with pytest.raises(errors.RegctlError) as caught:
        ask(connect(host, CI, SETTINGS))
    with pytest.raises(BlockingIOError):
        other.accept()
    # A list that is not complete is an error of its own.
    assert isinstance(caught.value, errors.UntrustedUrlError | errors.IncompleteListError)
    assert "not a valid URL" in caught.value.message or "has a user" in caught.value.message
    # Nothing after that answer but the attempt to cancel an upload.
    assert sum(request.method != "HEAD" for request in state.requests) == 1


@pytest.mark.parametrize("place", ["link", "upload"])
@pytest.mark.parametrize("scheme", ["http:", "https:", ""])
def test_the_host_of_a_link_or_an_upload_s_location_is_not_asked(
    serve: Servers, other: socket.socket, place: str, scheme: str
) -> None:
    """Names, blob and password go to the path at the registry: a proxy may hide its name."""
    answer, ask = PLACES[place]
    named = answer(f"{scheme}//127.0.0.1:{other.getsockname()[1]}/v2/a/next?x=1")

    def script(request: Request) -> Answer | None:
        if request.path == "/v2/a/next":
            return Answer.of({"repositories": ["b"]}, 201 if request.method == "PUT" else 202)
        return Answer(404) if request.method == "HEAD" else named

    registry = serve(standin_registry(StandinRegistry(script=script)))
    with contextlib.suppress(errors.RegctlError):
        ask(connect(registry.host, CI, SETTINGS))
    with pytest.raises(BlockingIOError):
        other.accept()
    assert any(request.path == "/v2/a/next" for request in registry.requests)
    if place == "upload":
        assert [r.body for r in registry.requests if r.method == "PATCH"] == [CONTENT]


@pytest.mark.skipif(not TCP.exists(), reason="needs Linux's list of connections")
def test_redirects_to_ever_other_servers_leave_few_connections_open(
    serve: Servers, names: dict[str, Iterator[str]]
) -> None:
    storage = serve(standin_registry())
    storage.put_image("a", "1")
    port = storage.host.partition(":")[2]
    numbers = itertools.count(1)

    def away(request: Request) -> Answer:
        names[name := f"n{next(numbers)}.example"] = itertools.repeat("127.0.0.1")
        return Answer(307, headers={"Location": f"http://{name}:{port}{request.path}"})

    client = connect(serve(standin_registry(StandinRegistry(script=away))).host)
    for _ in range(60):
        client.manifest("a", "1")
    rows = [line.split() for line in TCP.read_text().splitlines()[1:]]
    there = [row for row in rows if row[2].endswith(f":{int(port):04X}") and row[3] == ESTABLISHED]
    assert 1 <= len(there) <= 16


@pytest.mark.parametrize("place", ["redirect", "realm"])
def test_a_name_that_resolves_to_another_address_the_second_time(
    serve: Servers,
    other: socket.socket,
    names: dict[str, Iterator[str]],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """The registry has a public name, and a proxy of the test answers for it."""
    port = other.getsockname()[1]
    answer, ask = PLACES[place]
    named = answer(f"http://elsewhere.example:{port}/v2/")
    proxy = serve(standin_registry(StandinRegistry(script=lambda _: named)))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    names["elsewhere.example"] = itertools.chain(["8.8.8.8"], itertools.repeat("127.0.0.1"))
    with pytest.raises(
        errors.UntrustedUrlError,
        match=rf"elsewhere\.example:{port}, 127\.0\.0\.1, is on this machine",
    ):
        ask(connect("registry.example", CI, SETTINGS))
    with contextlib.closing(other.accept()[0]) as connection:
        connection.settimeout(10)
        assert connection.recv(1) == b"", "the connection is closed, and nothing was sent on it"


@pytest.mark.parametrize("place", ["redirect", "realm"])
def test_no_way_leads_from_https_to_http(
    serve: Servers, other: socket.socket, tmp_path: Path, place: str
) -> None:
    answer, ask = PLACES[place]
    named = answer(f"http://127.0.0.1:{other.getsockname()[1]}/v2/")
    plain = serve(standin_registry(StandinRegistry(script=lambda _: named)))
    certificate = make_certificate(tmp_path / "tls")
    front = serve(nginx(tmp_path / "nginx", upstream=plain.host, certificate=certificate))
    settings = ConnectionSettings(ca_file=certificate.ca_file, read_seconds=10.0)
    with pytest.raises(errors.UntrustedUrlError, match="is not HTTPS"):
        ask(connect(front.host, CI, settings))
    with pytest.raises(BlockingIOError):
        other.accept()


def test_a_registry_in_a_private_network_has_its_token_server_and_storage_there(
    serve: Servers,
) -> None:
    """Here both are on this machine; the registry's address is the proof that it is as close."""
    storage = serve(standin_registry())
    digest = storage.put_image("a", "1")
    tokens = serve(standin_registry(StandinRegistry(script=lambda _: Answer.of({"token": "t"}))))

    def script(request: Request) -> Answer:
        if request.headers.get("authorization") != "Bearer t":
            return challenge(REFUSED, f'Bearer realm="http://localhost:{tokens.host[10:]}/token"')
        return Answer(307, headers={"Location": f"{storage.url}{request.path}"})

    host = serve(standin_registry(StandinRegistry(script=script))).host
    assert connect(host, CI).manifest("a", "1").digest == digest
    assert [request.headers.get("authorization") for request in storage.requests] == [None]
