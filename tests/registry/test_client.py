"""The registry client with distribution, and with a stand-in for its faults."""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import pytest

from regctl import errors
from regctl.credentials.credential import Credential
from regctl.registry.session import Callbacks
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.registry import CI, connect
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.nginx import nginx
from tests.servers.process import free_port
from tests.servers.standin_registry import (
    Answer,
    Request,
    StandinRegistry,
    digest_of,
    standin_registry,
)

if TYPE_CHECKING:
    from regctl.retry import RequestTrace

ZOE = Credential("zoë", "zoë:pässword")


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    path = tmp_path / "auth"
    hashed = bcrypt.hashpw("zoë:pässword".encode(), bcrypt.gensalt(4)).decode()
    path.write_text(f"zoë:{hashed}\n")
    return path


NAMES = [f"team-{number:04}/app" for number in range(3_000)]


@pytest.fixture(scope="module")
def large(
    serve_module: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerRegistry]:
    """Run a registry with NAMES in it; its data is deleted after the last test of this file."""
    folder = tmp_path_factory.mktemp("large")
    registry = serve_module(docker_registry(folder / "registry"))
    registry.push_image(NAMES[0], "1.0")
    registry.copy_repository(NAMES[0], NAMES[1:])
    yield registry
    shutil.rmtree(registry.root)


@pytest.mark.parametrize("max_entries", [50, 1_000, None])
def test_every_repository_is_listed_once_and_in_order_over_all_pages(
    serve: Servers, tmp_path: Path, large: DockerRegistry, max_entries: int | None
) -> None:
    """Also from a registry that rejects a request for a larger page than it sends."""
    host = serve(docker_registry(tmp_path / "r", root=large.root, max_entries=max_entries)).host
    assert list(connect(host).repositories()) == NAMES
    assert list(connect(host).repositories(last=NAMES[2_500])) == NAMES[2_501:]


def test_every_repository_is_listed_through_nginx_with_tls_and_a_password(
    serve: Servers, tmp_path: Path, auth_file: Path, large: DockerRegistry
) -> None:
    stingy = serve(docker_registry(tmp_path / "r", root=large.root, max_entries=50))
    certificate = make_certificate(tmp_path / "tls")
    front = serve(
        nginx(
            tmp_path / "nginx",
            upstream=stingy.host,
            auth_file=auth_file,
            certificate=certificate,
        )
    )
    trusting = ConnectionSettings(ca_file=certificate.ca_file)
    assert list(connect(front.host, ZOE, settings=trusting).repositories()) == NAMES


def test_tags_of_a_repository_and_of_one_whose_tags_were_deleted(registry: DockerRegistry) -> None:
    digest = registry.push_image("lost/app", "1.0")
    registry.push_image("kept/app", "1.0")
    registry.push_image("kept/app", "2.0")
    registry.request("DELETE", f"/v2/lost/app/manifests/{digest}")
    assert connect(registry.host).tags("kept/app") == ["1.0", "2.0"]
    assert connect(registry.host).tags("lost/app") == []
    with pytest.raises(errors.NotInRegistryError, match="never/there: not found"):
        connect(registry.host).tags("never/there")


def test_the_registry_accepts_the_password_and_no_other(
    serve: Servers, tmp_path: Path, auth_file: Path
) -> None:
    host = serve(docker_registry(tmp_path / "registry", auth_file=auth_file)).host
    connect(host, ZOE).ping()
    connect(host, ZOE).ping()
    with pytest.raises(errors.NotAuthenticatedError, match="rejects the password of zoë"):
        connect(host, Credential("zoë", "wrong")).ping()
    with pytest.raises(errors.NotAuthenticatedError, match="asks for a user"):
        connect(host).ping()
    auth_file.write_text("no colon\n")
    with pytest.raises(errors.RegistryError, match="cannot read its auth file"):
        connect(host, ZOE).ping()


def test_netrc_never_replaces_the_password(
    serve: Servers, tmp_path: Path, auth_file: Path, isolated_home: Path
) -> None:
    host = serve(docker_registry(tmp_path / "registry", auth_file=auth_file)).host
    (isolated_home / ".netrc").write_text("machine 127.0.0.1 login zoë password wrong\n")
    connect(host, ZOE).ping()


