"""
Everything that regctl prints: data to stdout, all else to stderr. Owns rich.

One listing or list of results goes in; a table, tab-separated lines, JSON, YAML or names come out.
Rich is loaded on a terminal and nowhere else.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast

import click

from regctl.errors import ClosedPipeError, OutputError, PartlyDoneError, RegctlError

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

Format = Literal["table", "wide", "json", "yaml", "name"]
Outcome = Literal["created", "configured", "unchanged", "deleted", "skipped", "refused", "failed"]
DryRun = Literal["client", "server"]

_OUTCOME_STYLES = {
    "created": "green",
    "configured": "green",
    "deleted": "yellow",
    "skipped": "yellow",
    "refused": "red",
    "failed": "red",
}
_FLUSH_SECONDS = 0.1


class Advance(Protocol):
    """Tells a progress bar of so many more finished pieces."""

    def __call__(self, count: int = 1, /) -> None:
        """Advance by *count*."""


def _unseen(_count: int = 1, /) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Column(Generic[T]):
    """
    One column of a listing.

    *cell* gives the text of an item; *wide* columns show with `-o wide` only; *style* is a rich
    style for an item's cell, on a terminal, where colour repeats what the text says.
    """

    header: str
    cell: Callable[[T], str]
    wide: bool = False
    right: bool = False
    style: Callable[[T], str] | None = None


@dataclass(frozen=True)
class Result:
    """
    What became of one thing that a command was to change.

    *details* are more keys of its JSON object.
    """

    kind: str
    name: str
    outcome: Outcome
    namespace: str | None = None
    note: str | None = None
    error: RegctlError | None = None
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def subject(self) -> str:
        """`user/alice`, or `team-a/secret/registry.foo.com` where there is a namespace."""
        prefix = f"{self.namespace}/" if self.namespace else ""
        return f"{prefix}{self.kind}/{self.name}"

    def record(self, dry_run: DryRun | None) -> dict[str, Any]:
        """Return the JSON object of this result."""
        record: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.namespace is not None:
            record["namespace"] = self.namespace
        record["result"] = self.outcome
        record["dry_run"] = dry_run
        if self.note is not None:
            record["note"] = self.note
        if self.error is not None:
            record["error"] = error_record(self.error)
        return record | dict(self.details)


def error_record(error: RegctlError) -> dict[str, Any]:
    """Return the JSON object of an error."""
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def visible(text: str) -> str:
    """
    Return *text* with everything that could steer a terminal or break a line shown as an escape.

    Control characters (C0, DEL, C1), the two Unicode line separators, bidirectional overrides and
    bytes that are not UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def _tab_separated(cells: list[str]) -> str:
    """Join *cells*, each made visible; quickly where there is nothing to be made."""
    return "\t".join(cells if "".join(cells).isprintable() else map(visible, cells))


def _visible_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable() or (character == " "):
        return character
    return character.encode("unicode_escape").decode("ascii")


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> RegctlError:
    if isinstance(error, BrokenPipeError):
        return ClosedPipeError("standard output was closed")
    return OutputError(f"cannot write to standard output: {error.strerror}")


