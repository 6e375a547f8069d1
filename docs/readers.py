"""The content of docs/readers.md: who reads auth files, and what each reader accepts."""

from collections.abc import Mapping

from regctl.authfile.readers import READERS, Cell

WORDS = {
    "fine": "yes",
    "shuts": "no",
    "opens": "**opens**",
    "breaks": "**breaks**",
}

HEAD = """\
# Who reads auth files

`make docs` writes this file from `src/regctl/authfile/readers.py`, where each cell has its source.
`regctl auth check --for all -o json` prints the sources, too. `regctl auth check --for READER`
checks an auth file for one of them, and `regctl auth push` uploads nothing that its reader would
reject.

"""

SCHEMES_HEAD = """\
## Schemes

*yes*: the user can log in. *no*: the user cannot. Any other word is explained below.

"""

ODDITIES_HEAD = """
## Oddities

What such a line or file does. *yes*: nothing bad. *no*: the users of the line cannot log in.
*first*, *last*: which of a user's lines counts. **opens**: somebody can log in who should not.
**breaks**: the reader rejects the whole file, or does not start. *stale*: the reader keeps the file
that it read before. *hides*: the reader ignores the lines that follow.

"""


def document() -> str:
    """Return docs/readers.md."""
    schemes = {name: one.schemes for name, one in READERS.items()}
    oddities = {name: one.oddities for name, one in READERS.items()}
    return "".join(
        [HEAD, SCHEMES_HEAD, _table(schemes), ODDITIES_HEAD, _table(oddities), _secrets()]
    )


def _table(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    columns = list(next(iter(cells.values())))
    lines = [f"| reader | {' | '.join(columns)} |\n", f"| --- |{' --- |' * len(columns)}\n"]
    for name, known in cells.items():
        row = [WORDS.get(known[what].effect, known[what].effect) for what in columns]
        lines.append(f"| {name} | {' | '.join(row)} |\n")
    return "".join(lines)


def _secrets() -> str:
    lines = [
        "\n## Secrets and limits\n\n",
        "| reader | Secret | key | highest bcrypt cost | longest password |\n",
        "| --- | --- | --- | --- | --- |\n",
    ]
    for name, one in READERS.items():
        kind, key = "none", ""
        if one.shape is not None:
            kind = f"`{one.shape.type}`"
            key = f"`{one.shape.key}`" if one.shape.key else "one for each user"
            key = "any" if one.shape.any_key else key
        lines.append(
            f"| {name} | {kind} | {key} | {one.bcrypt_cost.most} | {one.password.most} bytes |\n"
        )
    return "".join(lines)
