"""Each server's handle does what its name says, on the real program."""

import datetime as dt
import os
import ssl
import urllib.error
from pathlib import Path

import bcrypt
import pytest

from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.consumers import apache, caddy, haproxy, status
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.nginx import nginx
from tests.servers.standin_registry import StandinRegistry, standin_registry

HASH = bcrypt.hashpw(b"right", b"$2y$04$" + bcrypt.gensalt(4)[7:]).decode()


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    path = tmp_path / "auth"
    path.write_text(f"alice:{HASH}\n")
    tmp_path.chmod(0o755)
    path.chmod(0o644)
    return path


def test_the_registry_takes_an_image_and_reads_the_auth_file(
    serve: Servers, tmp_path: Path, auth_file: Path
) -> None:
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth_file))
    assert registry.allows("alice", "right")
    assert not registry.allows("alice", "wrong")
    registry.push_image("team/app", "1.0", user=("alice", "right"))
    registry.copy_repository("team/app", ["copy/one", "copy/two"])
    _, _, body = registry.request("GET", "/v2/_catalog", user=("alice", "right"))
    assert body == b'{"repositories":["copy/one","copy/two","team/app"]}\n'


def test_the_registry_speaks_tls(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    assert registry.request("GET", "/v2/")[0] == 200


def test_an_expired_certificate_is_expired(serve: Servers, tmp_path: Path) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    certificate = make_certificate(tmp_path / "tls", expires=yesterday)
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    with pytest.raises(urllib.error.URLError) as caught:
        registry.request("GET", "/v2/")
    assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_nginx_guards_the_registry_behind_it(
    serve: Servers, tmp_path: Path, auth_file: Path, registry: DockerRegistry
) -> None:
    front = serve(nginx(tmp_path / "nginx", upstream=registry.host, auth_file=auth_file))
    assert status(f"{front.url}/v2/", "alice", "right") == 200
    assert status(f"{front.url}/v2/", "alice", "wrong") == 401


@pytest.mark.parametrize("server", [apache, haproxy, caddy, nginx])
def test_the_consumers_let_in_whom_the_file_names(
    serve: Servers, tmp_path: Path, auth_file: Path, server: object
) -> None:
    if server is apache:
        url = serve(apache(tmp_path / "server", auth_file))
    elif server is haproxy:
        url = serve(haproxy(tmp_path / "server", {"alice": HASH}))
    elif server is caddy:
        url = serve(caddy(tmp_path / "server", {"alice": HASH}))
    else:
        url = serve(nginx(tmp_path / "server", auth_file=auth_file)).url
    assert status(url, "alice", "right") == 200
    assert status(url, "alice", "wrong") == 401
    assert status(url) == 401


def test_the_api_server_knows_users_rights_and_counts(
    kubernetes: ApiServer, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    mark = kubernetes.audit_mark()
    assert kubernetes.request("POST", path, {"metadata": {"name": "x"}})[0] == 201
    assert kubernetes.request("GET", f"{path}/x", user="alice")[0] == 403
    kubernetes.grant(
        "alice", namespace, [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    )
    events = [
        (event.user, event.verb, event.resource, event.code)
        for event in kubernetes.audit(mark, user_agent="Python-urllib")
    ]
    assert events[:2] == [("admin", "create", "secrets", 201), ("alice", "get", "secrets", 403)]


def test_a_terminating_namespace_takes_nothing_new(kubernetes: ApiServer, namespace: str) -> None:
    kubernetes.terminate_namespace(namespace)
    answer = kubernetes.request(
        "POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "x"}}
    )
    assert answer[0] == 403
    assert answer[1]["details"]["causes"][0]["reason"] == "NamespaceTerminating"


def test_a_server_is_gone_with_its_block(tmp_path: Path) -> None:
    with docker_registry(tmp_path / "registry") as registry:
        pid = registry.process.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_stand_in_pages_and_records() -> None:
    with standin_registry(StandinRegistry(tags={"a": ["1"], "b": []}, page=1)) as standin:
        assert status(f"{standin.url}/v2/_catalog") == 200
        assert standin.requests[0].path == "/v2/_catalog"
        answer = standin.answer(standin.requests[0])
    assert answer.body == b'{"repositories": ["a"]}'
    assert answer.headers["Link"] == '</v2/_catalog?last=a&n=1>; rel="next"'