@dataclass
class Output:
    """
    Where a command's words go, and in which format.

    `format` None means a table on a terminal and tab-separated lines in a pipe.
    """

    format: Format | None = None
    quiet: bool = False
    verbose: bool = False
    color: bool | None = None
    clock: Callable[[], float] = time.monotonic
    _concealed: set[str] = field(default_factory=set, repr=False)
    _document_written: bool = False

    # Where it goes

    @property
    def stdout(self) -> IO[str]:
        """Standard output as it is now: tests and shells replace it, or close it."""
        stream = cast("IO[str] | None", sys.stdout)
        if stream is None:
            raise OutputError("cannot write to standard output: it is closed")
        return stream

    @property
    def on_terminal(self) -> bool:
        """Whether a person reads standard output."""
        return self.stdout.isatty()

    @property
    def structured(self) -> bool:
        """Whether standard output is to hold one JSON or YAML document."""
        return self.format in {"json", "yaml"}

    def redact(self, secret: str) -> None:
        """Blank *secret* in everything that goes to stderr from now on."""
        if secret:
            self._concealed.add(secret)

    # Data

    def write(self, text: str) -> None:
        """
        Write *text* to stdout as it is; raise OutputError where it can't be written.

        Raises ClosedPipeError where the reader is gone.
        """
        with _writing():
            self.stdout.write(text)

    def flush(self) -> None:
        """Push what was written on its way; errors as in `write`."""
        stream = cast("IO[str] | None", sys.stdout)
        if stream is not None:
            with _writing():
                stream.flush()

    def line(self, text: str) -> None:
        """Write one line of data to stdout, untouched: a generated password, a script."""
        self.write(f"{text}\n")

    def document(self, document: Mapping[str, Any]) -> None:
        """Write the one JSON or YAML document of this run."""
        self._document_written = True
        if self.format == "yaml":
            from regctl import documents

            self.write(documents.dump([document]))
        else:
            import json

            self.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")

    def manifests(self, manifests: Sequence[Mapping[str, Any]]) -> None:
        """Write Kubernetes objects for `kubectl apply`: several YAML documents, or a JSON List."""
        self._document_written = True
        if self.format == "yaml":
            from regctl import documents

            self.write(documents.dump(manifests))
        elif len(manifests) == 1:
            self.document(manifests[0])
        else:
            self.document({"apiVersion": "v1", "kind": "List", "items": list(manifests)})

    def listing(
        self,
        items: Iterable[T],
        columns: Sequence[Column[T]],
        *,
        key: str,
        name: Callable[[T], str],
        record: Callable[[T], Any],
        progress: tuple[str, int | None] | None = None,
    ) -> None:
        """
        Print *items* in the format asked for; the first is out before the last is known.

        *progress*, a description and how many there are, shows a bar while they come, where it is
        in nobody's way.

        *key* names the list in JSON and YAML, *name* is an item's line with `-o name`, *record* its
        JSON. Where the iteration fails half-way what came is printed, the JSON document closed
        with the error in it, and the error raised again.
        """
        shown = [column for column in columns if self.format == "wide" or not column.wide]
        table = self.format in {None, "table", "wide"} and self.on_terminal and len(shown) > 1
        if progress is not None and (table or not self.on_terminal):
            items = self._counted(items, *progress)
        if self.format == "json":
            self._json_listing(items, key, record)
        elif self.format == "yaml":
            self._yaml_listing(items, key, record)
        elif self.format == "name":
            self._lines(visible(name(item)) for item in items)
        elif table:
            self._table(items, shown)
        elif self.on_terminal:
            self._column(items, shown[0])
        else:
            cells = [column.cell for column in shown]
            self._lines(_tab_separated([cell(item) for cell in cells]) for item in items)

    def _counted(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        with self.progress(description, total) as advance:
            for item in items:
                advance()
                yield item

    def _column(self, items: Iterable[T], column: Column[T]) -> None:
        """Write a table of one column, which needs no measuring, as its lines come."""
        rest = iter(items)
        for first in rest:
            header = column.header
            self.line(click.style(header, bold=True) if self._colored else header)
            self._lines(visible(column.cell(item)) for item in chain((first,), rest))

    def _lines(self, lines: Iterable[str]) -> None:
        """Write lines, none held back for longer than a reader would notice."""
        flushed = float("-inf")
        write = self.stdout.write
        for line in lines:
            try:
                write(f"{line}\n")
            except OSError as error:
                raise _unwritable(error) from error
            if (now := self.clock()) - flushed > _FLUSH_SECONDS:
                self.flush()
                flushed = now

    def _json_listing(self, items: Iterable[T], key: str, record: Callable[[T], Any]) -> None:
        import json

        self._document_written = True
        self.write(f"{{\n  {json.dumps(key)}: [")
        comma = ""
        try:
            for item in items:
                self.write(f"{comma}\n    {json.dumps(record(item))}")
                comma = ","
        except RegctlError as error:
            self.write(f'\n  ],\n  "error": {json.dumps(error_record(error))}\n}}\n')
            raise
        self.write("\n  ]\n}\n" if comma else "]\n}\n")

    def _yaml_listing(self, items: Iterable[T], key: str, record: Callable[[T], Any]) -> None:
        records: list[Any] = []
        try:
            for item in items:
                records.append(record(item))  # noqa: PERF401 - those before a failure count
        except RegctlError as error:
            self.document({key: records, "error": error_record(error)})
            raise
        self.document({key: records})

    def _table(self, items: Iterable[T], columns: Sequence[Column[T]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(
                column.header, justify="right" if column.right else "left", overflow="fold"
            )
        failure: RegctlError | None = None
        try:
            for item in items:
                table.add_row(
                    *(
                        Text(visible(column.cell(item)), column.style(item) if column.style else "")
                        for column in columns
                    )
                )
        except RegctlError as error:
            failure = error
        if table.row_count:
            self._console(self.stdout).print(table)
        if failure is not None:
            raise failure

    # Changes

    def results(
        self, results: Iterable[Result], *, dry_run: DryRun | None = None, aside: bool = False
    ) -> None:
        """
        Print what became of each thing, a line each, failures on stderr; then raise if any failed.

        *aside* sends the lines to stderr, where stdout carries something else. One result alone
        that failed raises its own error; PartlyDoneError where others succeeded; else an error
        with the common exit code of all.
        """
        listed = list(results)
        if self.structured:
            self.document({"results": [result.record(dry_run) for result in listed]})
        for result in listed:
            if result.error is not None:
                if len(listed) > 1:
                    self.error(result.error)
            elif self.format == "name" and not aside:
                self.line(visible(result.subject))
            elif not self.structured and not self.quiet:
                self._result_line(result, dry_run, aside=aside)
        self._settle(listed)

    def _result_line(self, result: Result, dry_run: DryRun | None, *, aside: bool) -> None:
        stream = sys.stderr if aside else self.stdout
        suffix = f" ({result.note})" if result.note else ""
        if dry_run is not None:
            suffix += " (server dry run)" if dry_run == "server" else " (dry run)"
        outcome = (
            click.style(result.outcome, fg=_OUTCOME_STYLES.get(result.outcome))
            if self._colored and stream.isatty()
            else result.outcome
        )
        line = f"{visible(result.subject)} {outcome}{visible(suffix)}"
        if aside:
            click.echo(line, err=True, color=self._colored)
        else:
            self.line(line)

    @staticmethod
    def _settle(results: Sequence[Result]) -> None:
        errors = [result.error for result in results if result.error is not None]
        if not errors:
            return
        if len(results) == 1:
            raise errors[0]
        counted = f"{len(errors)} of {len(results)} failed"
        if len(errors) < len(results):
            raise PartlyDoneError(
                f"{counted}, {len(results) - len(errors)} done",
                hint="mend what is named above and run the same command again",
            )
        common = {type(error) for error in errors}
        raise (common.pop() if len(common) == 1 else RegctlError)(counted)

    # For people

    def error(self, error: RegctlError) -> None:
        """Print an error and its hint on stderr, one line each."""
        self._say("error", error.message, "red")
        if error.hint:
            self._say("hint", error.hint, "cyan")

    def warning(self, text: str) -> None:
        """Print a warning on stderr, `--quiet` or not."""
        self._say("warning", text, "yellow")

    def note(self, text: str) -> None:
        """Print something good to know on stderr, unless `--quiet`."""
        if not self.quiet:
            self._say("note", text, "cyan")

    def trace(self, text: str) -> None:
        """Print what is being done on stderr, with `--verbose` only."""
        if self.verbose:
            self._say("*", text, "bright_black", separator=" ")

    def failure(self, error: RegctlError) -> None:
        """Report the error that ends the run: on stderr, and as the document where one is due."""
        self.error(error)
        if self.structured and not self._document_written:
            self.document({"error": error_record(error)})

    def _say(self, label: str, text: str, color: str, *, separator: str = ": ") -> None:
        for secret in sorted(self._concealed, key=len, reverse=True):
            text = text.replace(secret, "***")
        head = click.style(label, fg=color, bold=True) if self._colored else label
        # A closed stderr must not turn one error into another.
        try:
            click.echo(f"{head}{separator}{visible(text)}", err=True, color=self._colored)
        except OSError:
            return

    @property
    def _colored(self) -> bool:
        return sys.stderr.isatty() if self.color is None else self.color

    @contextmanager
    def progress(
        self, description: str, total: int | None, *, of_bytes: bool = False
    ) -> "Iterator[Advance]":
        """
        Show a progress bar on stderr while the block runs, where that is a terminal.

        Yields a function to call for each finished piece, or with a number of them; a call is
        cheap and thread-safe.
        """
        if self.quiet or not sys.stderr.isatty():
            yield _unseen
            return
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        counted = (DownloadColumn(), TransferSpeedColumn()) if of_bytes else (MofNCompleteColumn(),)
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *counted,
            console=self._console(sys.stderr),
            transient=True,
        )
        with bar:
            task = bar.add_task(visible(description), total=total)
            yield lambda count=1: bar.advance(task, count)

    def _console(self, stream: IO[str]) -> "Console":
        from rich.console import Console

        return Console(
            file=stream, markup=False, highlight=False, emoji=False, no_color=self.color is False
        )
