"""What docs/readers.md is to hold: who reads auth files, and what each of them makes of it."""

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

Made by `make docs` from `src/regctl/authfile/readers.py`, where each cell has its source; `regctl auth
consumers -o json` prints those too. `regctl auth check --for NAME` looks at a file as one of them
does, and `auth push` sends nothing that its reader would not take.

"""

SCHEMES_HEAD = """\
## Schemes

*yes*: the user gets in with the password. *no*: the user stays outside. Anything else is said.

"""

ODDITIES_HEAD = """
## Oddities

What a line or a file of that kind does. *yes*: nothing bad. *no*: the users concerned stay outside.
*first*, *last*: which of a user's lines counts. **opens**: somebody gets in who should not.
**breaks**: the whole list, or more, is refused. *stale*: the file as it was before stays in force.
*hides*: what follows is not seen.

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
