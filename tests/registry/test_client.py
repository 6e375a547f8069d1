"""The registry client, on Debian's docker-registry and, for what that never does, on a stand-in."""

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from regctl import errors
from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.session import Callbacks
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff, RequestTrace
from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.nginx import nginx
from tests.servers.process import free_port
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

NO_PAUSE = Backoff(tries=3, base=0, cap=0)
PLAIN = ConnectionSettings(plain_http=True, backoff=NO_PAUSE)


def client(
    host: str, *, credential: Credential | None = None, settings: ConnectionSettings = PLAIN
) -> RegistryClient:
    return RegistryClient(Registry.parse(host), credential=credential, settings=settings)


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
    """A registry with NAMES in it, gone from the disk with the last test of this file."""
    folder = tmp_path_factory.mktemp("large")
    registry = serve_module(docker_registry(folder / "registry"))
    registry.push_image(NAMES[0], "1.0")
    registry.copy_repository(NAMES[0], NAMES[1:])
    yield registry
    shutil.rmtree(registry.root)


@pytest.mark.parametrize("max_entries", [50, 1_000, None])
def test_every_repository_comes_once_and_in_order_however_many_pages_there_are(
    serve: Servers, tmp_path: Path, large: DockerRegistry, max_entries: int | None
) -> None:
    """Also from a registry that refuses to be asked for more than it gives."""
    host = serve(docker_registry(tmp_path / "r", root=large.root, max_entries=max_entries)).host
    assert list(client(host).repositories()) == NAMES
    assert list(client(host).repositories(last=NAMES[2_500])) == NAMES[2_501:]


def test_every_repository_comes_through_nginx_with_tls_and_a_password(
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
    zoe = Credential("zoë", "zoë:pässword")
    assert list(client(front.host, credential=zoe, settings=trusting).repositories()) == NAMES


def test_tags_of_a_repository_and_of_one_that_lost_them(registry: DockerRegistry) -> None:
    digest = registry.push_image("lost/app", "1.0")
    registry.push_image("kept/app", "1.0")
    registry.push_image("kept/app", "2.0")
    registry.request("DELETE", f"/v2/lost/app/manifests/{digest}")
    assert client(registry.host).tags("kept/app") == ["1.0", "2.0"]
    assert client(registry.host).tags("lost/app") == []
    with pytest.raises(errors.NotInRegistryError, match="never/there: not found"):
        client(registry.host).tags("never/there")


def test_the_password_opens_the_registry_and_another_does_not(
    serve: Servers, tmp_path: Path, auth_file: Path
) -> None:
    host = serve(docker_registry(tmp_path / "registry", auth_file=auth_file)).host
    client(host, credential=Credential("zoë", "zoë:pässword")).ping()
    client(host, credential=Credential("zoë", "zoë:pässword")).ping()
    with pytest.raises(errors.NotAuthenticatedError, match="rejects the password of zoë"):
        client(host, credential=Credential("zoë", "wrong")).ping()
    with pytest.raises(errors.NotAuthenticatedError, match="asks for a user"):
        client(host).ping()
    auth_file.write_text("no colon\n")
    with pytest.raises(errors.RegistryError, match="cannot read its auth file"):
        client(host, credential=Credential("zoë", "zoë:pässword")).ping()


def test_a_foreign_netrc_never_replaces_the_password(
    serve: Servers, tmp_path: Path, auth_file: Path, isolated_home: Path
) -> None:
    host = serve(docker_registry(tmp_path / "registry", auth_file=auth_file)).host
    (isolated_home / ".netrc").write_text("machine 127.0.0.1 login zoë password wrong\n")
    client(host, credential=Credential("zoë", "zoë:pässword")).ping()


def test_behind_nginx_with_tls_and_basic_authentication(
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
    known = client(front.host, credential=Credential("zoë", "zoë:pässword"), settings=trusting)
    assert "behind/nginx" in known.repositories()


def test_an_untrusted_certificate_is_named_and_so_is_the_flag(
    serve: Servers, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path / "tls")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError, match="not trusted") as caught:
        client(host, settings=ConnectionSettings()).ping()
    assert "--ca-file" in (caught.value.hint or "")
    client(host, settings=ConnectionSettings(ca_file=certificate.ca_file)).ping()


def test_an_expired_certificate_is_told_apart(serve: Servers, tmp_path: Path) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    certificate = make_certificate(tmp_path / "tls", expires=yesterday)
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError, match="expired"):
        client(host, settings=ConnectionSettings(ca_file=certificate.ca_file)).ping()


