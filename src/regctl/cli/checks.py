"""Checks on the terminal: a line each as it is done, and hints for those that found a problem."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import tee
from typing import TYPE_CHECKING

from regctl.cli.app import App
from regctl.cli.hints import completed
from regctl.cli.listings import Column, Listing

if TYPE_CHECKING:
    from regctl.checks import Check
    from regctl.errors import RegctlError

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
    checks = (replace(one, hint=one.hint and completed(one.hint, given)) for one in checks)
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
