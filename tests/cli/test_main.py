"""The error boundary: each end of a command, through click's runner and as a real process."""

import errno
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from regctl import documents, errors
from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.listings import Column, Listing
from regctl.cli.main import Root, main
from regctl.cli.params import output_option

ENDS = {
    "done": 0,
    "failed": 1,
    "difference": 1,
    "usage": 2,
    "partly": 3,
    "access": 4,
    "interrupted": 130,
}


ERRORS: dict[str, BaseException] = {
    "failed": errors.RegctlError("cannot do it", hint="do something else"),
    "difference": errors.DifferenceError("2 users differ"),
    "usage": errors.InvalidInputError("not a name: ''"),
    "partly": errors.PartlyDoneError("1 of 2 failed, 1 done"),
    "access": errors.NotPermittedError("forbidden"),
    "interrupted": KeyboardInterrupt(),
    "system": OSError(errno.EIO, "Input/output error", "/a/file"),
    "tls": ssl.SSLError(1, "no certificate"),
    "defect": UnicodeEncodeError("utf-8", "hunter2", 0, 1, "surrogates not allowed"),
    "deep": RecursionError("maximum recursion depth exceeded"),
    "memory": MemoryError(),
    "hostile": errors.RegctlError("the registry said \x1b[2J\r\nerror: \udcff\u202e"),
}


@click.group(cls=Root)
def probe() -> None:
    """Stand for regctl, with a command for each way to end."""


@probe.command(cls=Command)
@click.argument("way")
@output_option("json", "yaml", "table")
@pass_app
def end(app: App, way: str) -> None:
    """End in the way named."""
    if way == "flood":
        for number in range(100_000):
            app.output.line(f"line {number}")
    if way == "listing":
        listing = Listing("rows", [Column[str]("NAME", str)], name=str)
        app.output.listing(map("ab".__getitem__, range(3)), listing)
    if way == "ask":
        app.output.confirm("Delete tag \x1b[2J\u202e?")
        app.output.ask("User at \x9b", hidden=False)
    if way in ERRORS:
        raise ERRORS[way]


PROCESS = "from tests.cli.test_main import probe; probe(prog_name='probe')"
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(("way", "code"), ENDS.items())
def test_exit_codes_through_the_runner(way: str, code: int) -> None:
    assert CliRunner().invoke(probe, ["end", way]).exit_code == code


@pytest.mark.parametrize(("way", "code"), ENDS.items())
def test_exit_codes_of_the_real_process(way: str, code: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROCESS, "end", way], capture_output=True, check=False, cwd=ROOT
    )
    assert run.returncode == code
    assert b"Traceback" not in run.stderr
    assert run.stdout == b""


def test_an_error_is_one_line_and_its_hint_another() -> None:
    run = CliRunner().invoke(probe, ["end", "failed"])
    assert run.stderr == "error: cannot do it\nhint: do something else\n"


def test_nothing_from_outside_steers_the_terminal() -> None:
    run = CliRunner().invoke(probe, ["end", "hostile"])
    assert run.stderr == "error: the registry said \\x1b[2J\\r\\nerror: \\xff\\u202e\n"


def test_nothing_from_outside_steers_the_terminal_in_a_question() -> None:
    run = CliRunner().invoke(probe, ["end", "ask"], input="y\nci\n")
    assert run.exit_code == 0
    assert run.stderr.replace("\n", "").isprintable()
    assert "Delete tag \\x1b[2J\\u202e?" in run.stderr
    assert "User at \\x9b" in run.stderr


