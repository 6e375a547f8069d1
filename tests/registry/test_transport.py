"""One request and its answer: what is trusted, sent along, decompressed and read."""

import gzip
import io
import ssl
import warnings
import zlib
from pathlib import Path

import pytest

from regctl import errors
from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.session import Callbacks
from regctl.registry.session import Request as ApiRequest
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff
from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import docker_registry
from tests.servers.standin_registry import (
    Answer,
    Request,
    StandinRegistry,
    digest_of,
    in_turn,
    standin_registry,
)

NO_PAUSE = Backoff(tries=3, base=0)
PLAIN = ConnectionSettings(plain_http=True, backoff=NO_PAUSE)


def client(host: str, settings: ConnectionSettings = PLAIN) -> RegistryClient:
    return RegistryClient(
        Registry.parse(host),
        credential=Credential("ci", "hunter2"),
        settings=settings,
    )


# Trust


def test_what_the_system_trusts_is_trusted(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path / "tls")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError):
        client(host, ConnectionSettings()).ping()
    # Where OpenSSL looks for the system's certificates.
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(certificate.ca_file))
    client(host, ConnectionSettings()).ping()


def test_a_certificate_for_another_name_is_refused(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls", "registry.foo.com")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError, match=r"not valid for '127\.0\.0\.1'"):
        client(host, ConnectionSettings(ca_file=certificate.ca_file)).ping()


def test_trust_that_is_waived_is_waived_in_silence(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client(host, ConnectionSettings(insecure_skip_tls_verify=True)).ping()


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"text", "no certificate")])
def test_a_ca_file_that_is_none_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.CertificateError, match=said):
        client("127.0.0.1:1", ConnectionSettings(ca_file=path)).ping()


# What is sent along


def test_a_cookie_is_never_sent_back(serve: Servers) -> None:
    cookie = Answer.of({}, headers={"Set-Cookie": "sid=1; Path=/"})
    registry = serve(standin_registry(StandinRegistry(script=in_turn(cookie))))
    for _ in range(2):
        client_ = client(registry.host)
        client_.ping()
        client_.ping()
    assert all("cookie" not in request.headers for request in registry.requests)


def test_a_body_from_a_file_is_sent_again_from_where_it_stood(serve: Servers) -> None:
    """After a 401 and after a 429: what was sent before is gone from the file's position."""
    state = StandinRegistry(
        allows=lambda *_: True,
        script=in_turn(
            Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
            Answer(429, headers={"Retry-After": "0"}),
            Answer(201),
        ),
    )
    registry = serve(standin_registry(state))
    session = RegistryClient(Registry.parse(registry.host), settings=PLAIN).session
    body = io.BytesIO(b"skipped;content")
    request = ApiRequest("PUT", "/v2/a/x", "cannot try", body=body)
    body.seek(8)
    assert session.send(request).status == 401
    body.seek(8)
    assert session.send(request).status == 201
    assert [request.body for request in registry.requests] == [b"content"] * 3


# What comes


def test_a_blob_from_where_it_is_stored_without_credentials(serve: Servers) -> None:
    layer = b"layer" * 50_000
    storage = serve(standin_registry(StandinRegistry(script=lambda _request: Answer(200, layer))))
    there = Answer(307, headers={"Location": f"{storage.url}/bucket/layer?X-Signature=secret"})
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: there)))
    assert client(registry.host).blob("a", digest_of(layer)) == layer
    assert "authorization" in registry.requests[0].headers
    assert [request.headers.get("authorization") for request in storage.requests] == [None]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(200, b"not it"), errors.DigestMismatchError),
        (Answer(200, b"half", {"Content-Length": "100"}, hang_up=True), errors.ConnectionLostError),
        (Answer.of({"errors": [{"code": "BLOB_UNKNOWN"}]}, 404), errors.NotInRegistryError),
        (Answer(403), errors.NotPermittedError),
    ],
)
def test_a_blob_that_is_not_to_be_had(
    serve: Servers, answer: Answer, error: type[errors.RegctlError]
) -> None:
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: answer)))
    with pytest.raises(error):
        client(registry.host).blob("a", digest_of(b"it"))


