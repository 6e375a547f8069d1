"""README, CONTRIBUTING and the tables of docs/commands.md are true."""

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from docs.commands import EXIT_CODES, VARIABLES
from docs.picture import HOST, SCENE
from regctl import errors
from regctl.cli import errors as cli_errors
from tests.cli import parse
from tests.servers.programs import PROGRAMS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TEXTS = README + (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", TEXTS, re.DOTALL)
LINES = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]
# What a line sets for those after it.
SET = dict(re.findall(r'^(\w+)="(.*)"$', "\n".join(LINES), re.MULTILINE))
# SIGHUP, SIGINT and SIGTERM end a run in order.
SIGNALS = (1, 2, 15)
# Read by the completion scripts only.
INTERNAL = {"REGCTL_LINE"}


@pytest.mark.parametrize(
    "line", [line for line in LINES if re.match(r"(\w+=\$\(|.* \| )?regctl ", line)]
)
def test_every_command_line_parses(line: str) -> None:
    call = line[line.rindex("regctl ") :].partition(" > ")[0].partition(")")[0]
    for name, value in SET.items():
        call = call.replace(f"${name}", value)
    parse(shlex.split(call, comments=True)[1:])


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_every_make_target_exists(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http|#)(.*?)\)", TEXTS))
def test_every_link_has_its_file(target: str) -> None:
    assert (ROOT / target.partition("#")[0]).exists()


def test_the_exit_codes_are_those_of_the_errors() -> None:
    known = {
        error.exit_code
        for module in (errors, cli_errors)
        for error in vars(module).values()
        if isinstance(error, type) and issubclass(error, errors.RegctlError)
    }
    assert {int(code) for code in EXIT_CODES} == known | {0} | {128 + number for number in SIGNALS}


def test_every_environment_variable_of_ours_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    ours = set(re.findall(r"REGCTL_[A-Z_]+", source)) - INTERNAL
    assert ours == {name for name in VARIABLES if name.startswith("REGCTL_")}


def test_the_supported_versions_are_those_that_the_tests_run() -> None:
    row = re.compile(r"^\| (.*) \| (.*) \|$", re.MULTILINE)
    tested = dict(row.findall(README[README.index("## Supported versions") :]))
    for program, cell in (
        ("kube-apiserver", "Kubernetes: API server"),
        ("kubelet", "Kubernetes: kubelet, with containerd"),
        ("registry", "Docker registry (distribution); `registry apply` installs 3"),
        ("olareg", "olareg, a registry without a catalog"),
    ):
        row_of_table = PROGRAMS[program]
        assert row_of_table.module is not None
        current = ".".join(row_of_table.module.version.lstrip("v").split(".")[:2])
        assert tested[cell].startswith(", ".join(filter(None, (current, row_of_table.oldest))))


def test_the_picture_shows_commands_that_exist() -> None:
    picture = ET.parse(ROOT / "docs" / "terminal.svg")  # noqa: S314 - our own
    shown = " ".join("".join(picture.getroot().itertext()).replace("\xa0", " ").split())
    assert SCENE
    for line in SCENE:
        assert f"$ {line.format(host=HOST)}" in shown, "run `make picture`"
        parse(shlex.split(line.partition(" < ")[0])[1:])
