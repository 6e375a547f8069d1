"""
Time regctl beside a peer: whole processes, in turn, in one run; what counts is the ratio.

A machine drifts; two commands timed one after the other, pair by pair, drift together. Each row
gives the median of the pairs' ratios and their spread. A peer that is not on this machine is named
as skipped.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import MissingServerError, find

Work = Callable[[], None]


@dataclass(frozen=True)
class Row:
    """
    One task beside one peer; *bound* is the ratio that regctl promises to stay under.

    *skipped* says why nothing was timed; *ratios* are empty then.
    """

    task: str
    peer: str
    ours: float = 0.0
    theirs: float = 0.0
    ratios: tuple[float, ...] = ()
    bound: float | None = None
    skipped: str = ""

    @property
    def ratio(self) -> float:
        """The median ratio of regctl's time to the peer's."""
        return statistics.median(self.ratios)

    def markdown(self) -> str:
        """Return the row of a table of Markdown."""
        bound = "" if self.bound is None else f"{self.bound:.2f}"
        cells = [self.task, self.peer, "", "", f"skipped: {self.skipped}", bound]
        if not self.skipped:
            spread = f"{self.ratio:.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})"
            cells[2:5] = [_seconds(self.ours), _seconds(self.theirs), spread]
        return f"| {' | '.join(cells)} |\n"


def command(
    *args: str,
    env: dict[str, str] | None = None,
    stdin: str | None = None,
    needs: Sequence[str] = (),
) -> Work:
    """
    Return work that runs *args* as a process, its output thrown away, and must succeed.

    The work raises MissingServerError where a program of *needs* is not installed.
    """

    def run() -> None:
        found = {program: find(program) for program in needs}
        subprocess.run(
            [found.get(args[0], args[0]), *args[1:]],
            check=True,
            input=stdin,
            text=True,
            env=env,
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
    try:
        _timed(theirs, before)
    except MissingServerError as error:
        return Row(task, peer, bound=bound, skipped=str(error))
    _timed(ours, before)
    pairs = [(_timed(ours, before), _timed(theirs, before)) for _ in range(runs)]
    return Row(
        task,
        peer,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        tuple(a / b for a, b in pairs),
        bound,
    )


def peak(*args: str, env: dict[str, str] | None = None) -> float:
    """Return the megabytes that a process takes at most, which must succeed."""
    # What it starts from counts too, so a small process starts it, and not this one.
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, *args], check=True, capture_output=True, text=True, env=env
    )
    return int(told.stdout) / 1024


def machine() -> str:
    """Return what the figures were measured on."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = f"{os.cpu_count()} cores of " if names else f"{os.cpu_count()} cores, "
    processor = names[0] if names else platform.machine()
    return f"{platform.system()}, {cores}{processor}, Python {platform.python_version()}"


def markdown(rows: Sequence[Row], facts: Sequence[str] = ()) -> str:
    """Return the machine, the rows as a table of Markdown, and what was measured besides."""
    told = (
        f"{machine()}. Whole processes, timed in turn; the ratio is the median of the pairs "
        "(least to most), and below 1 regctl is the faster one.\n\n"
    )
    lines = [
        told,
        "| task | peer | regctl | peer's time | ratio | at most |\n",
        "| --- | --- | ---: | ---: | --- | ---: |\n",
        *(row.markdown() for row in rows),
    ]
    if facts:
        lines += ["\nAnd without a peer:\n\n", *(f"- {fact}\n" for fact in facts)]
    return "".join(lines)


def _timed(work: Work, before: Work | None) -> float:
    if before is not None:
        before()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
