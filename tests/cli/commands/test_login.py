"""`regctl login` and `logout` with a real registry, and skopeo with the credentials they save."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from regctl.authfile import hashes
from regctl.credentials.credential import encode_auth
from tests.cli import run
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.standin_registry import Answer, StandinRegistry, standin_registry

USER, PASSWORD = "robot$ci", "correct: horse"


@pytest.fixture
def guarded(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry with `team/app:1.0` in it, which accepts USER."""
    (tmp_path / "auth").write_text(f"{USER}:{hashes.make(PASSWORD, cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "auth"))
    registry.push_image("team/app", "1.0", user=(USER, PASSWORD))
    return registry


def login(host: str, password: str = PASSWORD, *more: str) -> Result:
    command = ["login", host, "--plain-http", "--username", USER, "--password-stdin", *more]
    return run(*command, stdin=password)


def config_of(home: Path) -> Path:
    return home / ".docker" / "config.json"


def skopeo(program: Callable[[str], str], *args: str, stdin: str = "") -> str:
    result = subprocess.run(
        [program("skopeo"), *args], input=stdin, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_login_saves_the_credential_as_docker_does(
    guarded: DockerRegistry, isolated_home: Path
) -> None:
    result = login(guarded.host)
    path = config_of(isolated_home)
    assert result.exit_code == 0
    assert result.stdout == f"login/{guarded.host} configured ({USER}, in {path})\n"
    assert "is not encrypted in" in result.stderr
    auths = {guarded.host: {"auth": encode_auth(USER, PASSWORD)}}
    assert json.loads(path.read_text()) == {"auths": auths}
    again = login(guarded.host)
    assert again.stdout == f"login/{guarded.host} unchanged ({USER}, in {path})\n"
    assert again.stderr == ""


def test_a_wrong_password_is_not_saved(guarded: DockerRegistry, isolated_home: Path) -> None:
    result = login(guarded.host, "hunter2", "-v")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "rejects the password" in result.stderr
    assert "hunter2" not in result.stderr
    assert not config_of(isolated_home).exists()


def test_skopeo_lists_and_copies_with_the_saved_credential(
    guarded: DockerRegistry, program: Callable[[str], str]
) -> None:
    assert login(guarded.host).exit_code == 0
    image = f"docker://{guarded.host}/team/app"
    listed = json.loads(skopeo(program, "list-tags", "--tls-verify=false", image))
    assert listed["Tags"] == ["1.0"]
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    target = f"docker://{guarded.host}/team/copy:1.0"
    skopeo(program, "copy", "--quiet", *insecure, f"{image}:1.0", target)
    assert run("tags", f"{guarded.host}/team/copy", "--plain-http").stdout == "1.0\n"


def test_a_credential_that_skopeo_saved_is_used(
    guarded: DockerRegistry, isolated_home: Path, program: Callable[[str], str]
) -> None:
    path = config_of(isolated_home)
    path.parent.mkdir()
    command = ["login", "--tls-verify=false", "--authfile", str(path), "-u", USER]
    skopeo(program, *command, "--password-stdin", guarded.host, stdin=PASSWORD)
    assert run("catalog", guarded.host, "--plain-http").stdout == "team/app\n"


@pytest.mark.parametrize("part", ["", "/team"])
def test_skopeo_s_own_login_is_used(
    guarded: DockerRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Callable[[str], str],
    part: str,
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    place = f"{guarded.host}{part}"
    command = ["login", "--tls-verify=false", "-u", USER, "--password-stdin", place]
    skopeo(program, *command, stdin=PASSWORD)
    assert place in (tmp_path / "auth.json").read_text()
    assert run("tags", f"{guarded.host}/team/app", "--plain-http").stdout == "1.0\n"


def test_logout_deletes_the_credential_and_then_reports_unchanged(
    guarded: DockerRegistry, isolated_home: Path
) -> None:
    assert login(guarded.host).exit_code == 0
    assert run("logout", guarded.host).stdout.startswith(f"login/{guarded.host} deleted")
    assert json.loads(config_of(isolated_home).read_text()) == {"auths": {}}
    again = run("logout", guarded.host)
    assert again.stdout == f"login/{guarded.host} unchanged (not logged in)\n"
    assert run("catalog", guarded.host, "--plain-http").exit_code == 4


def test_a_registry_without_authentication_is_a_warning(
    registry: DockerRegistry, isolated_home: Path
) -> None:
    result = login(registry.host)
    assert result.exit_code == 0
    path = config_of(isolated_home)
    assert result.stdout == f"login/{registry.host} configured ({USER}, not checked, in {path})\n"
    assert "it did not check this one" in result.stderr


def test_a_registry_that_leaves_the_answer_to_another_server_checks_no_password(
    serve: Servers, isolated_home: Path
) -> None:
    there = serve(standin_registry())
    away = Answer(307, headers={"Location": f"{there.url}/v2/"})
    host = serve(standin_registry(StandinRegistry(script=lambda _: away))).host
    result = login(host)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"it redirects to {there.host}, which checks no password for it" in result.stderr
    assert not config_of(isolated_home).exists()


def test_a_credential_helper_stores_the_password(
    guarded: DockerRegistry, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    helper = tmp_path / "docker-credential-mine"
    actions = f"store) cat > {kept} ;;\nget) cat {kept} ;;\nerase) rm {kept} ;;"
    helper.write_text(f"#!/bin/sh\ncase $1 in\n{actions}\nesac\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config_of(isolated_home).parent.mkdir()
    config_of(isolated_home).write_text('{"credsStore": "mine"}')
    result = login(guarded.host)
    assert result.stdout == (
        f"login/{guarded.host} configured ({USER}, in docker-credential-mine)\n"
    )
    assert result.stderr == ""
    assert PASSWORD not in config_of(isolated_home).read_text()
    assert run("catalog", guarded.host, "--plain-http").stdout == "team/app\n"


def test_without_a_user_the_hint_names_the_flags(guarded: DockerRegistry) -> None:
    result = run("login", guarded.host, "--plain-http")
    assert result.exit_code == 1
    assert "pass --username with --password-stdin" in result.stderr
    assert run("login").exit_code == 2


def test_the_credential_comes_from_a_pull_secret(
    guarded: DockerRegistry,
    kubernetes: ApiServer,
    namespace: str,
    isolated_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    create = ["secret", "create", "pull", "-n", namespace, "--username", USER, "--password-stdin"]
    assert run(*create, "--server", guarded.host, "--plain-http", stdin=PASSWORD).exit_code == 0
    command = ["login", "--plain-http", "--from-secret", f"{namespace}/pull"]
    result = run(*command)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"login/{guarded.host} configured ({USER}, in ")
    auths = {guarded.host: {"auth": encode_auth(USER, PASSWORD)}}
    assert json.loads(config_of(isolated_home).read_text()) == {"auths": auths}
    assert run(*command, guarded.host).stdout.startswith(f"login/{guarded.host} unchanged")
    more = ["--server", "*.bar.com", "--merge", "--no-verify"]
    assert run(*create, *more, stdin=PASSWORD).exit_code == 0
    for flags, text in (
        ([], "names no single registry: it has *.bar.com, "),
        (["other.io"], "has no credential for other.io"),
        ([guarded.host, "--username", "bob"], "cannot combine --from-secret and a user"),
    ):
        refused = run(*command, *flags)
        assert refused.exit_code == 2
        assert text in refused.stderr
    assert run(*command, guarded.host).exit_code == 0
