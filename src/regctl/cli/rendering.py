"""Values, errors and outcomes as text, and as JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from regctl.errors import RegctlError

if TYPE_CHECKING:
    from regctl.outcome import DryRun, Outcome

_SEVERAL = (tuple, list)  # isinstance of `tuple | list` makes a type at each call


def as_text(value: Any) -> str:
    """Return the text of a cell: nothing for None, a comma between several, a time as in JSON."""
    if type(value) is str:  # the commonest kind: a pipe may get 100,000 lines
        return value
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, _SEVERAL) else str(as_json(value))


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: a list for a tuple, RFC 3339 for a time."""
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def escape_controls(text: str) -> str:
    """
    Return *text* with everything that could steer a terminal or break a line shown as an escape.

    That is control characters (C0, DEL, C1), the two Unicode line separators, bidirectional
    overrides and bytes that are not UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def tab_separated(cells: list[str]) -> str:
    """Join *cells*, each escaped; quickly if there is nothing to escape."""
    return "\t".join(cells if "".join(cells).isprintable() else map(escape_controls, cells))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table for a pipe, headings first; nothing is cut or folded."""
    table = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def error_record(error: RegctlError) -> dict[str, Any]:
    """Return the JSON object of an error."""
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def outcome_record(outcome: "Outcome", dry_run: "DryRun | None") -> dict[str, Any]:
    """Return the JSON object of an outcome."""
    record: dict[str, Any] = {"kind": outcome.kind, "name": outcome.name}
    if outcome.namespace is not None:
        record["namespace"] = outcome.namespace
    record |= {"result": outcome.result, "dry_run": dry_run}
    if outcome.note is not None:
        record["note"] = outcome.note
    if outcome.error is not None:
        record["error"] = error_record(outcome.error)
    return record | dict(outcome.details)
