"""
Lists of users in the formats that people have, and how one is written to the auth file.

A list is `NAME:PASSWORD` lines, CSV with a header, JSON or YAML. In place of a password there may
be a hash. A user without a password keeps the one it has, or gets a generated one.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from regctl import atomicfile, documents
from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes, htpasswd
from regctl.authfile.edit import KIND, editing
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.errors import (
    InvalidPasswordError,
    InvalidUserError,
    InvalidUserListError,
    LockoutError,
    MalformedError,
)
from regctl.jsontext import parse_json
from regctl.outcome import Outcome
from regctl.wording import count

Format = Literal["lines", "csv", "json", "yaml"]

_SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}
_NAME_KEYS = ("name", "user", "username")
_PASSWORD_KEY = "password"  # noqa: S105 - a column's name
_HASHED = re.compile(r"\$(?:2[abxy]?|apr1|1|5|6|g?y|7|argon2[a-z]*)\$|\{S?SHA\}")


@dataclass(frozen=True)
class Entry:
    """A user of a list, with a *password*, a *hash_*, or neither. *place* is its line or number."""

    name: str
    place: str
    password: str | None = field(default=None, repr=False)
    hash_: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class UserList:
    """Users to write; *source* is the name of the file that they are from."""

    source: str
    entries: tuple[Entry, ...]

    def not_listed(self, path: Path) -> list[str]:
        """
        Return the users of the auth file at *path* that are not in this list.

        Raises LockoutError if this list is empty.
        """
        if not self.entries:
            raise _lockout(path, f"{self.source} lists nobody")
        listed = {entry.name for entry in self.entries}
        file = HtpasswdFile(atomicfile.read(path) or b"")
        return [user.name for user in file.users() if user.name not in listed]


# Reading


_Raw = tuple[str, Any, Any]
"""An entry as it was read: its place, its name and its password or hash."""


def read(text: str, *, source: str, form: Format | None = None) -> UserList:
    """
    Parse a list of users. Without *form* the name of the *source*, or its first line, decides.

    Raises InvalidUserListError with every invalid entry: a name or password that some server would
    read differently, a repeated name, an invalid hash. Raises MalformedError if the text as a whole
    is not in its format.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    for place, name, value in _rows(text, source, form):
        try:
            entry = _entry(place, name, value)
        except (InvalidUserError, MalformedError) as error:
            problems.append(f"{source}, {place}: {error.message}")
            continue
        if entry.name in places:
            first = places[entry.name]
            problems.append(f"{source}, {place}: {entry.name} is already in {first}")
        places[entry.name] = place
        entries.append(entry)
    _raise_if_any(problems, source)
    return UserList(source, tuple(entries))


def _raise_if_any(problems: Sequence[str], source: str) -> None:
    if problems:
        raise InvalidUserListError(
            f"cannot write the users of {source}: {count(len(problems), 'error')}; "
            "nothing was written",
            problems=tuple(problems),
        )


def _entry(place: str, name: Any, value: Any) -> Entry:
    if name is None:
        raise MalformedError("there is no name with a password after it")
    if not isinstance(name, str):
        raise MalformedError("the name is not a string: put it in quotes")
    htpasswd.check_name(name)
    if value is None or value == "":
        return Entry(name, place)
    if not isinstance(value, str):
        raise MalformedError(f"the password of {name} is not one string: put it in quotes")
    if _HASHED.match(value):
        scheme = hashes.identify(value)
        if scheme.name == "unknown":
            raise MalformedError(
                f"the hash of {name} is invalid: cut off, too long, or with a control character"
            )
        if scheme.too_costly:
            raise MalformedError(
                f"the hash of {name} has cost {scheme.cost}: a check takes too long"
            )
        return Entry(name, place, hash_=value)
    return Entry(name, place, password=value)


def _guess(text: str) -> Format:
    start = text.lstrip()[:1]
    if start in {"{", "["}:
        return "json"
    header = text.partition("\n")[0].lower().replace('"', "")
    columns = {column.strip() for column in header.split(",")}
    return "csv" if columns & set(_NAME_KEYS) and _PASSWORD_KEY in columns else "lines"


def _rows(text: str, source: str, form: Format | None) -> Iterator[_Raw]:
    form = form or _SUFFIXES.get(Path(source).suffix.lower()) or _guess(text)
    if form == "lines":
        return _from_lines(text)
    if form == "csv":
        return _from_csv(text, source)
    load = parse_json if form == "json" else documents.load
    return _from_data(load(text, source=source), source)


def _from_lines(text: str) -> Iterator[_Raw]:
    for number, row in enumerate(text.split("\n"), 1):
        line = row.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        # Text without a colon may be a password: do not show it.
        yield f"line {number}", name if colon else None, value


