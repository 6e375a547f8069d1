"""
Time regctl and a peer: whole processes, in turn, in one run. The result is the ratio.

The speed of a machine drifts. Two commands that are timed in pairs drift together. Each row has the
median of the pairs' ratios and their spread. A peer that is not installed is skipped.
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

from tests.servers.programs import MissingServerError, find

Work = Callable[[], None]


@dataclass(frozen=True)
class Row:
    """
    One task, compared with one peer; *bound* is the highest ratio that regctl promises.

    *skipped* says why nothing was timed; then *ratios* is empty.
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
    Return work that runs *args* as a process, which must succeed; its output is discarded.

    The work raises MissingServerError if a program of *needs* is not installed.
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
    """Return the peak memory of a process in megabytes; the process must succeed."""
    # The memory of its parent counts too, so a small process starts it.
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *args], check=True, capture_output=True, text=True, env=env
    )
    return int(result.stdout) / 1024


def machine() -> str:
    """Return the machine that the figures were measured on."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = f"{os.cpu_count()} cores of " if names else f"{os.cpu_count()} cores, "
    processor = names[0] if names else platform.machine()
    return f"{platform.system()}, {cores}{processor}, Python {platform.python_version()}"


def markdown(rows: Sequence[Row], facts: Sequence[str] = ()) -> str:
    """Return the machine, the rows as a table of Markdown, and the other facts."""
    head = (
        f"{machine()}. Each row times whole processes, regctl and its peer in turn. The ratio is "
        "the median of the pairs (smallest to largest); below 1 regctl is faster.\n\n"
    )
    lines = [
        head,
        "| task | peer | regctl | peer's time | ratio | at most |\n",
        "| --- | --- | ---: | ---: | --- | ---: |\n",
        *(row.markdown() for row in rows),
    ]
    if facts:
        lines += ["\nWithout a peer:\n\n", *(f"- {fact}\n" for fact in facts)]
    return "".join(lines)


def _timed(work: Work, before: Work | None) -> float:
    if before is not None:
        before()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
