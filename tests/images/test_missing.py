"""An image that is not there: the error names what is."""

import re
from pathlib import Path

import pytest

from tests.cli import run
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry

DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def host(serve: Servers, tmp_path: Path) -> str:
    registry = serve(docker_registry(tmp_path / "registry"))
    for tag in ("1.0", "1.1", "2.0"):
        registry.push_image("there/application", tag)
    return registry.host


@pytest.mark.parametrize("reference", [":3.0", f"@{DIGEST}", ""])
@pytest.mark.parametrize("command", ["inspect", "tag", "delete"])
def test_another_tag_is_named(host: str, command: str, reference: str) -> None:
    if command == "delete" and not reference:
        return
    more = {"tag": ["new"], "delete": ["--yes"], "inspect": []}[command]
    image = f"{host}/there/application{reference}"
    result = run("image", command, image, *more, "--plain-http")
    missing = reference[1:] if "@" in reference else f"tag {reference[1:] or 'latest'}"
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: there/application has no {missing}; it has 1.0, 1.1, 2.0\n"
        f"hint: `regctl tags {host}/there/application --plain-http` lists all tags\n"
    )


@pytest.mark.parametrize("command", [["tags"], ["image", "inspect"]])
def test_a_similar_repository_is_named(host: str, command: list[str]) -> None:
    result = run(*command, f"{host}/there/aplication", "--plain-http")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {host} has no repository there/aplication; it has there/application\n"
        f"hint: `regctl catalog {host} --plain-http` lists the repositories\n"
    )


def test_an_image_that_is_there_for_other_platforms_is_not_called_missing(host: str) -> None:
    image = f"{host}/there/application:1.0"
    result = run("image", "inspect", image, "--platform", "linux/s390x", "--plain-http")
    assert result.exit_code == 1
    assert "no image for linux/s390x" in result.stderr


def test_the_hint_works_as_it_is_printed(host: str) -> None:
    for name in ("application:3.0", "aplication:1.0"):
        result = run("image", "inspect", f"http://{host}/there/{name}")
        (command,) = re.findall("`regctl (.*)`", result.stderr)
        assert run(*command.split()).exit_code == 0
