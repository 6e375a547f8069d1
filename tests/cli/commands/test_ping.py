"""`regctl ping`: each fault fails its own check, on real servers."""

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import Result

from regctl.authfile import hashes
from tests.cli import run
from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.nginx import nginx
from tests.servers.process import free_port
from tests.servers.products import PASSWORD, USER, harbor
from tests.servers.proxies import tunnel
from tests.servers.standin_registry import Answer, StandinRegistry, standin_registry

AS_CI = ["--username", "ci", "--password-stdin"]


def ping(*args: str, password: str = "right") -> Result:
    return run("ping", *args, stdin=password)


def states(result: Result) -> dict[str, str]:
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    return {row[0]: row[1] for row in rows}


@pytest.fixture
def guarded(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry that accepts ci."""
    (tmp_path / "auth").write_text(f"ci:{hashes.make('right', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "auth"))
    registry.push_image("app", "1.0", user=("ci", "right"))
    return registry


def test_every_check_passes_for_a_user_with_rights(guarded: DockerRegistry) -> None:
    result = ping(guarded.host, "--plain-http", *AS_CI, "--upload", "2M")
    assert result.exit_code == 0
    assert states(result) == dict.fromkeys(
        ["name", "connection", "registry", "authentication", "password", "catalog", "upload"], "ok"
    )
    assert "Basic, realm 'basic-realm'" in result.stdout
    assert guarded.request("GET", "/v2/_catalog", user=("ci", "right"))[2] == (
        b'{"repositories":["app"]}\n'
    ), "the trial upload leaves no trace"


def test_a_wrong_password_is_exit_code_4(guarded: DockerRegistry) -> None:
    result = ping(guarded.host, "--plain-http", *AS_CI, "-v", password="hunter2")
    assert result.exit_code == 4
    assert states(result)["password"] == "failure"
    assert "rejects the password of ci" in result.stderr
    assert "hunter2" not in result.stderr


def test_a_broken_auth_file_is_not_reported_as_a_wrong_password(
    guarded: DockerRegistry, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text("no colon\n")
    result = ping(guarded.host, "--plain-http", *AS_CI)
    assert result.exit_code == 1
    assert "cannot read its auth file" in result.stdout
    assert "regctl auth check" in result.stderr


def test_without_a_user_the_password_is_skipped(guarded: DockerRegistry) -> None:
    result = ping(guarded.host, "--plain-http")
    assert result.exit_code == 0
    assert states(result)["password"] == "skipped"
    assert "catalog" not in states(result)


def test_a_registry_without_authentication_is_a_warning(registry: DockerRegistry) -> None:
    result = ping(registry.host, "--plain-http")
    assert result.exit_code == 0
    assert states(result)["authentication"] == "warning"
    assert states(result)["catalog"] == "ok"


def test_an_unknown_name_or_a_closed_port_fails() -> None:
    result = ping("registry.invalid")
    assert (result.exit_code, states(result)) == (1, {"name": "failure"})
    result = ping(f"127.0.0.1:{free_port()}")
    assert (result.exit_code, states(result)["connection"]) == (1, "failure")
    assert "connection refused" in result.stdout


def test_http_and_https_mixed_up_have_a_hint(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    result = ping(registry.host)
    assert states(result)["TLS"] == "failure"
    assert "--plain-http" in result.stderr
    certificate = make_certificate(tmp_path / "tls")
    secure = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    result = ping(secure.host, "--plain-http")
    assert states(result)["registry"] == "failure"
    assert "speaks HTTPS" in result.stdout


def test_a_certificate_is_trusted_by_its_ca_file_only(serve: Servers, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    good = make_certificate(tmp_path / "good", expires=now + dt.timedelta(days=100, hours=1))
    host = serve(docker_registry(tmp_path / "registry", certificate=good)).host
    result = ping(host, "--ca-file", str(good.ca_file))
    assert states(result)["TLS"] == "ok"
    assert "for 100 more days" in result.stdout
    result = ping(host)
    assert (result.exit_code, states(result)["TLS"]) == (1, "failure")
    assert "--ca-file" in result.stderr
    result = ping(host, "--insecure-skip-tls-verify")
    assert (result.exit_code, states(result)["TLS"]) == (0, "warning")


@pytest.mark.parametrize(
    ("days", "state", "message"),
    [(-1, "failure", "certificate has expired"), (5, "warning", "for 5 more days")],
)
def test_a_certificate_that_expires_has_a_hint(
    serve: Servers, tmp_path: Path, days: int, state: str, message: str
) -> None:
    expires = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days, hours=1)
    certificate = make_certificate(tmp_path / "tls", expires=expires)
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    result = ping(host, "--ca-file", str(certificate.ca_file))
    assert states(result)["TLS"] == state
    assert message in result.stdout
    assert "renew the certificate" in result.stderr


def test_a_proxy_that_rejects_a_large_body_is_named(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    front = serve(nginx(tmp_path / "nginx", upstream=registry.host, max_body="1m"))
    assert states(ping(front.host, "--plain-http", "--upload", "900k"))["upload"] == "ok"
    result = ping(front.host, "--plain-http", "--upload", "2M")
    assert (result.exit_code, states(result)["upload"]) == (1, "failure")
    assert "nginx.ingress.kubernetes.io/proxy-body-size" in result.stderr


def test_another_web_server_is_not_a_registry(serve: Servers, tmp_path: Path) -> None:
    result = ping(serve(nginx(tmp_path / "nginx")).host, "--plain-http")
    assert (result.exit_code, states(result)["registry"]) == (1, "failure")
    assert "is not a registry" in result.stdout


def test_a_registry_without_a_catalog_passes_with_a_warning(
    without_catalog: DockerRegistry,
) -> None:
    result = ping(without_catalog.host, "--plain-http", "--upload", "2M")
    assert result.exit_code == 0, result.stderr
    assert states(result) == {
        "name": "ok",
        "connection": "ok",
        "registry": "ok",
        "authentication": "warning",
        "password": "skipped",
        "catalog": "warning",
        "upload": "ok",
    }


def test_harbor_passes_with_its_token_server(serve: Servers) -> None:
    product = serve(harbor())
    result = ping(
        product.host, "--plain-http", "--username", USER, "--password-stdin", password=PASSWORD
    )
    assert result.exit_code == 0
    assert states(result)["catalog"] == "ok"
    assert "Bearer, with tokens from" in result.stdout


def test_json_has_an_object_for_each_check(guarded: DockerRegistry) -> None:
    result = json.loads(ping(guarded.host, "--plain-http", *AS_CI, "-o", "json").stdout)
    assert [list(check) for check in result["checks"]] == [["name", "state", "message", "hint"]] * 6


@pytest.mark.parametrize("size", ["x", "0", "-1", "8T"])
def test_an_invalid_size_is_a_usage_error(size: str) -> None:
    result = ping("localhost", "--upload", size)
    assert result.exit_code == 2
    assert "not a size" in result.stderr


def test_a_registry_behind_an_https_proxy(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First a name that only the proxy resolves, then a proxy that is down."""
    certificate = make_certificate(tmp_path / "tls", "registry.foo.test")
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    monkeypatch.setenv("HTTPS_PROXY", serve(tunnel(lambda: registry.host)).url)
    command = ["ping", "registry.foo.test", "--ca-file", str(certificate.ca_file)]
    result = run(*command)
    steps = states(result)
    assert result.exit_code == 0, result.stderr
    assert (steps["proxy"], steps["connection"], steps["TLS"]) == ("ok", "ok", "ok")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{free_port()}")
    result = run(*command)
    assert result.exit_code == 1
    assert "check $HTTPS_PROXY" in result.stderr
    assert "s3cret" not in result.stdout + result.stderr


def test_a_server_that_answers_every_request_with_a_page_is_not_a_registry(
    serve: Servers,
) -> None:
    """A single-page application, most often: 200 and HTML for any path."""
    page = Answer(200, b"<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"})
    host = serve(standin_registry(StandinRegistry(script=lambda _: page))).host
    result = ping(host, "--plain-http", *AS_CI)
    assert (result.exit_code, states(result)["registry"]) == (1, "failure")
    assert "is not a registry: it sends a web page" in result.stdout
    for command in ("login", "catalog"):
        result = run(command, host, "--plain-http", *AS_CI, stdin="right")
        assert result.exit_code == 1
        assert "is not a registry" in result.stderr


def test_a_user_who_may_only_pull_is_no_user_with_a_wrong_password(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    """nginx in front of the registry lets some users only read, and answers 401 to the rest."""
    readers, pushers = tmp_path / "readers", tmp_path / "pushers"
    pushers.write_text(f"boss:{hashes.make('right', cost=4)}\n")
    readers.write_text(pushers.read_text() + f"ci:{hashes.make('right', cost=4)}\n")
    front = serve(
        nginx(tmp_path / "nginx", upstream=registry.host, auth_file=readers, pushers=pushers)
    )
    result = ping(front.host, "--plain-http", *AS_CI, "--upload", "1k")
    assert (result.exit_code, states(result)["upload"]) == (0, "warning")
    assert "the password of ci is correct, but ci may only pull" in result.stdout
    assert "rejects the password" not in result.output
    boss = ping(front.host, "--plain-http", "-u", "boss", "--password-stdin", "--upload", "1k")
    assert states(boss)["upload"] == "ok"
    wrong = ping(front.host, "--plain-http", *AS_CI, "--upload", "1k", password="wrong")
    assert (wrong.exit_code, states(wrong)["password"]) == (4, "failure")
