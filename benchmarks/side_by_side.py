"""
Time regctl beside a peer: whole processes, in turn, in one run; what counts is the ratio.

A machine drifts; two commands timed one after the other, pair by pair, drift together. Each row
gives the median of the pairs' ratios and their spread.
"""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Work = Callable[[], None]


@dataclass(frozen=True)
class Row:
    """One task beside one peer; *bound* is the ratio that regctl promises to stay under."""

    task: str
    peer: str
    ours: float
    theirs: float
    ratios: tuple[float, ...]
    bound: float | None = None

    @property
    def ratio(self) -> float:
        """The median ratio of regctl's time to the peer's."""
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        spread = f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"
        bound = f"{self.bound:.2f}" if self.bound is not None else "-"
        return (
            f"{self.task:<44}  {self.peer:<30}  {_seconds(self.ours):>9}  "
            f"{_seconds(self.theirs):>9}  {self.ratio:>5.2f}  ({spread})  {bound}"
        )


HEADER = (
    f"{'task':<44}  {'peer':<30}  {'regctl':>9}  {'peer':>9}  {'ratio':>5}  (min to max)  at most"
)


def command(
    *args: str, env: dict[str, str] | None = None, stdin: str | None = None, cwd: str | None = None
) -> Work:
    """Return work that runs *args* as a process, its output thrown away, and must succeed."""

    def run() -> None:
        subprocess.run(
            args,
            check=True,
            input=stdin,
            text=True,
            env=env,
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return run


def compare(
    task: str,
    ours: Work,
    peer: str,
    theirs: Work,
    *,
    runs: int = 7,
    bound: float | None = None,
    before: Work | None = None,
) -> Row:
    """Run both in turn *runs* times after one warm-up each; *before* prepares every single run."""
    pairs: list[tuple[float, float]] = []
    for turn in range(runs + 1):
        pair = (_timed(ours, before), _timed(theirs, before))
        if turn:
            pairs.append(pair)
    return Row(
        task,
        peer,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        tuple(a / b for a, b in pairs),
        bound,
    )


def machine() -> str:
    """Return what the figures were measured on."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = f"{len(names)} x {names[0]}" if names else f"{os.cpu_count()} CPUs"
    return (
        f"{platform.system()} {platform.machine()}, {processor}, Python {platform.python_version()}"
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return the machine and the rows as a table of Markdown."""
    lines = [
        f"{machine()}; the ratio is the median of pairs, below 1 regctl is faster.\n\n",
        "| task | peer | regctl | peer | ratio | at most |\n",
        "| --- | --- | --- | --- | --- | --- |\n",
    ]
    lines += [
        f"| {row.task} | {row.peer} | {_seconds(row.ours)} | {_seconds(row.theirs)} "
        f"| {row.ratio:.2f} | {f'{row.bound:.2f}' if row.bound is not None else ''} |\n"
        for row in rows
    ]
    return "".join(lines)


def report(rows: Sequence[Row]) -> None:
    """Print the machine and a line for each row."""
    print(machine())
    print(HEADER)
    for row in rows:
        print(row)


def _timed(work: Work, before: Work | None) -> float:
    if before is not None:
        before()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
