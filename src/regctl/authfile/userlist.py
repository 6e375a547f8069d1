"""
A list of users, read from what people have, and the auth file made from it.

`NAME:PASSWORD` lines, CSV with a header, JSON or YAML. A value that is a hash already passes
through; a user without a password keeps the one it has, or gets a generated one.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from regctl import atomicfile, documents
from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes, htpasswd
from regctl.authfile.htpasswd import HtpasswdFile, Outcome
from regctl.errors import (
    InvalidPasswordError,
    InvalidUserError,
    InvalidUserListError,
    MalformedError,
)

Format = Literal["lines", "csv", "json", "yaml"]

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_NAME_KEYS = ("name", "user", "username")
_PASSWORD_KEY = "password"  # noqa: S105 - a column's name
_HASHED = re.compile(r"\$(?:2[abxy]?|apr1|1|5|6|g?y|7|argon2[a-z]*)\$|\{S?SHA\}")


@dataclass(frozen=True)
class Entry:
    """A user as it is wanted: a *password*, a *secret* (a hash), or neither; *place* names it."""

    name: str
    place: str
    password: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Written:
    """What became of one user; *password* is the one that was generated for it."""

    name: str
    outcome: Outcome
    password: str | None = field(default=None, repr=False)


# Reading


def read(text: str, *, source: str, format: Format | None = None) -> list[Entry]:  # noqa: A002 - what it is called everywhere
    """
    Read a list of users from *text*; *source*, a file's name, tells its format and names it.

    Raises InvalidUserListError with every entry that is wrong: a name or a password that some server would
    read as another, a name that comes twice, a hash that is none. Raises MalformedError where
    the text as a whole is not of its format.
    """
    chosen = format or _SUFFIXES.get(Path(source).suffix.lower()) or _guess(text)
    readers = {"lines": _from_lines, "csv": _from_csv, "json": _from_json, "yaml": _from_yaml}
    entries: list[Entry] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    for place, name, value in readers[chosen](text, source):
        try:
            entry = _entry(place, name, value)
        except (InvalidUserError, InvalidPasswordError, MalformedError) as error:
            problems.append(f"{source}, {place}: {error.message}")
            continue
        if entry.name in places:
            problems.append(f"{source}, {place}: {entry.name} is in {places[entry.name]} already")
        places[entry.name] = place
        entries.append(entry)
    _refuse(source, problems)
    return entries


def _refuse(source: str, problems: Sequence[str]) -> None:
    if problems:
        count = "1 entry is" if len(problems) == 1 else f"{len(problems)} entries are"
        raise InvalidUserListError(
            f"cannot take the users of {source}: {count} wrong; nothing was written",
            problems=tuple(problems),
        )


def _entry(place: str, name: Any, value: Any) -> Entry:
    if name is None:
        raise MalformedError("no name with a password after it")
    if not isinstance(name, str):
        raise MalformedError("the name is not text: put it in quotes")
    htpasswd.check_name(name)
    if value is None or value == "":
        return Entry(name, place)
    if value is ...:
        raise MalformedError("more fields than the header: put a password with a comma in quotes")
    if not isinstance(value, str):
        raise MalformedError(f"the password of {name} is not text: put it in quotes")
    if _HASHED.match(value):
        if hashes.identify(value).name == "unknown":
            raise MalformedError(f"the hash of {name} is not one: cut off, or with something added")
        return Entry(name, place, secret=value)
    return Entry(name, place, password=value)


def _guess(text: str) -> Format:
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        return "json"
    header = text.partition("\n")[0].lower().replace('"', "")
    columns = {column.strip() for column in header.split(",")}
    return "csv" if columns & set(_NAME_KEYS) and _PASSWORD_KEY in columns else "lines"


_Rows = Iterator[tuple[str, Any, Any]]


def _from_lines(text: str, _source: str) -> _Rows:
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        # Without a colon it may well be a password: it is not shown.
        yield f"line {number}", name if colon else None, value


def _from_csv(text: str, source: str) -> _Rows:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    columns = {(column or "").strip().lower(): column for column in reader.fieldnames or ()}
    name = next((columns[key] for key in _NAME_KEYS if key in columns), None)
    password = columns.get(_PASSWORD_KEY)
    if name is None:
        raise MalformedError(
            f"cannot read {source}: its first line names no column 'name'",
            hint="CSV starts with a header: name,password",
        )
    try:
        for row in reader:
            value = ... if None in row else row.get(password or "")
            yield f"line {reader.line_num}", row[name], value
    except csv.Error as error:
        raise MalformedError(f"cannot read {source}, line {reader.line_num}: {error}") from error


def _from_json(text: str, source: str) -> _Rows:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"cannot read {source}, line {error.lineno}: not JSON: {error.msg}"
        ) from error
    return _from_data(data, source)


def _from_yaml(text: str, source: str) -> _Rows:
    return _from_data(documents.load(text, source=source), source)


def _from_data(data: Any, source: str) -> _Rows:
    """Read `{NAME: PASSWORD}`, or a list of `{name:, password:}`, alone or under `users`."""
    if isinstance(data, dict) and isinstance(data.get("users"), (dict, list)):
        data = data["users"]
    if isinstance(data, dict):
        for number, (name, value) in enumerate(data.items(), 1):
            yield f"entry {number}", name, value
    elif isinstance(data, list):
        for number, item in enumerate(data, 1):
            item = item if isinstance(item, dict) else {}  # noqa: PLW2901 - nothing else is usable
            name = next((item[key] for key in _NAME_KEYS if key in item), None)
            yield f"entry {number}", name, item.get(_PASSWORD_KEY)
    else:
        raise MalformedError(
            f"cannot read {source}: neither a map of names nor a list of users",
            hint="as {NAME: PASSWORD}, or [{name: NAME, password: PASSWORD}]",
        )


# Writing


@dataclass(frozen=True)
class Wish:
    """
    How to write a list: what to hash with, and who else may stay.

    *generate_missing* makes a password for a user that has none, here or in the file. *exclusive*
    removes everybody who is not in the list.
    """

    scheme: str | None = None
    cost: int | None = None
    generate_missing: bool = False
    exclusive: bool = False


def removed(path: Path, entries: Iterable[Entry]) -> list[str]:
    """Return the users of the file at *path* that an exclusive write of *entries* removes."""
    wanted = {entry.name for entry in entries}
    file = HtpasswdFile(atomicfile.read(path) or b"")
    return [user.name for user in file.users() if user.name not in wanted]


def write(
    path: Path,
    entries: Sequence[Entry],
    wish: Wish,
    *,
    source: str,
    removable: Iterable[str] = (),
    how: WriteOptions,
    dry_run: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> list[Written]:
    """
    Bring *entries* into the auth file at *path*, in one write.

    Hashing is done on all cores, before the file is locked; *progress* is called for each entry.
    With `wish.exclusive` the names in *removable*, those somebody has agreed to, are removed where
    they are not in the list. Returns the entries in their order, then who was removed. Raises
    InvalidUserListError for passwords that the scheme does not take or that are missing, and what
    htpasswd.editing raises.
    """
    hashes.check_scheme(wish.scheme or hashes.DEFAULT_SCHEME, wish.cost)
    before = HtpasswdFile(atomicfile.read(path) or b"")
    seen = {entry.name: before.secrets(entry.name) for entry in entries}
    passwords = _passwords(entries, seen, wish, source)
    kept = {entry.name: entry.secret for entry in entries}

    def fitting(name: str, present: tuple[str, ...]) -> str | None:
        secret = kept[name]
        if secret is not None or name not in passwords:
            return secret
        if dry_run and not _may_stay(present, wish):
            return ""
        return htpasswd.fitting_secret(passwords[name], present, wish.scheme, wish.cost)

    def prepared(entry: Entry) -> str | None:
        secret = fitting(entry.name, seen[entry.name])
        progress()
        return secret

    secrets = dict(zip(seen, _on_all_cores(prepared, entries), strict=True))
    generated = {entry.name for entry in entries if entry.password is None} & passwords.keys()
    written: list[Written] = []
    outcome: Outcome
    with htpasswd.editing(path, how, dry_run=dry_run) as file:
        for entry in entries:
            present = file.secrets(entry.name)
            same = present == seen[entry.name]
            secret = secrets[entry.name] if same else fitting(entry.name, present)
            # None: nothing was said of its password, which stays.
            outcome = "unchanged" if secret is None else file.set(entry.name, secret)
            password = passwords[entry.name] if entry.name in generated else None
            written.append(Written(entry.name, outcome, password))
        if wish.exclusive:
            gone = [name for name in removable if name not in seen]
            written += [Written(name, "deleted") for name in gone if file.remove(name)]
    return written


def _may_stay(present: Sequence[str], wish: Wish) -> bool:
    return len(set(present)) == 1 and hashes.is_good_enough(present[0], wish.scheme, wish.cost)


def _passwords(
    entries: Sequence[Entry], seen: Mapping[str, tuple[str, ...]], wish: Wish, source: str
) -> dict[str, str]:
    """Return the passwords to set, generated ones included; raise InvalidUserListError for bad ones."""
    passwords: dict[str, str] = {}
    problems: list[str] = []
    scheme = wish.scheme or hashes.DEFAULT_SCHEME
    for entry in entries:
        if entry.password is not None:
            try:
                hashes.check_password(entry.password, scheme)
            except InvalidPasswordError as error:
                problems.append(f"{source}, {entry.place}: {error.message}")
            passwords[entry.name] = entry.password
        elif entry.secret is None and not seen[entry.name]:
            if wish.generate_missing:
                passwords[entry.name] = hashes.generate_password()
            else:
                problems.append(
                    f"{source}, {entry.place}: {entry.name} has no password; "
                    "--generate-missing makes one"
                )
    _refuse(source, problems)
    return passwords


def _on_all_cores(
    function: Callable[[Entry], str | None], entries: Sequence[Entry]
) -> Iterator[str | None]:
    """Apply *function* in threads, which bcrypt lets run side by side; results in order."""
    executor = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        yield from executor.map(function, entries)
    finally:
        executor.shutdown(cancel_futures=True)