def test_the_head_of_a_manifest_takes_no_content(serve: Servers) -> None:
    state = StandinRegistry()
    digest = state.put_image("a", "1.0", b"layer")
    registry = serve(standin_registry(state))
    head = client(registry.host).manifest_head("a", "1.0")
    whole = client(registry.host).manifest("a", digest)
    assert (head.digest, head.media_type, head.size) == (
        digest,
        whole.media_type,
        len(whole.body),
    )
    assert registry.requests[0].method == "HEAD"
    with pytest.raises(errors.NotInRegistryError):
        client(registry.host).manifest_head("a", "2.0")


def test_a_head_without_a_digest_is_made_up_for(serve: Servers) -> None:
    state = StandinRegistry()
    digest = state.put_image("a", "1.0", b"layer")
    state.script = lambda request: Answer() if request.method == "HEAD" else None
    assert client(serve(standin_registry(state)).host).manifest_head("a", "1.0").digest == digest


CONTENT = b'{"repositories":["a","b"]}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(CONTENT)),
        ("X-GZIP", gzip.compress(CONTENT)),
        ("gzip", gzip.compress(CONTENT[:10]) + gzip.compress(CONTENT[10:])),
        ("deflate", zlib.compress(CONTENT)),
        ("identity", CONTENT),
    ],
)
def test_compressed_answers_are_read(serve: Servers, encoding: str, body: bytes) -> None:
    answer = Answer(200, body, {"Content-Encoding": encoding})
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: answer)))
    assert list(client(registry.host).repositories()) == ["a", "b"]


def test_a_compressed_answer_without_its_end_is_no_answer(serve: Servers) -> None:
    answer = Answer(200, gzip.compress(CONTENT)[:-9], {"Content-Encoding": "gzip"})
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: answer)))
    with pytest.raises(errors.RegistryError, match="not compressed as its header says"):
        list(client(registry.host).repositories())


def test_what_the_registry_warns_of_is_told_once(serve: Servers) -> None:
    warned = {"Warning": '299 - "read-only from May", 299 - "second"'}
    state = StandinRegistry(script=lambda _request: Answer.of({}, headers=warned))
    told: list[str] = []
    host = serve(standin_registry(state)).host
    watched = RegistryClient(
        Registry.parse(host), settings=PLAIN, callbacks=Callbacks(on_notice=told.append)
    )
    watched.ping()
    watched.ping()
    assert told == [f"{host} warns: read-only from May", f"{host} warns: second"]


def test_who_is_interrupted_waits_no_more(serve: Servers) -> None:
    state = StandinRegistry(script=lambda _request: Answer(503, headers={"Retry-After": "100"}))
    host = serve(standin_registry(state)).host
    waited: list[float] = []

    def interrupt(seconds: float) -> None:
        waited.append(seconds)
        impatient.close()

    impatient = RegistryClient(
        Registry.parse(host), settings=PLAIN, callbacks=Callbacks(on_wait=interrupt)
    )
    with pytest.raises(errors.RegistryUnreachableError, match="interrupted"):
        impatient.ping()
    assert waited == [100.0]


def test_a_mounted_blob_needs_a_right_in_both_repositories(serve: Servers) -> None:
    asked: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.path == "/token":
            asked.append(request.query["scope"])
            return Answer.of({"token": "t"})
        if request.headers.get("authorization") != "Bearer t":
            header = f'Bearer realm="http://{state.host}/token"'
            return Answer(401, headers={"WWW-Authenticate": header})
        return Answer(201)

    state = StandinRegistry(script=script)
    host = serve(standin_registry(state)).host
    reply = client(host).session.send(
        ApiRequest("POST", "/v2/b/blobs/uploads/?mount=x&from=a", "cannot mount")
    )
    assert reply.status == 201
    assert asked == ["repository:a:pull"]  # the last of the two: the stand-in keeps one
