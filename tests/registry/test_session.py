"""One request to a registry: expected statuses, retries and notices."""

import io

import pytest

from regctl import errors
from regctl.registry.request import Request
from regctl.registry.session import Callbacks
from tests.conftest import Servers
from tests.registry import CI, connect
from tests.servers import standin_registry as standin
from tests.servers.standin_registry import Answer, StandinRegistry, in_turn, standin_registry

BLOB = "/v2/a/blobs/sha256:0"


def test_a_status_that_is_not_expected_is_an_error(serve: Servers) -> None:
    host = serve(standin_registry(StandinRegistry(script=lambda _: Answer(403)))).host
    session = connect(host)
    assert session.send(Request("GET", BLOB, "cannot try")).status == 403
    assert session.send(Request("GET", BLOB, "cannot try", expect={200, 403})).status == 403
    with pytest.raises(errors.NotPermittedError, match="cannot try: forbidden"):
        session.send(Request("GET", BLOB, "cannot try", expect={200}))


def test_a_busy_registry_is_asked_again(serve: Servers) -> None:
    busy = in_turn(Answer(429, headers={"Retry-After": "0"}), Answer(503))
    registry = serve(standin_registry(StandinRegistry(tags={"a": []}, script=busy)))
    assert list(connect(registry.host).repositories()) == ["a"]
    assert len(registry.requests) == 3


def test_the_last_response_counts_if_the_registry_stays_busy(serve: Servers) -> None:
    registry = serve(standin_registry(StandinRegistry(script=lambda _: Answer(503))))
    with pytest.raises(errors.RegistryError, match="answers 503"):
        connect(registry.host).ping()
    assert len(registry.requests) == 3


def test_the_pause_that_a_registry_asks_for_is_reported(serve: Servers) -> None:
    busy = in_turn(Answer(429, headers={"Retry-After": "0"}))
    host = serve(standin_registry(StandinRegistry(tags={"a": []}, script=busy))).host
    waits: list[float] = []
    assert list(connect(host, callbacks=Callbacks(on_wait=waits.append)).repositories()) == ["a"]
    assert waits == [0.0]


def test_close_ends_a_pause(serve: Servers) -> None:
    state = StandinRegistry(script=lambda _: Answer(503, headers={"Retry-After": "100"}))
    host = serve(standin_registry(state)).host
    waits: list[float] = []

    def interrupt(seconds: float) -> None:
        waits.append(seconds)
        client.close()

    client = connect(host, callbacks=Callbacks(on_wait=interrupt))
    with pytest.raises(errors.RegistryUnreachableError, match="interrupted"):
        client.ping()
    assert waits == [100.0]
    with pytest.raises(errors.RegistryUnreachableError, match="interrupted"):
        client.pause(100)


def test_a_file_is_sent_again_from_its_first_position(serve: Servers) -> None:
    """After a 401 and after a 429: the first try has moved the position."""
    state = StandinRegistry(
        allows=lambda *_: True,
        script=in_turn(
            Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
            Answer(429, headers={"Retry-After": "0"}),
            Answer(201),
        ),
    )
    registry = serve(standin_registry(state))
    session = connect(registry.host)
    body = io.BytesIO(b"skipped;content")
    request = Request("PUT", "/v2/a/x", "cannot try", body=body)
    body.seek(8)
    assert session.send(request).status == 401
    body.seek(8)
    assert session.send(request).status == 201
    assert [request.body for request in registry.requests] == [b"content"] * 3


def test_each_warning_of_the_registry_is_reported_once(serve: Servers) -> None:
    headers = {"Warning": '299 - "read-only from May", 299 - "second"'}
    state = StandinRegistry(script=lambda _: Answer.of({}, headers=headers))
    host = serve(standin_registry(state)).host
    notices: list[str] = []
    client = connect(host, callbacks=Callbacks(on_notice=notices.append))
    client.ping()
    client.ping()
    assert notices == [f"{host} warns: read-only from May", f"{host} warns: second"]


def test_a_blob_is_mounted_with_rights_in_both_repositories(serve: Servers) -> None:
    scopes: list[str] = []

    def script(request: standin.Request) -> Answer | None:
        if request.path == "/token":
            scopes.append(request.query["scope"])
            return Answer.of({"token": "t"})
        if request.headers.get("authorization") != "Bearer t":
            header = f'Bearer realm="http://{state.host}/token"'
            return Answer(401, headers={"WWW-Authenticate": header})
        return Answer(201)

    state = StandinRegistry(script=script)
    host = serve(standin_registry(state)).host
    mount = Request("POST", "/v2/b/blobs/uploads/?mount=x&from=a", "cannot mount")
    assert connect(host, CI).send(mount).status == 201
    assert scopes == ["repository:a:pull"]  # the last of the two: the stand-in keeps one
