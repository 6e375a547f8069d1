"""How checks are shown: a line each as it is done, and what to do about those that are not well."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from regctl.cli.app import App
from regctl.cli.output import Column

if TYPE_CHECKING:
    from regctl.checks import Check
    from regctl.errors import RegctlError

_STYLES = {"ok": "green", "warning": "yellow", "failure": "red", "skipped": "bright_black"}


def report(
    app: App,
    checks: "Iterable[Check]",
    verdict: "Callable[[list[Check]], RegctlError | None]",
) -> None:
    """Print *checks* as they come, then what to do about warnings; raise what *verdict* returns."""
    done: list[Check] = []

    def told() -> "Iterator[Check]":
        for check in checks:
            done.append(check)
            yield check

    app.output.listing(
        told(),
        [
            Column("CHECK", lambda c: c.name),
            Column("STATE", lambda c: c.state, style=lambda c: _STYLES[c.state]),
            Column("MESSAGE", lambda c: c.message),
        ],
        key="checks",
        name=lambda c: c.name,
        record=_record,
        progress=("checked", None),
    )
    error = verdict(done)
    for check in done:
        # The one that is raised says its own hint.
        if (
            check.state in {"warning", "failure"}
            and check.hint
            and check.hint != getattr(error, "hint", None)
        ):
            app.output.note(f"{check.name}: {check.hint}")
    if error is not None:
        raise error


def _record(check: "Check") -> dict[str, Any]:
    return {"name": check.name, "state": check.state, "message": check.message, "hint": check.hint}
