"""How tests start the command line: in this process, or in one of its own."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from click.testing import CliRunner, Result

from regctl.cli.app import App
from regctl.cli.main import main

COMMAND = (sys.executable, "-m", "regctl")


def run(
    *args: str | Path,
    stdin: str | bytes | None = None,
    env: Mapping[str, str | None] | None = None,
    app: App | None = None,
) -> Result:
    """Run `regctl ARGS` in this process; no traceback may come out of it."""
    line = [str(arg) for arg in args]
    result = CliRunner().invoke(
        main,
        line,
        input=stdin,
        env=env,
        obj=app or App(),
        prog_name="regctl",
        catch_exceptions=False,
    )
    assert "Traceback" not in result.output
    return result


def run_ok(*args: str | Path, stdin: str | bytes | None = None) -> Result:
    """Run `regctl ARGS` in this process, which must exit with 0."""
    result = run(*args, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result


def run_process(
    *args: str | Path,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `regctl ARGS` in a process of its own, whatever its exit code."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=cwd,
    )


def parse(words: Sequence[str]) -> None:
    """Parse a command line without running it, as far as options, arguments and types go."""
    command: click.Command = main
    path, rest = "regctl", list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        path, command, rest = f"{path} {rest[0]}", command.commands[rest[0]], rest[1:]
    command.make_context(path, rest, obj=App(), resilient_parsing=isinstance(command, click.Group))
