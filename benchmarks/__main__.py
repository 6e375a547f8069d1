"""
Time everything, or the modules named on the command line, and print one table.

With `--write` it goes into the README as well. A peer that is not on this machine is named and
left out.
"""

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.side_by_side import Row, markdown, report
from tests.servers.process import MissingServerError

MODULES = ("startup", "auth", "pull_secrets", "registry", "push")
README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- figures: made by `make bench` -->\n", "<!-- end of figures -->\n"


def main(names: list[str], *, write: bool) -> None:
    """Time the modules *names*."""
    rows: list[Row] = []
    for name in names:
        try:
            rows += import_module(f"benchmarks.{name}").rows()
        except MissingServerError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    report(rows)
    if write:
        text = README.read_text()
        head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
        README.write_text(f"{head}{BEGIN}\n{markdown(rows)}\n{END}{tail}")


if __name__ == "__main__":
    asked = [name for name in sys.argv[1:] if name != "--write"]
    main(asked or list(MODULES), write="--write" in sys.argv)
