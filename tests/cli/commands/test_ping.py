"""`regctl ping`: each thing that can be wrong is named at its step, on real servers."""

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regctl.authfile import hashes
from regctl.cli.main import main
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
    return CliRunner().invoke(main, ["ping", *args], input=password, prog_name="regctl")


def states(told: Result) -> dict[str, str]:
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    return {row[0]: row[1] for row in rows}


@pytest.fixture
def guarded(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry that lets ci in."""
    (tmp_path / "auth").write_text(f"ci:{hashes.make('right', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "auth"))
    registry.push_image("app", "1.0", user=("ci", "right"))
    return registry


def test_all_is_well(guarded: DockerRegistry) -> None:
    told = ping(guarded.host, "--plain-http", *AS_CI, "--upload", "2M")
    assert told.exit_code == 0
    assert states(told) == dict.fromkeys(
        ["name", "connection", "registry", "authentication", "password", "catalog", "upload"], "ok"
    )
    assert "Basic, realm 'basic-realm'" in told.stdout
    assert guarded.request("GET", "/v2/_catalog", user=("ci", "right"))[2] == (
        b'{"repositories":["app"]}\n'
    ), "the trial upload leaves nothing behind"


def test_a_wrong_password_is_exit_code_4(guarded: DockerRegistry) -> None:
    told = ping(guarded.host, "--plain-http", *AS_CI, "-v", password="hunter2")
    assert told.exit_code == 4
    assert states(told)["password"] == "failure"
    assert "rejects the password of ci" in told.stderr
    assert "hunter2" not in told.stderr


def test_a_broken_auth_file_is_told_from_a_wrong_password(
    guarded: DockerRegistry, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text("no colon\n")
    told = ping(guarded.host, "--plain-http", *AS_CI)
    assert told.exit_code == 1
    assert "cannot read its auth file" in told.stdout
    assert "regctl auth check" in told.stderr


def test_without_a_user_the_password_is_skipped(guarded: DockerRegistry) -> None:
    told = ping(guarded.host, "--plain-http")
    assert told.exit_code == 0
    assert states(told)["password"] == "skipped"
    assert "catalog" not in states(told)


def test_a_registry_for_everybody_is_a_warning(registry: DockerRegistry) -> None:
    told = ping(registry.host, "--plain-http")
    assert told.exit_code == 0
    assert states(told)["authentication"] == "warning"
    assert states(told)["catalog"] == "ok"


def test_a_name_or_a_port_that_is_not_there() -> None:
    told = ping("registry.invalid")
    assert (told.exit_code, states(told)) == (1, {"name": "failure"})
    told = ping(f"127.0.0.1:{free_port()}")
    assert (told.exit_code, states(told)["connection"]) == (1, "failure")
    assert "connection refused" in told.stdout


def test_http_and_https_taken_for_each_other(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    told = ping(registry.host)
    assert states(told)["TLS"] == "failure"
    assert "--plain-http" in told.stderr
    certificate = make_certificate(tmp_path / "tls")
    secure = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    told = ping(secure.host, "--plain-http")
    assert states(told)["registry"] == "failure"
    assert "speaks HTTPS" in told.stdout


def test_certificates(serve: Servers, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    good = make_certificate(tmp_path / "good", expires=now + dt.timedelta(days=100, hours=1))
    host = serve(docker_registry(tmp_path / "registry", certificate=good)).host
    told = ping(host, "--ca-file", str(good.ca_file))
    assert states(told)["TLS"] == "ok"
    assert "for 100 more days" in told.stdout
    told = ping(host)
    assert (told.exit_code, states(told)["TLS"]) == (1, "failure")
    assert "--ca-file" in told.stderr
    told = ping(host, "--insecure-skip-tls-verify")
    assert (told.exit_code, states(told)["TLS"]) == (0, "warning")


@pytest.mark.parametrize(
    ("days", "state", "said"),
    [(-1, "failure", "certificate has expired"), (5, "warning", "for 5 more days")],
)
def test_a_certificate_at_its_end(
    serve: Servers, tmp_path: Path, days: int, state: str, said: str
) -> None:
    expires = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days, hours=1)
    certificate = make_certificate(tmp_path / "tls", expires=expires)
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    told = ping(host, "--ca-file", str(certificate.ca_file))
    assert states(told)["TLS"] == state
    assert said in told.stdout
    assert "renew the certificate" in told.stderr


def test_a_proxy_that_takes_no_large_body(
    serve: Servers, tmp_path: Path, registry: DockerRegistry
) -> None:
    front = serve(nginx(tmp_path / "nginx", upstream=registry.host, max_body="1m"))
    assert states(ping(front.host, "--plain-http", "--upload", "900k"))["upload"] == "ok"
    told = ping(front.host, "--plain-http", "--upload", "2M")
    assert (told.exit_code, states(told)["upload"]) == (1, "failure")
    assert "nginx.ingress.kubernetes.io/proxy-body-size" in told.stderr


def test_something_else_answers(serve: Servers, tmp_path: Path) -> None:
    told = ping(serve(nginx(tmp_path / "nginx")).host, "--plain-http")
    assert (told.exit_code, states(told)["registry"]) == (1, "failure")
    assert "is not a registry" in told.stdout


def test_harbor_is_known_by_its_words(serve: Servers) -> None:
    product = serve(harbor())
    told = ping(
        product.host, "--plain-http", "--username", USER, "--password-stdin", password=PASSWORD
    )
    assert told.exit_code == 0
    assert states(told)["catalog"] == "ok"
    assert "Bearer, with tokens from" in told.stdout


def test_a_clock_that_is_wrong_is_a_warning(serve: Servers) -> None:
    late = {"Date": "Tue, 01 Jan 2030 00:00:00 GMT"}
    state = StandinRegistry(
        script=lambda r: Answer.of({}, headers=late) if r.path == "/v2/" else None
    )
    told = ping(serve(standin_registry(state)).host, "--plain-http")
    assert states(told).get("clock", "warning") == "warning"


def test_json_is_for_monitoring(guarded: DockerRegistry) -> None:
    told = json.loads(ping(guarded.host, "--plain-http", *AS_CI, "-o", "json").stdout)
    assert [list(check) for check in told["checks"]] == [["name", "state", "message", "hint"]] * 6


@pytest.mark.parametrize("size", ["x", "0", "-1", "8T"])
def test_what_is_no_size_is_refused(size: str) -> None:
    told = ping("localhost", "--upload", size)
    assert told.exit_code == 2
    assert "not a size" in told.stderr


def test_the_way_through_a_proxy(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that only the proxy knows; and a proxy that is not there."""
    certificate = make_certificate(tmp_path / "tls", "registry.foo.test")
    registry = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    monkeypatch.setenv("HTTPS_PROXY", serve(tunnel(lambda: registry.host)).url)
    command = ["ping", "registry.foo.test", "--ca-file", str(certificate.ca_file)]
    told = CliRunner().invoke(main, command, prog_name="regctl")
    steps = states(told)
    assert told.exit_code == 0, told.stderr
    assert (steps["proxy"], steps["connection"], steps["TLS"]) == ("ok", "ok", "ok")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{free_port()}")
    told = CliRunner().invoke(main, command, prog_name="regctl")
    assert told.exit_code == 1
    assert "check $HTTPS_PROXY" in told.stderr
    assert "s3cret" not in told.stdout + told.stderr
