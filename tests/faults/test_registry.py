"""Faulty and hostile registries: each has its error, and no other server gets a password."""

import base64
import contextlib
import dataclasses
import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regctl import errors
from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.request import Request as ApiRequest
from regctl.registry.transport import ConnectionSettings
from tests.cli import run
from tests.conftest import Servers
from tests.registry import CI, PLAIN, connect
from tests.servers import products
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import docker_registry
from tests.servers.products import (
    PASSWORD,
    REFUSED,
    USER,
    TokenServer,
    basic,
    challenge,
    filled,
)
from tests.servers.proxies import tunnel
from tests.servers.standin_registry import (
    Answer,
    Manifest,
    Request,
    StandinRegistry,
    in_turn,
    standin_registry,
)

SECRET = "hunter2"


def page(*names: object, link: str | None = None) -> Answer:
    headers = {"Link": link} if link else {}
    return Answer.of({"repositories": list(names)}, headers=headers)


def bomb() -> bytes:
    """Return 40 MiB of blanks, compressed to 40 KiB."""
    packer = zlib.compressobj(wbits=31)
    blanks = b" " * (1024 * 1024)
    return b"".join([*(packer.compress(blanks) for _ in range(40)), packer.flush()])


# The response to a request for the list, and the names that are listed, or the error with a part
# of its message.
LISTS: dict[str, tuple[Answer, list[str] | tuple[type[errors.RegctlError], str]]] = {
    "nothing in it": (page(), []),
    "null for a list": (Answer.of({"repositories": None}), []),
    "null among the names": (page("a", None, "b"), ["a", "b"]),
    "a number among the names": (page("a", 5, "b"), ["a", "b"]),
    "a name twice": (page("a", "a", "b"), ["a", "b"]),
    "no order": (page("c", "a", "b", "a", "c"), ["c", "a", "b"]),
    "text/plain": (Answer(200, b'{"repositories":["a"]}', {"Content-Type": "text/plain"}), ["a"]),
    "compressed": (
        Answer(200, gzip.compress(b'{"repositories":["a"]}'), {"Content-Encoding": "gzip"}),
        ["a"],
    ),
    "a bare list": (Answer.of(["a"]), ["a"]),
    "not compressed as its header says": (
        Answer(200, b"plain", {"Content-Encoding": "gzip"}),
        (errors.RegistryError, "not compressed as its header says"),
    ),
    "a bomb": (
        Answer(200, bomb(), {"Content-Encoding": "gzip"}),
        (errors.RegistryError, "longer than 4 MiB"),
    ),
    "HTML": (Answer(200, b"<html>hi</html>"), (errors.NotARegistryError, "not a JSON object")),
    "nothing at all": (Answer(200, b""), (errors.NotARegistryError, "not a JSON object")),
    "deep nesting": (Answer(200, b"[" * 100_000), (errors.NotARegistryError, "not a JSON object")),
    "not UTF-8": (
        Answer(200, b'{"repositories":["\xff"]}'),
        (errors.NotARegistryError, "not a JSON object"),
    ),
    "no list": (
        Answer.of({"repositories": "a"}),
        (errors.NotARegistryError, "no list of repositories"),
    ),
    "another document": (Answer.of({"a": 1}), (errors.NotARegistryError, "no list of")),
    "half an answer": (
        Answer(200, b'{"repos', {"Content-Length": "100"}, hang_up=True),
        (errors.RegistryUnreachableError, "connection broke before the response ended"),
    ),
    "not found, as HTML": (Answer(404, b"<html>"), (errors.NotARegistryError, "not a registry")),
    "no catalog": (
        Answer.of({"errors": [{"code": "NAME_UNKNOWN"}]}, 404),
        (errors.NoCatalogError, "no catalog"),
    ),
    "forbidden": (
        Answer.of({"errors": [{"code": "DENIED", "message": "not yours"}]}, 403),
        (errors.NotPermittedError, "forbidden for ci: not yours"),
    ),
    "a refusal in Hub's words": (
        Answer.of({"details": "slow down"}, 429),
        (errors.RegistryError, "too many requests: slow down"),
    ),
    "a refusal in Quay's words": (
        Answer.of({"error": "not today"}, 500),
        (errors.RegistryError, "answers 500: not today"),
    ),
    "a refusal with odd codes": (
        Answer.of({"errors": [{"code": 404}, "text", None]}, 500),
        (errors.RegistryError, "answers 500"),
    ),
    "a refusal in HTML": (Answer(502, b"<h1>Bad"), (errors.RegistryError, "answers 502$")),
    "a broken auth file": (Answer(400, b""), (errors.RegistryError, "cannot read its auth file")),
    "a very long pause": (
        Answer(503, headers={"Retry-After": "86400"}),
        (errors.RegistryError, "asks to try again in 86400 s"),
    ),
    "a redirect to nowhere": (
        Answer(302, headers={"Location": "gopher://x"}),
        (errors.RegistryError, "the redirect is not a valid URL"),
    ),
    "a redirect to itself": (
        Answer(307, headers={"Location": "/v2/_catalog"}),
        (errors.RegistryError, "redirects more than 5 times"),
    ),
    "a redirect without an address": (Answer(301), (errors.RegistryError, "answers 301")),
    "an unknown status": (Answer(299, b"{}"), (errors.RegistryError, "answers 299")),
    "a link that is none": (page("a", link="next please"), ["a"]),
    "a link to the page before": (page("a", link='</v2/_catalog?n=0>; rel="prev"'), ["a"]),
    "a link to itself": (
        page("a", link='</v2/_catalog?n=1000>; rel="next"'),
        (errors.IncompleteListError, "link in a circle"),
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_from_a_faulty_registry(serve: Servers, name: str) -> None:
    answer, expected = LISTS[name]

    def script(request: Request) -> Answer | None:
        return answer if request.path == "/v2/_catalog" else None

    registry = serve(standin_registry(StandinRegistry(script=script)))
    names = connect(registry.host, CI).repositories()
    if isinstance(expected, list):
        assert list(names) == expected
        return
    error, message = expected
    with pytest.raises(error, match=message) as caught:
        list(names)
    assert SECRET not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("manifest", "headers", "message"),
    [
        (b"{}", {"Docker-Content-Digest": f"sha256:{'0' * 64}"}, "its content has the digest"),
        (b"x" * 5_000_000, {}, "longer than 4 MiB"),
    ],
)
def test_a_manifest_with_a_wrong_digest_or_size_is_an_error(
    serve: Servers, manifest: bytes, headers: dict[str, str], message: str
) -> None:
    registry = serve(
        standin_registry(StandinRegistry(script=in_turn(Answer(200, manifest, headers))))
    )
    with pytest.raises(errors.RegistryError, match=message):
        connect(registry.host, CI).manifest("a", "1.0")


def test_a_blob_or_manifest_under_a_wrong_digest_is_an_error(serve: Servers) -> None:
    state = StandinRegistry()
    state.put_image("a", "1.0", b"layer")
    false = f"sha256:{'f' * 64}"
    state.blobs[false] = b"something else"
    state.manifests["a"][false] = Manifest(b"{}")
    host = serve(standin_registry(state)).host
    with pytest.raises(errors.DigestMismatchError):
        connect(host, CI).blob("a", false)
    with pytest.raises(errors.DigestMismatchError):
        connect(host, CI).manifest("a", false)


def test_an_incomplete_list_says_where_to_continue(serve: Servers) -> None:
    """The third page fails: the names before it are listed, and `--last` lists the rest."""
    state = StandinRegistry(tags={f"name-{n}": [] for n in range(9)}, page=2)
    broken = Answer(500, b"disk")

    def script(request: Request) -> Answer | None:
        return broken if request.query.get("last") == "name-3" and state.script else None

    state.script = script
    names: list[str] = []
    host = serve(standin_registry(state)).host
    with pytest.raises(errors.IncompleteListError) as caught:
        names.extend(connect(host, CI).repositories())
    assert caught.value.exit_code == 3
    assert caught.value.last == "name-3"
    assert "--last name-3" in (caught.value.hint or "")
    state.script = None
    assert list(connect(host, CI).repositories(last="name-3")) == [f"name-{n}" for n in range(4, 9)]


def test_a_registry_that_never_answers_times_out() -> None:
    """A server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(errors.RegistryUnreachableError, match="no response in time"):
            connect(host, CI, dataclasses.replace(PLAIN, read_seconds=0.05)).ping()


def test_a_truncated_response_is_requested_again(serve: Servers) -> None:
    half = Answer(200, b'{"repos', {"Content-Length": "100"}, hang_up=True)
    state = StandinRegistry(tags={"a": []}, script=in_turn(half, half))
    assert list(connect(serve(standin_registry(state)).host, CI).repositories()) == ["a"]
    assert len(state.requests) == 3


def test_an_unsafe_request_is_never_sent_twice(serve: Servers) -> None:
    state = StandinRegistry(script=lambda _request: Answer(503))
    session = connect(serve(standin_registry(state)).host, CI)
    reply = session.send(ApiRequest("POST", "/v2/a/blobs/uploads/", "x"))
    assert reply.status == 503
    assert len(state.requests) == 1


# Where passwords go


@pytest.fixture
def foreign(serve: Servers) -> StandinRegistry:
    """Another server, which records what it gets."""
    state = filled()
    state.tags["stolen"] = []
    return serve(standin_registry(state))


def carried(requests: list[Request]) -> str:
    """Return everything in *requests* that can contain a password."""
    return json.dumps([[r.path, r.query, r.headers, r.body.decode("latin-1")] for r in requests])


def link_away(there: str) -> Callable[[Request], Answer | None]:
    return lambda r: (
        page("a", link=f'<{there}/v2/_catalog?last=a>; rel="next"')
        if (r.path == "/v2/_catalog" and "last" not in r.query)
        else None
    )


def redirect_away(there: str) -> Callable[[Request], Answer | None]:
    return lambda r: Answer(307, headers={"Location": f"{there}{r.path}"})


ASKS: dict[str, Callable[[RegistryClient], object]] = {
    "list": lambda c: list(c.repositories()),
    "tags": lambda c: c.tags("team/app"),
    "manifest": lambda c: c.manifest("team/app", "1.0"),
}


@pytest.mark.parametrize("ask", ASKS)
def test_a_redirect_to_another_host_is_followed_without_credentials(
    serve: Servers, foreign: StandinRegistry, ask: str
) -> None:
    state = StandinRegistry(script=redirect_away(foreign.url))
    ASKS[ask](connect(serve(standin_registry(state)).host, CI))
    assert foreign.requests
    assert basic(state.requests[0]) == ("ci", SECRET)
    assert all("authorization" not in request.headers for request in foreign.requests)
    assert SECRET not in carried(foreign.requests)


def test_a_challenge_of_another_host_gets_no_password(
    serve: Servers, foreign: StandinRegistry
) -> None:
    foreign.script = lambda _request: challenge(REFUSED, 'Basic realm="give me"')
    state = StandinRegistry(script=redirect_away(foreign.url))
    with pytest.raises(errors.NotAuthenticatedError):
        connect(serve(standin_registry(state)).host, CI).ping()
    assert all("authorization" not in request.headers for request in foreign.requests)


def test_a_link_to_another_host_is_requested_from_ours(
    serve: Servers, foreign: StandinRegistry
) -> None:
    state = filled()
    registry = serve(standin_registry(state))
    state.script = link_away(foreign.url)
    names = list(connect(registry.host, CI).repositories())
    assert names == ["a", "team/app", "team/db", "tools"]
    assert foreign.requests == []


def test_a_redirected_upload_is_not_followed(serve: Servers, foreign: StandinRegistry) -> None:
    state = StandinRegistry(script=redirect_away(foreign.url))
    registry = serve(standin_registry(state))
    reply = connect(registry.host, CI).send(ApiRequest("PUT", "/v2/a/manifests/1", "x", body=b"{}"))
    assert reply.status == 307
    assert foreign.requests == []


def test_an_untrusted_token_server_gets_no_password(
    serve: Servers, foreign: StandinRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry has a public name; a proxy of the test answers for it."""
    header = f'Bearer realm="{foreign.url}/token",service="x"'
    proxy = serve(standin_registry(StandinRegistry(script=lambda _r: challenge(REFUSED, header))))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with pytest.raises(
        errors.UntrustedUrlError, match=r"no password is sent, because .* is on this machine"
    ):
        connect("registry.example", CI).ping()
    assert foreign.requests == []


def test_a_proxy_is_used_unless_no_proxy_names_the_registry(
    serve: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, registry = serve(standin_registry()), serve(standin_registry())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    connect(registry.host, CI).ping()
    assert (len(proxy.requests), len(registry.requests)) == (1, 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connect(registry.host, CI).ping()
    assert (len(proxy.requests), len(registry.requests)) == (1, 1)


def test_netrc_is_never_read(serve: Servers, isolated_home: Path) -> None:
    (isolated_home / ".netrc").write_text("default login eve password mallory\n")
    registry = serve(standin_registry())
    connect(registry.host).ping()
    assert "authorization" not in registry.requests[0].headers
    connect(registry.host, CI).ping()
    assert basic(registry.requests[1]) == ("ci", SECRET)


def test_a_proxy_never_gets_the_registry_password(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy relays bytes that it cannot read: TLS is between regctl and the registry."""
    certificate = make_certificate(tmp_path / "tls")
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    with tunnel(lambda: registry.host) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:proxys-own@"))
        RegistryClient(
            Registry.parse(registry.host),
            credential=CI,
            settings=ConnectionSettings(ca_file=certificate.ca_file),
        ).ping()
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT ")
    assert b"Basic bWU6cHJveHlzLW93bg==" in head
    assert b"\r\nauthorization:" not in head.lower()
    assert base64.b64encode(f"ci:{SECRET}".encode()) not in head


def test_a_public_registry_cannot_redirect_to_this_machine(
    serve: Servers, foreign: StandinRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(standin_registry(StandinRegistry(script=redirect_away(foreign.url))))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with pytest.raises(
        errors.RegistryError, match=r"the redirect 127\.0\.0\.1:.* is on this machine"
    ):
        connect("registry.example", CI).manifest("team/app", "1.0")
    assert foreign.requests == []


def test_a_redirect_of_a_token_server_is_not_followed(
    serve: Servers, foreign: StandinRegistry
) -> None:
    tokens = serve(standin_registry(StandinRegistry(script=redirect_away(foreign.url))))
    state = StandinRegistry(
        script=lambda _r: challenge(REFUSED, f'Bearer realm="{tokens.url}/token"')
    )
    with pytest.raises(errors.RegistryError, match=r"token server .* answers 307"):
        connect(serve(standin_registry(state)).host, CI).ping()
    assert foreign.requests == []


def test_a_token_is_sent_to_the_registry_only(serve: Servers, foreign: StandinRegistry) -> None:
    """Neither a link nor a redirect to another host takes the token there."""
    tokens = TokenServer()
    serve(standin_registry(tokens.server))

    def script(request: Request) -> Answer | None:
        if not tokens.knows(request):
            return challenge(REFUSED, f'Bearer realm="{tokens.server.url}/token"')
        if "manifests" in request.path:
            return redirect_away(foreign.url)(request)
        return link_away(foreign.url)(request)

    host = serve(standin_registry(filled(script))).host
    right = connect(host, Credential(USER, PASSWORD))
    assert list(right.repositories()) == ["a", "team/app", "team/db", "tools"]
    right.manifest("team/app", "1.0")
    assert [request.path for request in foreign.requests] == ["/v2/team/app/manifests/1.0"]
    assert not any(token in carried(foreign.requests) for token in tokens.issued)
    assert all("authorization" not in request.headers for request in foreign.requests)


def test_a_wrong_password_is_sent_to_the_token_server_once(serve: Servers) -> None:
    """However many threads want a token: several tries may lock the user."""
    tokens = TokenServer()
    serve(standin_registry(tokens.server))
    state = filled(lambda _r: challenge(REFUSED, f'Bearer realm="{tokens.server.url}/token"'))
    wrong = connect(serve(standin_registry(state)).host, Credential("ci", "wrong"))

    def ask(_number: int) -> type[BaseException]:
        with pytest.raises(errors.NotAuthenticatedError) as caught:
            wrong.ping()
        return caught.type

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(16))) == {errors.NotAuthenticatedError}
    assert len(tokens.server.requests) == 1


def test_a_401_without_a_challenge_uses_the_challenge_of_v2(serve: Servers) -> None:
    """A proxy in front may remove the challenge, or the registry may forget it."""
    tokens = TokenServer()
    serve(standin_registry(tokens.server))

    def script(request: Request) -> Answer | None:
        if tokens.knows(request):
            return None
        header = f'Bearer realm="{tokens.server.url}/token"'
        return challenge(REFUSED, header) if request.path == "/v2/" else REFUSED

    host = serve(standin_registry(filled(script))).host
    right = connect(host, Credential(USER, PASSWORD))
    assert right.tags("team/app") == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
            "connection broke|does not speak HTTP",
        ),
        (b"", "connection broke before the response ended"),
    ],
)
def test_a_server_that_does_not_speak_http_is_named(sent: bytes, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(3):
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(sent)

        threading.Thread(target=answer, daemon=True).start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(errors.RegistryError, match=message):
            connect(host, CI).ping()


def test_a_list_without_new_names_ends(serve: Servers) -> None:
    def script(request: Request) -> Answer | None:
        number = int(request.query.get("page", 0)) + 1
        return page("a", link=f'</v2/_catalog?page={number}>; rel="next"')

    state = StandinRegistry(script=script)
    names = connect(serve(standin_registry(state)).host, CI).repositories()
    assert next(names) == "a"
    with pytest.raises(errors.IncompleteListError, match="no new name in the last 101 pages"):
        next(names)
    assert len(state.requests) < 200


def test_a_limit_requests_no_more_names_than_needed(serve: Servers) -> None:
    state = StandinRegistry(tags={f"name-{n}": [] for n in range(9)}, page=2)
    host = serve(standin_registry(state)).host
    assert list(connect(host, CI).repositories(limit=3)) == ["name-0", "name-1", "name-2"]
    assert [request.query["n"] for request in state.requests] == ["3", "2"]
    assert list(connect(host, CI).repositories(last="name-4", limit=2)) == ["name-5", "name-6"]


def test_a_registry_that_ignores_last_is_read_from_the_beginning(serve: Servers) -> None:
    state = StandinRegistry(script=lambda _request: page("a", "b", "c", "d"))
    host = serve(standin_registry(state)).host
    assert list(connect(host, CI).repositories(last="b")) == ["c", "d"]
    assert list(connect(host, CI).repositories(last="bb")) == ["c", "d"]


def test_control_characters_in_an_error_are_escaped(serve: Servers) -> None:
    answer = Answer.of(
        {"errors": [{"code": "X", "message": "\x1b]0;owned\x07 red\n\x1b[31m"}]}, 418
    )
    host = serve(standin_registry(StandinRegistry(script=lambda _request: answer))).host
    result = run("catalog", host, "--plain-http")
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_control_characters_in_a_name_are_escaped(serve: Servers) -> None:
    state = StandinRegistry(script=lambda _request: page("a\x1b[31m", "b\nc", "d\te"))
    host = serve(standin_registry(state)).host
    result = run("catalog", host, "--plain-http")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == 3


def test_an_empty_list_for_anonymous_clients_has_a_note(serve: Servers) -> None:
    """zot and Quay show an empty list to anonymous clients."""
    host = serve(standin_registry()).host
    result = run("catalog", host, "--plain-http")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "shows no repository to anonymous clients: a user may see more" in result.stderr


def test_harbor_is_listed_by_its_own_api_with_a_note(serve: Servers) -> None:
    host = serve(products.harbor()).host
    command = ["catalog", host, "--plain-http", "--username", USER, "--password-stdin"]
    result = run(*command, stdin=PASSWORD)
    assert (result.exit_code, result.stdout.split()) == (0, ["team/app", "team/db", "tools"])
    assert "Harbor refuses its catalog" in result.stderr
    result = run(*command, stdin="wrong")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "rejects the password of robot$ci" in result.stderr


def test_a_user_without_permission_to_list_is_not_called_wrong(serve: Servers) -> None:
    def script(request: Request) -> Answer | None:
        return challenge(REFUSED, 'Basic realm="x"') if request.path == "/v2/_catalog" else None

    host = serve(standin_registry(StandinRegistry(script=script))).host
    with pytest.raises(
        errors.NotPermittedError,
        match="password of ci is correct, but the registry refuses the list",
    ):
        list(connect(host, CI).repositories())