def test_a_registry_behind_nginx_with_tls_and_basic_authentication(
    serve: Servers, tmp_path: Path, auth_file: Path, registry: DockerRegistry
) -> None:
    registry.push_image("behind/nginx", "1.0")
    certificate = make_certificate(tmp_path / "tls")
    front = serve(
        nginx(
            tmp_path / "nginx",
            upstream=registry.host,
            auth_file=auth_file,
            certificate=certificate,
        )
    )
    trusting = ConnectionSettings(ca_file=certificate.ca_file)
    known = connect(front.host, ZOE, settings=trusting)
    assert "behind/nginx" in known.repositories()


def test_an_untrusted_certificate_is_named_with_the_flag(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError, match="not trusted") as caught:
        connect(host, settings=ConnectionSettings()).ping()
    assert "--ca-file" in (caught.value.hint or "")
    connect(host, settings=ConnectionSettings(ca_file=certificate.ca_file)).ping()


def test_an_expired_certificate_is_named(serve: Servers, tmp_path: Path) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    certificate = make_certificate(tmp_path / "tls", expires=yesterday)
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError, match="expired"):
        connect(host, settings=ConnectionSettings(ca_file=certificate.ca_file)).ping()


def test_http_instead_of_https_is_named_and_the_reverse(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    with pytest.raises(errors.NotARegistryError, match="speaks HTTP, not HTTPS") as caught:
        connect(registry.host, settings=ConnectionSettings()).ping()
    assert "--plain-http" in (caught.value.hint or "")
    secure = serve(
        docker_registry(tmp_path / "registry", certificate=make_certificate(tmp_path / "tls"))
    )
    with pytest.raises(errors.NotARegistryError, match="speaks HTTPS"):
        connect(secure.host).ping()


def test_a_server_that_is_down_or_is_no_registry_is_named(serve: Servers, tmp_path: Path) -> None:
    with pytest.raises(errors.RegistryUnreachableError, match="connection refused"):
        connect(f"127.0.0.1:{free_port()}").ping()
    page = serve(nginx(tmp_path / "nginx"))
    with pytest.raises(errors.NotARegistryError, match="is not a registry"):
        connect(page.host).ping()
    with pytest.raises(errors.NotARegistryError, match="is not a registry"):
        list(connect(page.host).repositories())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(200, b"<html>"), "not a JSON object"),
        (Answer.of({"nothing": []}), "no list of repositories"),
        (Answer.of(["a"]), None),
        (Answer.of({"errors": [{"code": "DENIED", "message": "no"}]}, 403), "forbidden"),
        (Answer(500, b"oops"), "answers 500"),
        (
            Answer(200, b"{}", {"Content-Length": "10"}, hang_up=True),
            "connection broke before the response ended",
        ),
    ],
)
def test_an_unusable_response_is_a_named_error(
    serve: Servers, answer: Answer, message: str | None
) -> None:
    def script(request: Request) -> Answer | None:
        return answer if request.path == "/v2/_catalog" else None

    standin = serve(standin_registry(StandinRegistry(script=script)))
    if message is None:
        assert list(connect(standin.host).repositories()) == ["a"]
        return
    with pytest.raises(errors.RegctlError, match=message):
        list(connect(standin.host).repositories())


def linking(*links: str) -> StandinRegistry:
    """Return a registry whose pages link to *links* in turn; the last page has no link."""

    def script(request: Request) -> Answer | None:
        if request.path != "/v2/_catalog":
            return None
        page = int(request.query.get("page", 0))
        headers = {"Link": f'<{links[page]}>; rel="next"'} if page < len(links) else {}
        return Answer.of({"repositories": [f"page-{page}", "again"]}, headers=headers)

    return StandinRegistry(script=script)


def test_links_are_followed_at_our_own_origin_only(serve: Servers) -> None:
    foreign = serve(standin_registry())
    standin = serve(
        standin_registry(
            linking(
                "/v2/_catalog?page=1",
                "?page=2",
                f"http://{foreign.host}/v2/_catalog?page=3",
            )
        )
    )
    names = list(connect(standin.host, CI).repositories())
    assert names == ["page-0", "again", "page-1", "page-2", "page-3"]
    assert foreign.requests == []


