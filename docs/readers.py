"""The content of docs/readers.md: who reads auth files, and what each reader does with them."""

from collections.abc import Mapping

from regctl.authfile.readers import READERS, AuthFileReader, Behavior, Effect

WORDS: dict[Effect, str] = {
    "ok": "yes",
    "rejects-user": "no",
    "accepts-hash": "**accepts hash**",
    "admits-nameless": "**no name**",
    "rejects-file": "**rejects file**",
    "keeps-old-file": "old file",
    "ignores-rest": "ignores rest",
    "uses-first": "first",
    "uses-last": "last",
}

HEAD = """\
# Who reads auth files

`make docs` creates this page from `src/regctl/authfile/readers.py`, where each cell has its source;
`regctl auth check --for all -o json` prints the sources, too. `regctl auth check --for READER`
checks a file as that program reads it, and `regctl auth push` refuses what its reader would reject.

## Schemes

*yes*: the user can log in. *no*: the reader rejects the user. **rejects file**: it rejects the
whole file, or more. **accepts hash**: it accepts the hash itself as the password.

"""

LINES_HEAD = """
## Features of lines

*yes*: the line is read as meant, or ignored. *no*: the reader rejects the user of that line.
*first*, *last*: which of a user's lines it uses. **no name**: it accepts a login without a name.
**rejects file**: it rejects the whole file, or more. *old file*: it keeps using the file that it
read before. *ignores rest*: it ignores all lines after that one.

"""

SECRETS_HEAD = """
## Secrets and limits

| reader | Secret | key | highest bcrypt cost | longest password |
| --- | --- | --- | --- | --- |
"""


def document() -> str:
    """Return docs/readers.md."""
    schemes = {name: one.schemes for name, one in READERS.items()}
    features = {name: one.line_features for name, one in READERS.items()}
    secrets = "".join(map(_secret_row, READERS.values()))
    return f"{HEAD}{_table(schemes)}{LINES_HEAD}{_table(features)}{SECRETS_HEAD}{secrets}"


def _table(cells: Mapping[str, Mapping[str, Behavior]]) -> str:
    columns = list(next(iter(cells.values())))
    lines = [f"| reader | {' | '.join(columns)} |\n", f"| --- |{' --- |' * len(columns)}\n"]
    for name, row in cells.items():
        words = [WORDS[row[column].effect] for column in columns]
        lines.append(f"| {name} | {' | '.join(words)} |\n")
    return "".join(lines)


def _secret_row(reader: AuthFileReader) -> str:
    kind, key = "none", ""
    if reader.layout is not None:
        kind = f"`{reader.layout.type}`"
        key = f"`{reader.layout.key}`" if reader.layout.key else "one for each user"
        key = "any" if reader.layout.any_key else key
    limits = f"{reader.bcrypt_cost.maximum} | {reader.password.maximum} bytes"
    return f"| {reader.name} | {kind} | {key} | {limits} |\n"
