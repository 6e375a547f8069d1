"""`regctl catalog` on a real registry, in a pipe and on a terminal."""

import json
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner

from regctl.cli.main import main
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.standin_registry import StandinRegistry, standin_registry


@pytest.fixture
def guarded(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry with two repositories that lets ci in."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    (tmp_path / "auth").write_text(f"ci:{hashed}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "auth"))
    registry.push_image("team/one", "1.0", user=("ci", "right"))
    registry.push_image("team/one", "2.0", user=("ci", "right"))
    registry.copy_repository("team/one", ["team/two"])
    return registry


def catalog(registry: DockerRegistry, *args: str, password: str = "right") -> tuple[int, str, str]:
    command = ["catalog", registry.host, "--plain-http", "--username", "ci", "--password-stdin"]
    run = CliRunner().invoke(main, [*command, *args], input=password, prog_name="regctl")
    return run.exit_code, run.stdout, run.stderr


def test_a_pipe_gets_a_name_a_line(guarded: DockerRegistry) -> None:
    assert catalog(guarded) == (0, "team/one\nteam/two\n", "")


def test_tags_come_beside_their_repository(guarded: DockerRegistry) -> None:
    assert catalog(guarded, "--tags")[1] == "team/one\t1.0,2.0\nteam/two\t1.0,2.0\n"


def test_json_lists_repositories_and_tags(guarded: DockerRegistry) -> None:
    assert json.loads(catalog(guarded, "-o", "json")[1]) == {
        "repositories": [{"name": "team/one"}, {"name": "team/two"}]
    }
    with_tags = json.loads(catalog(guarded, "--tags", "-o", "json")[1])
    assert with_tags["repositories"][0] == {"name": "team/one", "tags": ["1.0", "2.0"]}


def test_a_wrong_password_is_exit_code_4_and_is_not_repeated(guarded: DockerRegistry) -> None:
    code, out, err = catalog(guarded, "-v", password="hunter2-wrong")
    assert (code, out) == (4, "")
    assert "the registry rejects the password of ci" in err
    assert "hunter2" not in err


def test_credentials_come_from_dockers_config(guarded: DockerRegistry, isolated_home: Path) -> None:
    folder = isolated_home / ".docker"
    folder.mkdir()
    entry = {"auth": "Y2k6cmlnaHQ="}
    (folder / "config.json").write_text(json.dumps({"auths": {guarded.host: entry}}))
    run = CliRunner().invoke(main, ["catalog", guarded.host, "--plain-http"])
    assert run.stdout == "team/one\nteam/two\n"


def test_the_registry_comes_from_the_environment(registry: DockerRegistry) -> None:
    registry.push_image("by/environment", "1.0")
    env = {"REGCTL_REGISTRY": f"http://{registry.host}/v2/_catalog"}
    run = CliRunner(env=env).invoke(main, ["catalog", "--plain-http"])
    assert "by/environment\n" in run.stdout


def test_without_a_registry_it_asks_for_one() -> None:
    run = CliRunner().invoke(main, ["catalog"])
    assert run.exit_code == 2
    assert run.stderr == (
        "error: no registry was named\nhint: name a registry, or set $REGCTL_REGISTRY\n"
    )


def test_a_closed_pipe_is_silent(serve: Servers) -> None:
    names = {f"team-{number:05}/a-name-of-some-length": ["1"] for number in range(20_000)}
    standin = serve(standin_registry(StandinRegistry(tags=names, page=1000)))
    line = '"$0" -m regctl catalog "$1" --plain-http | head -1'
    run = subprocess.run(
        ["/bin/bash", "-c", line, sys.executable, standin.host], capture_output=True, check=True
    )
    assert run.stdout == b"team-00000/a-name-of-some-length\n"
    assert run.stderr == b""
