"""Listings as data: columns, their text and their JSON, whatever the format."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from regctl.errors import RegctlError

if TYPE_CHECKING:
    from regctl.outcome import DryRun, Outcome

T = TypeVar("T")

_SEVERAL = (tuple, list)  # isinstance of `tuple | list` makes a type at each call


def as_text(value: Any) -> str:
    """Return a value as the text of a cell: nothing for None, a comma between several."""
    if type(value) is str:  # the commonest kind: a pipe may get 100,000 lines
        return value
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, _SEVERAL) else str(value)


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: a list for a tuple, RFC 3339 for a time."""
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


@dataclass(frozen=True, eq=False, repr=False)
class Column(Generic[T]):
    """
    One column of a listing: its heading, and the value of an item.

    *text* makes the value readable on a terminal and *exact* in a pipe. Without *exact* a pipe gets
    *text*, without both the value as `as_text` has it. A *wide* column shows with `-o wide` only. A
    column that *shortens* shows its exact text there.

    *key* names the value in JSON: the heading in lower case unless given, and "" for a column that
    JSON leaves out. A column without a *heading* is in JSON only. An *optional* column is left out
    of JSON if its value is None. *style* is rich's style for an item's cell; color repeats what the
    text says.
    """

    heading: str | None
    value: Callable[[T], Any]
    key: str | None = None
    text: Callable[[Any], str] | None = None
    exact: Callable[[Any], str] | None = None
    wide: bool = False
    shortens: bool = False
    right: bool = False
    style: Callable[[T], str] | None = None
    optional: bool = False

    @property
    def json_key(self) -> str:
        """The key in JSON, or ""."""
        heading = (self.heading or "").lower().replace(" ", "_")
        return heading if self.key is None else self.key


@dataclass(frozen=True, eq=False, repr=False)
class Listing(Generic[T]):
    """
    How a kind of items is listed in every format.

    *key* names the list in JSON and YAML, *name* is an item's line with `-o name`. *record* is an
    item's JSON, made from the columns unless given.
    """

    key: str
    columns: Sequence[Column[T]]
    name: Callable[[T], str]
    record: Callable[[T], Any] | None = None

    def json(self, item: T) -> Any:
        """Return the JSON object of *item*."""
        if self.record is not None:
            return self.record(item)
        return {
            column.json_key: as_json(value)
            for column in self.columns
            if column.json_key and not ((value := column.value(item)) is None and column.optional)
        }


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


def row_texts(columns: Sequence[Column[T]], *, exact: Sequence[bool]) -> Callable[[T], list[str]]:
    """Return what makes the cells of an item; quick, for a pipe may get 100,000 of them."""
    cells = [
        (column.value, (column.exact if precise else None) or column.text or as_text)
        for column, precise in zip(columns, exact, strict=True)
    ]
    return lambda item: [text(value(item)) for value, text in cells]


def plain_table(columns: Sequence[Column[Any]], rows: Sequence[list[str]]) -> Iterator[str]:
    """Yield the lines of a table for a pipe, headings first; nothing is cut or folded."""
    table = [[column.heading or "" for column in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _reasons(outcome: "Outcome") -> list[str]:
    error = [outcome.error.message] if outcome.error is not None else []
    return [*outcome.differences, *error]


DIFFERENCES: "Listing[Outcome]" = Listing(
    "differences",
    [
        Column("NAMESPACE", lambda o: o.namespace),
        Column("OBJECT", lambda o: f"{o.kind}/{o.name}"),
        Column("WOULD BE", lambda o: o.result, style=lambda _: "yellow"),
        Column("REASON", _reasons, text="; ".join),
    ],
    name=lambda o: o.subject,
    record=lambda o: outcome_record(o, "client") | {"differences": list(o.differences)},
)
