"""Checks on the terminal: a line each as it is done, and hints for those that found a problem."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import tee
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App
from regctl.cli.listings import Column, Listing

if TYPE_CHECKING:
    from regctl.checks import Check
    from regctl.errors import RegctlError

# A name from a Secret is quoted, and may have a backquote itself.
_COMMAND = re.compile(r"""`regctl ((?:[^`'"]|'[^']*'|"[^"]*")+)`""")
_STYLES = {"ok": "green", "warning": "yellow", "failure": "red", "skipped": "bright_black"}

_CHECKS: "Listing[Check]" = Listing(
    "checks",
    [
        Column("CHECK", lambda c: c.name, key="name"),
        Column("STATE", lambda c: c.state, style=lambda c: _STYLES[c.state]),
        Column("MESSAGE", lambda c: c.message),
        Column(None, lambda c: c.hint, key="hint"),
    ],
    name=lambda c: c.name,
)


def report(
    app: App,
    checks: "Iterable[Check]",
    verdict: "Callable[[list[Check]], RegctlError | None]",
    options: Mapping[str, str | None] | None = None,
) -> None:
    """
    Print *checks* as they come, then the hints; raise the error that *verdict* returns.

    The commands of hints get the *options* of this run, and those with which it connects.
    """
    given = {**app.connections.typed, **(options or {})}
    checks = (replace(one, hint=one.hint and _completed(one.hint, given)) for one in checks)
    shown, seen = tee(checks)
    app.output.listing(shown, _CHECKS, progress=("checked", None))
    done = list(seen)
    error = verdict(done)
    # The error that is raised prints its own hint.
    raised = error.hint if error is not None else None
    for check in done:
        if check.state in {"warning", "failure"} and check.hint and check.hint != raised:
            app.output.note(f"{check.name}: {check.hint}")
    if error is not None:
        raise error


def _completed(hint: str, given: Mapping[str, str | None]) -> str:
    """Return *hint* with the *given* options added to its commands, where they have them."""
    return _COMMAND.sub(lambda found: f"`regctl {_with(found[1], given)}`", hint)


def _with(line: str, given: Mapping[str, str | None]) -> str:
    context = click.get_current_context().find_root()
    command, words = context.command, line.split()
    for word in words:
        if not isinstance(command, click.Group) or word not in command.list_commands(context):
            break
        command = command.get_command(context, word) or command
    added = []
    for name, value in given.items():
        spellings = (set(one.opts) for one in command.params if name in one.opts)
        if not next(spellings, set(words)).intersection(words):
            added += [name, *([] if value is None else [value])]
    return " ".join([line, *map(shlex.quote, added)])