def test_http_where_https_was_asked_for_and_the_reverse(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    with pytest.raises(errors.NotARegistryError, match="speaks HTTP, not HTTPS") as caught:
        client(registry.host, settings=ConnectionSettings()).ping()
    assert "--plain-http" in (caught.value.hint or "")
    secure = serve(
        docker_registry(tmp_path / "registry", certificate=make_certificate(tmp_path / "tls"))
    )
    with pytest.raises(errors.NotARegistryError, match="speaks HTTPS"):
        client(secure.host).ping()


def test_what_is_down_or_is_no_registry(serve: Servers, tmp_path: Path) -> None:
    with pytest.raises(errors.RegistryUnreachableError, match="connection refused"):
        client(f"127.0.0.1:{free_port()}").ping()
    page = serve(nginx(tmp_path / "nginx"))
    with pytest.raises(errors.NotARegistryError, match="is not a registry"):
        client(page.host).ping()
    with pytest.raises(errors.NotARegistryError, match="is not a registry"):
        list(client(page.host).repositories())


@pytest.mark.parametrize(
    ("answer", "said"),
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
def test_a_strange_answer_is_an_error_with_a_name(
    serve: Servers, answer: Answer, said: str | None
) -> None:
    def script(request: Request) -> Answer | None:
        return answer if request.path == "/v2/_catalog" else None

    standin = serve(standin_registry(StandinRegistry(script=script)))
    if said is None:
        assert list(client(standin.host).repositories()) == ["a"]
        return
    with pytest.raises(errors.RegctlError, match=said):
        list(client(standin.host).repositories())


def linking(*links: str) -> StandinRegistry:
    """A registry whose pages link to each other as told; the last one to none."""

    def script(request: Request) -> Answer | None:
        if request.path != "/v2/_catalog":
            return None
        page = int(request.query.get("page", 0))
        headers = {"Link": f'<{links[page]}>; rel="next"'} if page < len(links) else {}
        return Answer.of({"repositories": [f"page-{page}", "again"]}, headers=headers)

    return StandinRegistry(script=script)


def test_links_are_followed_on_our_own_origin_only(serve: Servers) -> None:
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
    names = list(client(standin.host, credential=Credential("u", "p")).repositories())
    assert names == ["page-0", "again", "page-1", "page-2", "page-3"]
    assert foreign.requests == []


def test_pages_in_a_circle_end_with_the_page_named(serve: Servers) -> None:
    standin = serve(
        standin_registry(linking("/v2/_catalog?page=1", "/v2/_catalog?page=2", "?page=1"))
    )
    names = client(standin.host).repositories()
    assert [next(names) for _ in range(4)] == ["page-0", "again", "page-1", "page-2"]
    with pytest.raises(errors.IncompleteListError, match=r"circle back to /v2/_catalog\?page=1"):
        next(names)


def test_a_page_is_out_before_the_next_is_asked_for(serve: Servers) -> None:
    standin = serve(standin_registry(StandinRegistry(tags={"a": [], "b": [], "c": []}, page=1)))
    names = client(standin.host).repositories()
    assert next(names) == "a"
    assert len(standin.requests) == 1


def test_a_busy_registry_is_asked_again(serve: Servers) -> None:
    busy = iter([Answer(429, headers={"Retry-After": "0"}), Answer(503)])
    standin = serve(
        standin_registry(StandinRegistry(tags={"a": []}, script=lambda _request: next(busy, None)))
    )
    assert list(client(standin.host).repositories()) == ["a"]
    assert len(standin.requests) == 3


def test_each_request_is_reported_without_its_secret(serve: Servers) -> None:
    standin = serve(standin_registry(StandinRegistry(tags={"a": []})))
    seen: list[RequestTrace] = []
    watched = RegistryClient(
        Registry.parse(standin.host),
        credential=Credential("ci", "hunter2"),
        settings=PLAIN,
        callbacks=Callbacks(on_request=seen.append),
    )
    assert list(watched.repositories()) == ["a"]
    assert [(trace.method, trace.status) for trace in seen] == [("GET", 200)]
    assert "hunter2" not in repr(seen) + repr(vars(watched))
