"""Tables and progress bars on a terminal. Owns rich, which is loaded there and nowhere else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from regctl.cli.listings import Column


def print_table(
    stream: IO[str],
    columns: Sequence[Column[Any]],
    rows: Sequence[tuple[Any, list[str]]],
    *,
    color: bool | None,
) -> None:
    """Print *rows*, each an item and its cells, as wide as the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.heading or "", justify=justify, overflow="fold")
    for item, row in rows:
        styles = [column.style(item) if column.style else "" for column in columns]
        table.add_row(*(Text(text, style) for text, style in zip(row, styles, strict=True)))
    _console(stream, color).print(table)


@contextmanager
def progress_bar(
    stream: IO[str], description: str, total: int | None, *, of_bytes: bool, color: bool | None
) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; yield what advances it, cheap and thread-safe."""
    counted = (DownloadColumn(), TransferSpeedColumn()) if of_bytes else (MofNCompleteColumn(),)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *counted,
        console=_console(stream, color),
        transient=True,
    )
    with bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


def _console(stream: IO[str], color: bool | None) -> Console:
    return Console(file=stream, markup=False, highlight=False, emoji=False, no_color=color is False)