def test_pages_that_link_in_a_circle_are_an_error_with_the_page(serve: Servers) -> None:
    standin = serve(
        standin_registry(linking("/v2/_catalog?page=1", "/v2/_catalog?page=2", "?page=1"))
    )
    names = connect(standin.host).repositories()
    assert [next(names) for _ in range(4)] == ["page-0", "again", "page-1", "page-2"]
    with pytest.raises(errors.IncompleteListError, match=r"circle back to /v2/_catalog\?page=1"):
        next(names)


def test_a_page_is_yielded_before_the_next_is_requested(serve: Servers) -> None:
    standin = serve(standin_registry(StandinRegistry(tags={"a": [], "b": [], "c": []}, page=1)))
    names = connect(standin.host).repositories()
    assert next(names) == "a"
    assert len(standin.requests) == 1


def test_each_request_is_reported_without_its_secret(serve: Servers) -> None:
    standin = serve(standin_registry(StandinRegistry(tags={"a": []})))
    seen: list[RequestTrace] = []
    watched = connect(standin.host, CI, callbacks=Callbacks(on_request=seen.append))
    assert list(watched.repositories()) == ["a"]
    assert [(trace.method, trace.status) for trace in seen] == [("GET", 200)]
    assert "hunter2" not in repr(seen) + repr(vars(watched))


def test_a_blob_is_fetched_from_storage_without_credentials(serve: Servers) -> None:
    layer = b"layer" * 50_000
    storage = serve(standin_registry(StandinRegistry(script=lambda _request: Answer(200, layer))))
    there = Answer(307, headers={"Location": f"{storage.url}/bucket/layer?X-Signature=secret"})
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: there)))
    assert connect(registry.host, CI).blob("a", digest_of(layer)) == layer
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
def test_a_blob_that_cannot_be_fetched_is_a_named_error(
    serve: Servers, answer: Answer, error: type[errors.RegctlError]
) -> None:
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: answer)))
    with pytest.raises(error):
        connect(registry.host, CI).blob("a", digest_of(b"it"))


def test_the_head_of_a_manifest_is_read_without_its_content(serve: Servers) -> None:
    state = StandinRegistry()
    digest = state.put_image("a", "1.0", b"layer")
    registry = serve(standin_registry(state))
    head = connect(registry.host, CI).manifest_head("a", "1.0")
    whole = connect(registry.host, CI).manifest("a", digest)
    assert (head.digest, head.media_type, head.size) == (
        digest,
        whole.media_type,
        len(whole.body),
    )
    assert registry.requests[0].method == "HEAD"
    with pytest.raises(errors.NotInRegistryError):
        connect(registry.host, CI).manifest_head("a", "2.0")


def test_a_manifest_is_not_put_under_the_digest_of_another(serve: Servers) -> None:
    registry = serve(standin_registry(StandinRegistry()))
    with pytest.raises(errors.DigestMismatchError, match="its content has the digest"):
        connect(registry.host, CI).put_manifest("a", digest_of(b"it"), b"{}", "application/json")
    assert registry.requests == []


def test_a_head_without_a_digest_reads_the_manifest(serve: Servers) -> None:
    state = StandinRegistry()
    digest = state.put_image("a", "1.0", b"layer")
    state.script = lambda request: Answer() if request.method == "HEAD" else None
    assert (
        connect(serve(standin_registry(state)).host, CI).manifest_head("a", "1.0").digest == digest
    )


def test_a_size_that_is_no_number_is_that_of_the_content(serve: Servers) -> None:
    state = StandinRegistry()
    digest = state.put_image("a", "1.0", b"layer")
    named = {"Docker-Content-Digest": digest, "Content-Length": "9" * 5000}

    def script(request: Request) -> Answer | None:
        return Answer(200, headers=named) if request.method == "HEAD" else None

    state.script = script
    head = connect(serve(standin_registry(state)).host, CI).manifest_head("a", "1.0")
    assert (head.digest, head.size) == (digest, len(state.manifests["a"]["1.0"].body))