def _from_csv(text: str, source: str) -> Iterator[_Raw]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    columns = {(column or "").strip().lower(): column for column in reader.fieldnames or ()}
    name = next((columns[key] for key in _NAME_KEYS if key in columns), None)
    password = columns.get(_PASSWORD_KEY)
    if name is None:
        raise MalformedError(
            f"cannot read {source}: its first line has no column 'name'",
            hint="start with the header name,password",
        )
    try:
        for row in reader:
            # csv has the fields beyond the header in a list: probably a password with a comma.
            value = row.get(None, row.get(password or ""))
            yield f"line {reader.line_num}", row[name], value
    except csv.Error as error:
        raise MalformedError(f"cannot read {source}, line {reader.line_num}: {error}") from error


def _from_data(data: Any, source: str) -> Iterator[_Raw]:
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
            f"cannot read {source}: it is neither a map of names nor a list of users",
            hint="use {NAME: PASSWORD} or [{name: NAME, password: PASSWORD}]",
        )


# Writing


@dataclass(frozen=True)
class ListOptions:
    """
    How to write a list. *scheme* and *cost* of None are the defaults.

    *generate_missing* generates a password for a user that has none, in the list or in the file.
    The users in *remove* are removed if they are not in the list. The users that are expired by
    *today* (UTC) are locked.
    """

    scheme: str | None = None
    cost: int | None = None
    generate_missing: bool = False
    remove: tuple[str, ...] = ()
    today: date | None = None


@dataclass(frozen=True)
class Written:
    """What became of each user, and the *passwords* that were generated, by user."""

    outcomes: tuple[Outcome, ...]
    passwords: Mapping[str, str] = field(repr=False)


def write(
    path: Path,
    users: UserList,
    options: ListOptions,
    how: WriteOptions,
    progress: Callable[[], None] = lambda: None,
) -> Written:
    """
    Write *users* to the auth file at *path*, in one write.

    Hashing uses all cores, before the file is locked; *progress* is called for each entry. The
    outcomes are those of the entries in their order, then those of the removed and the locked
    users. A dry run returns no passwords. Raises InvalidUserListError for passwords that are
    missing or that the scheme cannot take, LockoutError if users are removed and none would be
    active, and what edit.editing raises.
    """
    hashes.check_scheme(options.scheme or hashes.DEFAULT_SCHEME, options.cost)
    before = HtpasswdFile(atomicfile.read(path) or b"")
    seen = {entry.name: before.hashes(entry.name) for entry in users.entries}
    generated = _generate_missing(users, seen, options)

    def hash_for(entry: Entry, present: tuple[str, ...]) -> str | None:
        """Return the hash to write; None leaves the user's line as it is."""
        password = generated.get(entry.name, entry.password)
        if password is None:
            return entry.hash_
        if how.dry_run and not hashes.good_enough(present, options.scheme, options.cost):
            return ""
        return hashes.reuse_or_hash(password, present, options.scheme, options.cost)

    prepared = []
    executor = ThreadPoolExecutor(os.cpu_count())  # bcrypt computes several hashes at once
    try:
        for hash_ in executor.map(lambda entry: hash_for(entry, seen[entry.name]), users.entries):
            prepared.append(hash_)
            progress()
    finally:
        executor.shutdown(cancel_futures=True)
    results: dict[str, Outcome] = {}
    with editing(path, how) as file:
        for entry, hash_ in zip(users.entries, prepared, strict=True):
            present = file.hashes(entry.name)
            if present != seen[entry.name]:
                hash_ = hash_for(entry, present)  # noqa: PLW2901 - the file has changed meanwhile
            result = "unchanged" if hash_ is None else file.set(entry.name, hash_)
            results[entry.name] = Outcome(KIND, entry.name, result)
        removed = [name for name in options.remove if name not in seen and file.remove(name)]
        results |= {name: Outcome(KIND, name, "deleted") for name in removed}
        for name in file.lock_due(options.today) if options.today is not None else ():
            results[name] = Outcome(KIND, name, "configured", note="locked, expired")
        if removed and not file.active_lines():
            raise _lockout(path, "every user that is left is locked or expired")
    return Written(tuple(results.values()), {} if how.dry_run else generated)


def _lockout(path: Path, reason: str) -> LockoutError:
    return LockoutError(
        f"cannot remove users from {path}: {reason}, and nobody could log in",
        hint="`regctl deluser NAME` removes single users",
    )


def _generate_missing(
    users: UserList, seen: Mapping[str, Sequence[str]], options: ListOptions
) -> dict[str, str]:
    """Return new passwords by user; raise InvalidUserListError for missing and invalid ones."""
    generated: dict[str, str] = {}
    problems: list[str] = []
    for entry in users.entries:
        place = f"{users.source}, {entry.place}"
        if entry.password is not None:
            try:
                hashes.check_password(entry.password, options.scheme or hashes.DEFAULT_SCHEME)
            except InvalidPasswordError as error:
                problems.append(f"{place}: {error.message}")
        elif entry.hash_ is None and not seen[entry.name]:
            generated[entry.name] = hashes.generate_password()
            if not options.generate_missing:
                problems.append(
                    f"{place}: {entry.name} has no password; --generate-missing generates one"
                )
    _raise_if_any(problems, users.source)
    return generated
