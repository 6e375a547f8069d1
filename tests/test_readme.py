"""The README says what is true."""

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from docs.picture import HOST, SCENE
from regctl import errors
from regctl.cli.main import main
from tests.cli.test_commands import ALL

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
LINES = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in LINES if "regctl " in line])
def test_every_command_line_parses(line: str) -> None:
    call = line[line.rindex("regctl ") :].partition(" > ")[0].partition(")")[0]
    words = shlex.split(call, comments=True)[1:]
    if words[0].startswith("-"):
        main.make_context("regctl", words, resilient_parsing=True)
        return
    depth = 2 if " ".join(["regctl", *words[:2]]) in ALL else 1
    path = " ".join(["regctl", *words[:depth]])
    ALL[path].make_context(path, words[depth:], resilient_parsing=True)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_every_make_target_exists(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    known = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.RegctlError)
    }
    assert documented == known | {0, 130}


def test_every_environment_variable_of_ours_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for name in set(re.findall(r"REGCTL_[A-Z_]+", source)) - {"REGCTL_COMPLETE", "REGCTL_LINE"}:
        assert f"`{name}`" in README, name


def test_the_picture_shows_commands_that_there_are() -> None:
    picture = ET.parse(ROOT / "docs" / "terminal.svg")  # noqa: S314 - our own
    said = " ".join("".join(picture.getroot().itertext()).replace("\xa0", " ").split())
    assert SCENE
    for line in SCENE:
        assert f"$ {line.format(host=HOST)}" in said, "`make picture` draws it anew"
        words = shlex.split(line.partition(" < ")[0])[1:]
        depth = 2 if " ".join(["regctl", *words[:2]]) in ALL else 1
        path = " ".join(["regctl", *words[:depth]])
        ALL[path].make_context(path, words[depth:], resilient_parsing=True)
