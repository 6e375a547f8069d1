"""Listings as data: columns, their text and their JSON, whatever the format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from regctl.cli.rendering import as_json, as_text, outcome_record

if TYPE_CHECKING:
    from regctl.outcome import Outcome

T = TypeVar("T")


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

    def value_and_text(self, *, exact: bool) -> tuple[Callable[[T], Any], Callable[[Any], str]]:
        """Return what gets the value of an item, and what makes it text."""
        return self.value, (self.exact if exact else None) or self.text or as_text

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

    def shown(self, *, wide: bool) -> list[Column[T]]:
        """Return the columns of a table or a pipe; *wide* is that of `-o wide`."""
        return [c for c in self.columns if c.heading is not None and (wide or not c.wide)]

    def below(self, prefix: str) -> "Listing[T]":
        """Return the listing whose names with `-o name` have *prefix*, as other commands need."""
        return replace(self, name=lambda item: f"{prefix}{self.name(item)}")

    def json(self, item: T) -> Any:
        """Return the JSON object of *item*."""
        if self.record is not None:
            return self.record(item)
        return {
            column.json_key: as_json(value)
            for column in self.columns
            if column.json_key and not ((value := column.value(item)) is None and column.optional)
        }


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
    name=lambda o: o.reference,
    record=lambda o: outcome_record(o, "client") | {"differences": list(o.differences)},
)