@pytest.mark.parametrize("args", [["end", "failed", "-o", "json"], ["end", "-o", "json"]])
def test_json_is_one_valid_document_on_failure_too(args: list[str]) -> None:
    run = CliRunner().invoke(probe, args)
    error = json.loads(run.stdout)["error"]
    assert error["exit_code"] == run.exit_code
    assert f"error: {error['message']}" in run.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["end", "--wyrd"], "no such option '--wyrd'"),
        (["ned"], "Did you mean 'end'?"),
        (["end"], "missing argument 'WAY'"),
        (["end", "done", "done"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_where_to_look(
    args: list[str], said: str
) -> None:
    run = CliRunner().invoke(probe, args, prog_name="probe")
    assert run.exit_code == 2
    first, second = run.stderr.splitlines()
    assert first.startswith("error: ")
    assert said in first
    assert second.startswith("hint: `probe")
    assert run.stdout == ""


def test_a_closed_pipe_is_silent() -> None:
    run = subprocess.run(
        ["/bin/bash", "-c", 'set -o pipefail; "$0" -c "$1" end flood | head -1', sys.executable,
         PROCESS],
        capture_output=True,
        check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert (run.stdout, run.stderr) == (b"line 0\n", b"")
    assert run.returncode == 128 + signal.SIGPIPE


def test_a_full_disk_under_stdout_is_an_error_and_no_traceback() -> None:
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(
            [sys.executable, "-c", PROCESS, "end", "flood"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert run.returncode == 1
    assert run.stderr == "error: cannot write to standard output: No space left on device\n"


def test_a_closed_stdout_is_an_error_and_no_traceback() -> None:
    run = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" end flood >&-', sys.executable, PROCESS],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert run.returncode == 1
    assert run.stderr == "error: cannot write to standard output: it is closed\n"


def test_regctl_alone_shows_its_commands() -> None:
    run = CliRunner().invoke(main, [], prog_name="regctl")
    assert run.exit_code == 2
    assert "adduser" in run.stderr


def test_python_m_regctl_is_regctl() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "regctl", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("regctl ")


@pytest.mark.parametrize(
    "words",
    [
        ["catalog", "--bogus", "-o", "json"],
        ["catalog", "-o", "json", "--bogus"],
        ["catalog", "-ojson", "--limit", "many"],
        ["bogus", "--output=json"],
        ["secret", "bogus", "--output", "json"],
        ["secret", "list", "-Ao", "json", "a", "b"],
    ],
)
def test_a_wrong_command_line_is_one_document_if_json_is_asked_for(words: list[str]) -> None:
    run = CliRunner().invoke(main, words, prog_name="regctl")
    assert run.exit_code == 2
    error = json.loads(run.stdout)["error"]
    assert error["exit_code"] == 2
    assert run.stderr.splitlines()[0] == f"error: {error['message']}"


@pytest.mark.parametrize("way", ["defect", "deep"])
def test_a_defect_is_called_one_and_shows_no_traceback_and_no_secret(way: str) -> None:
    run = CliRunner().invoke(probe, ["end", way], prog_name="probe")
    assert run.exit_code == 1
    assert run.stdout == ""
    first, second = run.stderr.splitlines()
    name = type(ERRORS[way]).__name__
    assert first.startswith(f"error: `probe end` failed by a defect of regctl: {name} in ")
    assert second == "hint: run `probe end` again with --verbose, and report what it prints"


def test_a_defect_is_one_json_document() -> None:
    run = CliRunner().invoke(probe, ["end", "defect", "-o", "json"], prog_name="probe")
    assert run.exit_code == 1
    assert "defect" in json.loads(run.stdout)["error"]["message"]


@pytest.mark.parametrize("form", ["json", "yaml", "table"])
def test_a_defect_in_a_listing_shows_the_items_before(form: str) -> None:
    run = CliRunner().invoke(probe, ["end", "listing", "-o", form], prog_name="probe")
    assert run.exit_code == 1
    assert "defect" in run.stderr
    if form == "table":
        assert run.stdout == "NAME\na\nb\n"
    else:
        document = documents.load(run.stdout, source="it")
        assert document["rows"] == [{"name": "a"}, {"name": "b"}]
        assert "defect" in document["error"]["message"]


def test_the_traceback_of_a_defect_is_for_verbose_and_quotes_no_error() -> None:
    run = CliRunner().invoke(probe, ["end", "defect", "--verbose"], prog_name="probe")
    lines = run.stderr.splitlines()
    assert any(line.startswith("* ") and "test_main.py, line " in line for line in lines)
    assert "hunter2" not in run.output
    assert "Traceback" not in run.output


def test_too_little_memory_is_no_defect() -> None:
    run = CliRunner().invoke(probe, ["end", "memory"], prog_name="probe")
    assert (run.exit_code, run.stderr) == (1, "error: `probe end` failed: out of memory\n")


def test_a_terminal_that_lacks_letters_shows_their_escapes(tmp_path: Path) -> None:
    """Once a traceback: UnicodeEncodeError."""
    file = tmp_path / "auth"
    file.write_bytes("Zoë:$2y$04$abcdefghijklmnopqrstuu\n".encode())
    run = subprocess.run(
        [sys.executable, "-m", "regctl", "users", "-f", str(file), "-o", "name"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (run.returncode, run.stdout) == (0, b"Zo\\xeb\n")


def test_an_error_of_the_operating_system_is_no_traceback() -> None:
    run = CliRunner().invoke(probe, ["end", "system"])
    assert (run.exit_code, run.stderr) == (1, "error: /a/file: input/output error\n")
    run = CliRunner().invoke(probe, ["end", "tls"])
    assert (run.exit_code, run.stderr) == (1, "error: no certificate\n")
