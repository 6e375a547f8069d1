"""
Everything that regctl prints: data to stdout, the rest to stderr.

One listing or list of results goes in; a table, tab-separated lines, JSON, YAML or names come out.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Literal, TextIO, TypeVar, cast

import click

from regctl.cli.errors import StdoutError, as_failure, stdout_error, writing_stdout
from regctl.cli.rendering import (
    error_record,
    escape_controls,
    outcome_record,
    plain_table,
    tab_separated,
)
from regctl.errors import DifferenceError, PartlyDoneError, RegctlError
from regctl.wording import count

if TYPE_CHECKING:
    from regctl.cli.listings import Column, Listing
    from regctl.outcome import DryRun, Outcome
    from regctl.workflows.rotation_steps import StepResult

T = TypeVar("T")

Format = Literal["table", "wide", "json", "yaml", "name"]

_RESULT_STYLES = {
    "created": "green",
    "configured": "green",
    "deleted": "yellow",
    "accepted": "yellow",
    "skipped": "yellow",
    "refused": "red",
    "failed": "red",
}
_FLUSH_SECONDS = 0.1


def _until_failure(items: Iterable[T]) -> tuple[list[T], Exception | None]:
    """Return the items before a failure, and the failure."""
    kept: list[T] = []
    try:
        kept.extend(items)
    except Exception as error:  # noqa: BLE001 - it is raised again after what came is printed
        return kept, error
    return kept, None


# Tells a progress bar of one more finished piece, or of so many as it is given.
Advance = Callable[..., None]


def _no_bar(_count: int = 1, /) -> None:
    """Show nothing."""


@dataclass(eq=False)
class Output:
    """
    Where a command's words go, and in which format.

    `format` None means a table on a terminal and tab-separated lines in a pipe. *program* is how
    regctl was called; the commands in hints begin with it.
    """

    format: Format | None = None
    quiet: bool = False
    verbose: bool = False
    color: bool | None = None
    program: str = "regctl"
    clock: Callable[[], float] = time.monotonic
    _passwords: dict[str, str] = field(default_factory=dict, repr=False)
    _document_written: bool = False

    # Where it goes

    @property
    def stdout(self) -> IO[str]:
        """Standard output as it is now: tests and shells replace it, or close it."""
        stream = cast("IO[str] | None", sys.stdout)
        if stream is None:
            raise StdoutError("cannot write to standard output: it is closed")
        return stream

    @property
    def on_terminal(self) -> bool:
        """Whether a person reads standard output."""
        return self.stdout.isatty()

    @property
    def structured(self) -> bool:
        """Whether standard output is to hold one JSON or YAML document."""
        return self.format in {"json", "yaml"}

    # Data

    def write(self, text: str) -> None:
        """
        Write *text* to stdout as it is; raise StdoutError where it can't be written.

        Raises ClosedPipeError where the reader is gone.
        """
        with writing_stdout():
            self.stdout.write(text)

    def flush(self) -> None:
        """Push what was written on its way; errors as in `write`."""
        stream = cast("IO[str] | None", sys.stdout)
        if stream is not None:
            with writing_stdout():
                stream.flush()

    def line(self, text: str) -> None:
        """Write one line of data to stdout, with everything visible that could steer a terminal."""
        self.write(f"{escape_controls(text)}\n")

    def password(self, password: str) -> None:
        """Write a password alone on a line, exactly; it is visible on a terminal."""
        self.write(f"{escape_controls(password) if self.on_terminal else password}\n")
        self.flush()

    def content(self, content: bytes) -> None:
        """Write the content of a file, exactly; on a terminal it is made visible."""
        if self.on_terminal:
            lines = content.decode(errors="surrogateescape").removesuffix("\n").split("\n")
            self._lines(map(escape_controls, lines))
            return
        self.flush()
        with writing_stdout():
            cast("TextIO", self.stdout).buffer.write(content)

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
        listing: "Listing[T]",
        *,
        progress: tuple[str, int | None] | None = None,
    ) -> None:
        """
        Print *items* in the format asked for; the first is printed before the last is known.

        *progress*, a description and a total, shows a bar meanwhile where it disturbs nothing. If
        the iteration fails, what came is printed, a JSON document is closed with the error in it,
        and the error is raised.
        """
        wide = self.format == "wide"
        columns = listing.shown(wide=wide)
        as_table = self.format in {"table", "wide"} or (self.format is None and self.on_terminal)
        if progress is not None and (not self.on_terminal or (as_table and len(columns) > 1)):
            items = self._counted(items, *progress)
        if self.format == "json":
            self._json_listing(items, listing)
        elif self.format == "yaml":
            self._yaml_listing(items, listing)
        elif self.format == "name":
            self._lines(escape_controls(listing.name(item)) for item in items)
        elif not as_table:
            cells = [column.value_and_text(exact=True) for column in columns]
            self._lines(
                tab_separated([text(value(item)) for value, text in cells]) for item in items
            )
        elif len(columns) == 1:
            self._column(items, columns[0])
        else:
            self._table(items, columns)

    def listings(self, *parts: "tuple[Iterable[Any], Listing[Any]]") -> None:
        """Print several listings: one below the other, or as one document."""
        if self.structured:
            self.document(
                {listing.key: [listing.json(item) for item in items] for items, listing in parts}
            )
            return
        for number, (items, listing) in enumerate(parts):
            if number and self.format != "name":
                self.line("")
            self.listing(items, listing)

    def _counted(self, items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
        with self.progress(description, total) as advance:
            for item in items:
                advance()
                yield item

    def _column(self, items: Iterable[T], column: "Column[T]") -> None:
        """Write a table of one column as its lines come: it needs no measuring."""
        (value, text), heading = column.value_and_text(exact=False), column.heading or ""
        rest = iter(items)
        for first in rest:
            self.write((click.style(heading, bold=True) if self._colored else heading) + "\n")
            self._lines(escape_controls(text(value(item))) for item in chain((first,), rest))

    def _lines(self, lines: Iterable[str]) -> None:
        """Write lines, and hold none back longer than a reader would notice."""
        flushed = float("-inf")
        write = self.stdout.write
        for line in lines:
            try:
                write(f"{line}\n")
            except OSError as error:
                raise stdout_error(error) from error
            if (now := self.clock()) - flushed > _FLUSH_SECONDS:
                self.flush()
                flushed = now

    def _json_listing(self, items: Iterable[T], listing: "Listing[T]") -> None:
        import json

        self._document_written = True
        self.write(f"{{\n  {json.dumps(listing.key)}: [")
        comma = ""
        try:
            for item in items:
                self.write(f"{comma}\n    {json.dumps(listing.json(item))}")
                comma = ","
        except Exception as error:
            record = error_record(as_failure(error))
            self.write(f'\n  ],\n  "error": {json.dumps(record)}\n}}\n')
            raise
        except KeyboardInterrupt:
            self.write("\n  ]\n}\n")
            raise
        self.write("\n  ]\n}\n" if comma else "]\n}\n")

    def _yaml_listing(self, items: Iterable[T], listing: "Listing[T]") -> None:
        records, failure = _until_failure(map(listing.json, items))
        if failure is None:
            self.document({listing.key: records})
        else:
            self.document({listing.key: records, "error": error_record(as_failure(failure))})
            raise failure

    def _table(self, items: Iterable[T], columns: "Sequence[Column[T]]") -> None:
        wide = self.format == "wide"
        cells = [column.value_and_text(exact=wide and column.shortens) for column in columns]
        rows, failure = _until_failure(
            (item, [escape_controls(text(value(item))) for value, text in cells]) for item in items
        )
        if rows and self.on_terminal:
            from regctl.cli import terminal

            terminal.print_table(self.stdout, columns, rows, color=self.color)
        elif rows:
            headings = [column.heading or "" for column in columns]
            self._lines(plain_table(headings, [row for _, row in rows]))
        if failure is not None:
            raise failure

    # Changes

    def generated(self, name: str, password: str) -> None:
        """
        Print the generated password of user *name*, alone on stdout and at once.

        From then on, what became of the objects goes to stderr. A JSON or YAML document has the
        password instead, as `passwords.NAME`.
        """
        self._passwords[name] = password
        if not self.structured:
            self.password(password)

    def generated_list(self, passwords: Mapping[str, str]) -> None:
        """Print generated passwords by user as `generated` does, but as CSV: name,password."""
        self._passwords |= passwords
        if passwords and not self.structured:
            import csv

            rows = csv.writer(self.stdout, lineterminator="\n")
            with writing_stdout():
                rows.writerows([("name", "password"), *passwords.items()])
            self.flush()

    def results(
        self,
        outcomes: "Iterable[Outcome]",
        *,
        dry_run: "DryRun | None" = None,
        to_stderr: bool = False,
    ) -> None:
        """
        Print what became of each object, a line each, failures on stderr; then raise if any failed.

        *to_stderr* keeps stdout free for something else. A single outcome that failed raises its
        own error; PartlyDoneError if others succeeded; else an error with the exit code that all
        have in common.
        """
        to_stderr = to_stderr or bool(self._passwords)
        listed = list(outcomes)
        if self.structured:
            records = [outcome_record(outcome, dry_run) for outcome in listed]
            passwords = {"passwords": self._passwords} if self._passwords else {}
            self.document({"results": records, **passwords})
        for outcome in listed:
            if outcome.error is not None:
                if len(listed) > 1:
                    self.error(outcome.error)
            elif self.format == "name" and not to_stderr:
                self.line(outcome.reference)
            elif not self.structured and not self.quiet:
                self.outcome_line(outcome, dry_run, to_stderr=to_stderr)
        from regctl.outcome import failure_of

        if (failure := failure_of(listed)) is not None:
            raise failure

    def outcome_line(
        self,
        outcome: "Outcome | StepResult",
        dry_run: "DryRun | None",
        *,
        to_stderr: bool = False,
    ) -> None:
        """Print what became of one object."""
        stream = sys.stderr if to_stderr else self.stdout
        suffix = f" ({outcome.note})" if outcome.note else ""
        if dry_run is not None:
            suffix += " (server dry run)" if dry_run == "server" else " (dry run)"
        result: str = outcome.result
        if self._colored and stream.isatty():
            result = click.style(result, fg=_RESULT_STYLES.get(result))
        line = f"{escape_controls(outcome.subject)} {result}{escape_controls(suffix)}"
        if to_stderr:
            click.echo(line, err=True, color=self._colored)
        else:
            self.write(f"{line}\n")

    def preview(self, outcomes: "Iterable[Outcome]") -> None:
        """List on stderr which objects would change."""
        for outcome in outcomes:
            if outcome.result not in {"unchanged", "skipped", "failed"}:
                self.outcome_line(outcome, "client", to_stderr=True)

    def differences(self, outcomes: "Sequence[Outcome]") -> None:
        """
        List what `--check` found to differ.

        Raises DifferenceError if anything differs, else PartlyDoneError if something could not be
        compared.
        """
        from regctl.cli.listings import DIFFERENCES

        found = [o for o in outcomes if o.result not in {"unchanged", "skipped"}]
        self.listing(found, DIFFERENCES)
        failed = [outcome.error for outcome in found if outcome.result == "failed"]
        for error in failed:
            if error is not None:
                self.error(error)
        differ = len(found) - len(failed)
        if differ:
            raise DifferenceError(
                f"{differ} of {len(outcomes)} {'differs' if differ == 1 else 'differ'}",
                hint="run the same command without --check to change that",
            )
        if failed:
            raise PartlyDoneError(f"{len(failed)} of {len(outcomes)} could not be compared")

    def unreadable_namespaces(self, errors: Mapping[str, RegctlError], *, others: bool) -> None:
        """
        Print why namespaces could not be read, after a listing; then raise if there are any.

        Raises PartlyDoneError, or the only error if there was nothing to list in *others*.
        """
        by_namespace = [error for _, error in sorted(errors.items())]
        if len(by_namespace) == 1 and not others:
            raise by_namespace[0]
        for error in by_namespace:
            self.error(error)
        if by_namespace:
            raise PartlyDoneError(f"{count(len(by_namespace), 'namespace')} could not be read")

    # For people

    def error(self, error: RegctlError) -> None:
        """Print an error and its hint on stderr, one line each."""
        self._message("error", error.message, "red")
        if error.hint:
            self._message("hint", error.hint, "cyan")

    def warning(self, text: str) -> None:
        """Print a warning on stderr, unless `--quiet`."""
        if not self.quiet:
            self._message("warning", text, "yellow")

    def note(self, text: str) -> None:
        """Print something good to know on stderr, unless `--quiet`."""
        if not self.quiet:
            self._message("note", text, "cyan")

    def trace(self, text: str) -> None:
        """Print what is being done on stderr, with `--verbose` only."""
        if self.verbose:
            self._message("*", text, "bright_black", separator=" ")

    def fatal(self, error: RegctlError) -> None:
        """Report the error that ends the run: on stderr, and as the document where one is due."""
        self.error(error)
        if self.structured and not self._document_written:
            self.document({"error": error_record(error)})

    def ask(self, question: str, *, hidden: bool = False, twice: bool = False) -> str:
        """Return the answer to a question on stderr; *hidden* does not show what is typed."""
        question = escape_controls(question)
        answer: str = click.prompt(question, hide_input=hidden, confirmation_prompt=twice, err=True)
        return answer

    def confirm(self, question: str) -> bool:
        """Return whether a question on stderr is answered with yes."""
        return click.confirm(escape_controls(question), err=True)

    def _message(self, label: str, text: str, color: str, *, separator: str = ": ") -> None:
        head = click.style(label, fg=color, bold=True) if self._colored else label
        text = text.replace("`regctl ", f"`{self.program} ")
        # A closed stderr must not turn one error into another.
        try:
            click.echo(f"{head}{separator}{escape_controls(text)}", err=True, color=self._colored)
        except OSError:
            return

    @property
    def _colored(self) -> bool:
        return sys.stderr.isatty() if self.color is None else self.color

    @contextmanager
    def progress(
        self, description: str | None, total: int | None, *, of_bytes: bool = False
    ) -> "Iterator[Advance]":
        """
        Show a progress bar on stderr while the block runs, if that is a terminal.

        Yields a function to call for each finished piece, or with a number of them; a call is
        cheap and thread-safe.
        """
        if description is None or self.quiet or not sys.stderr.isatty():
            yield _no_bar
            return
        from regctl.cli import terminal

        shown = escape_controls(description)
        with terminal.progress_bar(
            sys.stderr, shown, total, of_bytes=of_bytes, color=self.color
        ) as advance:
            yield lambda count=1: advance(count)
