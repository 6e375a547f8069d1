"""`regctl catalog` on a real registry, in a pipe and on a terminal."""

import json
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from click.testing import Result

from tests import cli
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry


@pytest.fixture
def guarded(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry with two repositories, which accepts ci."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    (tmp_path / "auth").write_text(f"ci:{hashed}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "auth"))
    registry.push_image("team/one", "1.0", user=("ci", "right"))
    registry.push_image("team/one", "2.0", user=("ci", "right"))
    registry.copy_repository("team/one", ["team/two"])
    return registry


def catalog_of(host: str, *args: str) -> Result:
    return cli.run("catalog", host, *args, "--plain-http")


def catalog(registry: DockerRegistry, *args: str, password: str = "right") -> tuple[int, str, str]:
    command = ["catalog", registry.host, "--plain-http", "--username", "ci", "--password-stdin"]
    result = cli.run(*command, *args, stdin=password)
    return result.exit_code, result.stdout, result.stderr


def test_a_pipe_gets_one_name_a_line(guarded: DockerRegistry) -> None:
    assert catalog(guarded) == (0, "team/one\nteam/two\n", "")


def test_tags_are_listed_beside_their_repository(guarded: DockerRegistry) -> None:
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
    assert catalog_of(guarded.host).stdout == "team/one\nteam/two\n"


def test_the_registry_comes_from_the_environment(
    registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push_image("by/environment", "1.0")
    monkeypatch.setenv("REGCTL_REGISTRY", f"http://{registry.host}/v2/_catalog")
    assert "by/environment\n" in cli.run("catalog", "--plain-http").stdout


def test_a_missing_registry_is_a_usage_error() -> None:
    result = cli.run("catalog")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: no registry was named\nhint: pass REGISTRY, or set $REGCTL_REGISTRY\n"
    )


def test_a_closed_pipe_ends_silently(serve: Servers) -> None:
    names = {f"team-{number:05}/a-name-of-some-length": ["1"] for number in range(20_000)}
    standin = serve(standin_registry(StandinRegistry(tags=names, page=1000)))
    line = '"$0" -m regctl catalog "$1" --plain-http | head -1'
    result = subprocess.run(
        ["/bin/bash", "-c", line, sys.executable, standin.host], capture_output=True, check=True
    )
    assert result.stdout == b"team-00000/a-name-of-some-length\n"
    assert result.stderr == b""


def test_a_repository_counts_shared_layers_once(two_platforms: str) -> None:
    host = two_platforms.partition("/")[0]
    command = [host, "--long", "--match", "images/app", "-o", "json"]
    (repository,) = json.loads(catalog_of(*command).stdout)["repositories"]
    assert repository["tags"] == ["1.0", "2.0", "all"]
    assert repository["size"] == repository["images"][2]["size"]
    row = catalog_of(host, "--long", "--match", "images/app").stdout.split("\t")
    assert row[:2] == ["images/app", "3"]


def test_one_request_for_each_page_and_each_repository(serve: Servers) -> None:
    tags = {f"r{number:03}": ["1"] for number in range(50)}
    standin = serve(standin_registry(StandinRegistry(tags=tags, page=10)))
    assert len(catalog_of(standin.host, "--tags").stdout.splitlines()) == 50
    assert len(standin.requests) == 5 + 50


def test_ghosts_are_marked_and_a_failure_does_not_hide_the_others(serve: Servers) -> None:
    def script(request: Request) -> Answer | None:
        return Answer(500) if request.path == "/v2/broken/tags/list" else None

    state = StandinRegistry(tags={"alive": ["1"], "broken": ["1"], "ghost": []}, script=script)
    host = serve(standin_registry(state)).host
    result = catalog_of(host, "--tags")
    assert result.exit_code == 3
    assert result.stdout == "alive\t1\nbroken\t(failed)\nghost\t(no tags)\n"
    assert f"{host}/broken: the registry answers 500" in result.stderr
    assert "1 of 3 repositories could not be read" in result.stderr
    document = json.loads(catalog_of(host, "--tags", "-o", "json").stdout)
    assert [one["name"] for one in document["repositories"]] == ["alive", "broken", "ghost"]
    assert document["repositories"][1]["error"]["exit_code"] == 1


@pytest.mark.parametrize("form", [[], ["-o", "json"], ["-o", "yaml"], ["--tags"]])
def test_an_incomplete_catalog_is_shown_with_how_to_continue(
    serve: Servers, form: list[str]
) -> None:
    state = StandinRegistry(tags={f"r{number}": ["1"] for number in range(6)}, page=2)
    state.script = lambda r: Answer(500) if r.query.get("last") == "r3" else None
    host = serve(standin_registry(state)).host
    result = catalog_of(host, *form)
    assert result.exit_code == 3
    assert "r3" in result.stdout
    assert "--last r3" in result.stderr
    state.script = None
    assert catalog_of(host, "--last", "r3").stdout == "r4\nr5\n"


def test_limits_and_order_of_a_catalog(serve: Servers) -> None:
    names = {"b": ["1"], "a": ["1"], "c": ["1"]}
    state = StandinRegistry(tags=names)
    state.script = lambda r: (
        Answer.of({"repositories": list(names)}) if r.path == "/v2/_catalog" else None
    )
    host = serve(standin_registry(state)).host
    assert catalog_of(host).stdout == "b\na\nc\n"
    assert catalog_of(host, "--sort", "name", "--limit", "2").stdout == "a\nb\n"


def test_an_empty_catalog_may_show_more_to_a_user(serve: Servers) -> None:
    host = serve(standin_registry(StandinRegistry())).host
    result = catalog_of(host)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "a user may see more" in result.stderr


@pytest.mark.parametrize("form", [[], ["--tags"], ["--long"]])
def test_a_registry_without_a_catalog(without_catalog: DockerRegistry, form: list[str]) -> None:
    host = without_catalog.host
    result = catalog_of(host, *form)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: cannot list the repositories of {host}: not found: the registry has no catalog\n"
        f"hint: `regctl tags {host}/NAME` lists the tags of a repository\n"
    )


def test_control_characters_in_a_name_are_escaped(serve: Servers) -> None:
    host = serve(standin_registry(StandinRegistry(tags={"a\x1b[2Jb": ["1"]}))).host
    assert catalog_of(host).stdout == "a\\x1b[2Jb\n"


def test_tags_and_long_exclude_each_other() -> None:
    result = catalog_of("localhost:5000", "--tags", "--long")
    assert result.exit_code == 2
    assert "cannot combine --tags and --long" in result.stderr


def test_wide_is_a_table_in_a_pipe_too(guarded: DockerRegistry) -> None:
    lines = catalog(guarded, "--long", "-o", "wide")[1].splitlines()
    headings = ["REPOSITORY", "TAGS", "SIZE", "PLATFORMS", "NEWEST", "DIGEST", "CREATED"]
    assert lines[0].split() == headings
    assert "sha256:" in lines[1]
    assert len(lines[1].split("sha256:")[1].split()[0]) == 64
