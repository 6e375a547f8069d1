"""Time everything, or the modules named on the command line, and print one table."""

import sys
from importlib import import_module

from benchmarks.side_by_side import Row, report

MODULES = ("startup", "auth", "pull_secrets", "registry", "push")

if __name__ == "__main__":
    rows: list[Row] = []
    for name in sys.argv[1:] or MODULES:
        rows += import_module(f"benchmarks.{name}").rows()
    report(rows)
