"""The checks of `diagnose`, their clock and their verdict; tests/cli runs them on real servers."""

import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from regctl.checks import Check
from regctl.credentials.credential import Credential
from regctl.errors import NotAuthenticatedError, NotPermittedError, RegctlError, RegistryError
from regctl.registry.ping import diagnose, verdict
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.registry import CI, connect
from tests.servers.products import REFUSED, challenge
from tests.servers.standin_registry import Answer, StandinRegistry, standin_registry


def checks(
    registry: StandinRegistry,
    credential: Credential | None = None,
    *,
    upload_bytes: int | None = None,
    clock: Callable[[], float] = time.time,
) -> dict[str, Check]:
    found = diagnose(
        partial(connect, registry.host),
        credential,
        upload_bytes=upload_bytes,
        clock=clock,
    )
    return {check.name: check for check in found}


def test_an_anonymous_registry_is_checked_without_a_password(serve: Servers) -> None:
    found = checks(serve(standin_registry(StandinRegistry(tags={"a": ["1"]}))))
    assert {name: check.state for name, check in found.items()} == {
        "name": "ok",
        "connection": "ok",
        "registry": "ok",
        "authentication": "warning",
        "password": "skipped",
        "catalog": "ok",
    }
    assert found["catalog"].message == "anybody can list it"


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (3600, "the registry's clock is 3600 s behind this machine's"),
        (-3600, "the registry's clock is 3600 s ahead of this machine's"),
        (30, None),
    ],
)
def test_a_clock_that_differs_is_a_warning(
    serve: Servers, seconds: float, message: str | None
) -> None:
    answer = Answer.of({}, headers={"Date": "Thu, 01 Jan 2026 12:00:00 GMT"})
    state = StandinRegistry(script=lambda r: answer if r.path == "/v2/" else None)
    noon = 1767268800.0
    found = checks(serve(standin_registry(state)), clock=lambda: noon + seconds).get("clock")
    assert (found.message if found else None) == message
    assert found is None or found.state == "warning"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('Basic realm="Sonatype Nexus"', "an OCI registry's API answers, probably Nexus"),
        ('Bearer realm="https://x/service/token",service="harbor-registry"', "probably Harbor"),
        ('Bearer realm="https://gitlab.foo.com/jwt/auth"', "probably GitLab"),
        ('Basic realm="basic-realm"', "an OCI registry's API answers"),
    ],
)
def test_a_product_is_recognized_by_its_challenge(
    serve: Servers, header: str, message: str
) -> None:
    state = StandinRegistry(script=lambda _: challenge(REFUSED, header))
    assert checks(serve(standin_registry(state)))["registry"].message.endswith(message)


def test_several_challenges_are_all_shown(serve: Servers) -> None:
    header = 'Negotiate, Basic realm="a", Bearer realm="https://auth.foo.com:8443/token"'
    state = StandinRegistry(script=lambda _: challenge(REFUSED, header))
    found = checks(serve(standin_registry(state)))["authentication"]
    assert found.message == (
        "Negotiate, realm 'unnamed'; Basic, realm 'a'; Bearer, with tokens from auth.foo.com:8443"
    )


def test_a_proxy_that_does_not_speak_http_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        secure = partial(connect, "registry.foo.test", settings=ConnectionSettings())
        *_, last = diagnose(secure, None)
    assert (last.name, last.state) == ("connection", "failure")
    assert last.message == f"port {port} of 127.0.0.1: the proxy does not speak http"


def test_a_401_without_a_challenge_fails(serve: Servers) -> None:
    found = checks(serve(standin_registry(StandinRegistry(script=lambda _: REFUSED))))
    assert found["authentication"].state == "failure"


def test_a_rejected_password_ends_the_checks(serve: Servers) -> None:
    state = StandinRegistry(allows=lambda *_: False)
    found = checks(serve(standin_registry(state)), CI, upload_bytes=10)
    assert list(found)[-1] == "password"
    assert isinstance(found["password"].error, NotAuthenticatedError)


def test_an_upload_that_is_forbidden_is_a_warning(serve: Servers) -> None:
    state = StandinRegistry(script=lambda r: Answer(403) if r.method == "POST" else None)
    found = checks(serve(standin_registry(state)), CI, upload_bytes=10)
    assert found["upload"].state == "warning"
    assert "forbidden for ci" in found["upload"].message


def test_an_upload_is_cancelled_even_if_it_fails(serve: Servers) -> None:
    place = "/v2/regctl-ping/blobs/uploads/1"
    answers = {
        "POST": Answer(202, headers={"Location": place}),
        "PATCH": Answer(500),
        "DELETE": Answer(204),
    }
    registry = serve(standin_registry(StandinRegistry(script=lambda r: answers.get(r.method))))
    found = checks(registry, CI, upload_bytes=10)
    assert found["upload"].state == "failure"
    assert [(r.method, r.path) for r in registry.requests[-2:]] == [
        ("PATCH", place),
        ("DELETE", place),
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotAuthenticatedError("no"), NotAuthenticatedError),
        (NotPermittedError("no"), NotAuthenticatedError),
        (RegistryError("no"), RegistryError),
        (None, RegistryError),
    ],
)
def test_the_verdict_is_the_first_failure(
    error: RegctlError | None, kind: type[RegctlError]
) -> None:
    found = verdict(
        [
            Check("name", "ok", "fine"),
            Check("clock", "warning", "late"),
            Check("password", "failure", "no", "a hint", error),
            Check("catalog", "failure", "neither"),
        ]
    )
    assert type(found) is kind
    assert (str(found), found.hint) == ("password: no", "a hint")


def test_without_a_failure_there_is_no_error() -> None:
    assert verdict([Check("name", "ok", "fine"), Check("clock", "warning", "late")]) is None
