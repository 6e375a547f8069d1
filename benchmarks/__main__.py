"""
Time everything, or the modules named on the command line, and print one table of Markdown.

`--write FILE` also writes the table into that file, between two marks. A row whose peer is not
installed says so.
"""

import argparse
import compileall
from importlib import import_module
from pathlib import Path

import regctl
from benchmarks.side_by_side import Row, markdown
from tests.servers.programs import MissingServerError

MODULES = ("startup", "auth", "pull_secrets", "registry", "push")
BEGIN, END = "<!-- figures: made by `make bench` -->\n", "<!-- end of figures -->\n"


def measured(names: list[str]) -> str:
    """Return the table of the modules *names*, and their figures without a peer."""
    # An installed regctl has its bytecode. One that runs from the sources may not.
    compileall.compile_dir(Path(regctl.__file__).parent, quiet=1)
    rows: list[Row] = []
    facts: list[str] = []
    for name in names:
        module = import_module(f"benchmarks.{name}")
        try:
            rows += module.rows()
            facts += module.facts() if hasattr(module, "facts") else []
        except MissingServerError as error:
            rows.append(Row(f"all of {name}", "", skipped=str(error)))
    return markdown(rows, facts)


def main() -> None:
    """Measure, print, and with --write also write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    table = measured(options.modules or list(MODULES))
    print(table, end="")
    if options.write is not None:
        text = options.write.read_text()
        head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
        options.write.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
