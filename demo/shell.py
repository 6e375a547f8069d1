"""A shell on the screen: it prints each command, then runs it."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BOLD, _PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class DemoError(Exception):
    """Something did not go as the demo tells it."""


@dataclass
class Shell:
    """
    Runs regctl in *folder*, with *variables* and none of the user's.

    A command is a line as a person types it: `NAME=VALUE... regctl ...`.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print a comment of the demo."""
        print(f"\n{_BOLD}# {text}{_PLAIN}", flush=True)

    def export(self, **variables: str) -> None:
        """Set variables for all later commands."""
        words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        self._show(f"export {' '.join(words)}")
        self.variables |= variables

    def export_output(self, name: str, line: str) -> None:
        """Set a variable to what a command prints on standard output."""
        self._show(f"export {name}=$({line})")
        self.variables[name] = self._run(line, stdout=subprocess.PIPE).stdout.strip()

    def unset(self, *names: str) -> None:
        """Remove variables."""
        self._show(f"unset {' '.join(names)}")
        for name in names:
            del self.variables[name]

    def run(self, line: str, *, fails_with: int = 0) -> None:
        """Run a command. Raises DemoError if its exit code is not *fails_with*."""
        self._show(line)
        self._run(line, fails_with)

    def hint_of(self, line: str, *, fails_with: int) -> str:
        """Run a command that fails; return the command in its hint."""
        self._show(line)
        errors = self._run(line, fails_with, stderr=subprocess.PIPE).stderr
        print(errors, end="", file=sys.stderr, flush=True)
        if errors.count("`") != 2:
            raise DemoError(f"`{line}` gave no hint with a command")
        return errors.split("`")[1]

    def _show(self, line: str) -> None:
        print(f"{_BOLD}$ {line}{_PLAIN}", flush=True)

    def _run(
        self,
        line: str,
        fails_with: int = 0,
        *,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line)
        program = words.index("regctl")
        done = subprocess.run(
            words[program:],
            executable=Path(sys.executable).with_name("regctl"),
            cwd=self.folder,
            env=self._environment(dict(word.split("=", 1) for word in words[:program])),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            check=False,
        )
        if done.returncode != fails_with:
            raise DemoError(f"`{line}`: exit code {done.returncode}, not {fails_with}")
        return done

    def _environment(self, assigned: Mapping[str, str]) -> dict[str, str]:
        terminal = {name: os.environ[name] for name in ("TERM", "NO_COLOR") if name in os.environ}
        basic = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **terminal}
        return basic | self.variables | dict(assigned)
