"""How long regctl takes to start, compared with the import of click alone."""

import sys
from pathlib import Path

from benchmarks.side_by_side import Row, command, compare


def rows() -> list[Row]:
    """Time `regctl --version` and `--help` as whole processes."""
    regctl = str(Path(sys.executable).with_name("regctl"))
    click = command(sys.executable, "-c", "import click")
    peer = 'python -c "import click"'
    return [
        compare("regctl --version", command(regctl, "--version"), peer, click, runs=25, bound=1.5),
        compare("regctl --help", command(regctl, "--help"), peer, click, runs=25),
    ]
