"""
The auth file: lossless lines, users and what is wrong with them.

A file is rows of bytes; only the rows of the user being written change. What regctl knows beyond a
name and a hash stands in comments that every reader of such files skips:

    #regctl:locked NAME:HASH        the user is shut out, its hash kept
    #regctl:expires NAME:DATE       the user is due to be shut out on that day (UTC)
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from regctl import atomicfile
from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes
from regctl.authfile.hashes import Scheme
from regctl.errors import (
    DifferenceError,
    FileAccessError,
    InvalidInputError,
    InvalidUserError,
    LockedUserError,
    MalformedError,
    MountPointError,
    UnknownUserError,
    UnreadableHashError,
    UserExistsError,
    WrongPasswordError,
)

Kind = Literal["user", "locked", "expires", "comment", "blank", "malformed"]
State = Literal["open", "locked", "expired"]
Outcome = Literal["created", "configured", "unchanged", "deleted"]

_LOCKED = b"#regctl:locked "
_EXPIRES = b"#regctl:expires "
_OWN = frozenset({"user", "locked", "expires"})
_BLANKS = " \t\r\v\f"
# A line as it should be, of which a big file has many: nothing but a name and a hash.
_PLAIN = re.compile(
    r"([^\s#:\0][^:\0]*):(?:\$(2[aby])\$(\d\d)\$[./A-Za-z0-9]{53}|([^\s:\0]+))", re.ASCII
)
_COLONLESS = re.compile(rb"\n[^:\n]*\n")
_SPAN = re.compile(r"(\d{1,6})([dw])", re.ASCII)
_UNITS = {"d": "days", "w": "weeks"}
_SEARCHES = 2
_NAME_LIMIT = 255
_NAMED_LINES = 5
_RAW = ("utf-8", "surrogateescape")


class Line(NamedTuple):
    """
    A line of the file. *number* counts from 1, *raw* is all of its bytes but the line feed.

    *name* and *value* are those of a user and its hash, or of a comment of ours. The bytes of a
    name that is not UTF-8 are kept as surrogates.
    """

    number: int
    raw: bytes
    kind: Kind
    name: str = ""
    value: str = ""

    def __repr__(self) -> str:
        return f"Line(number={self.number}, kind={self.kind!r}, name={self.name!r})"


class User(NamedTuple):
    """
    A user: where its *lines* are, what its first line is hashed with, and what is wrong.

    More than one line is a security bug: nginx, httpd and HAProxy take the first, the registry,
    Traefik and Contour the last. *findings* are a few words each.
    """

    name: str
    lines: tuple[int, ...]
    scheme: Scheme
    locked: bool = False
    expires: date | None = None
    findings: tuple[str, ...] = ()

    def state(self, today: date) -> State:
        """`locked`; `expired`: due to be locked, and still let in; else `open`."""
        if self.locked:
            return "locked"
        return "expired" if self.expires is not None and self.expires <= today else "open"


def check_name(name: str) -> None:
    """
    Raise InvalidUserError for a name that some reader of auth files would take for another.

    Empty, over 255 bytes (Apache's limit), with a colon, a control character, a space at either
    end, or a leading `#`, which makes a comment of the line.
    """
    problem = None
    if not name:
        problem = "it is empty"
    elif ":" in name:
        problem = "a colon ends the name in an auth file"
    elif name.startswith("#"):
        problem = "a leading # makes the line a comment"
    elif name != name.strip():
        problem = "a space at its start or end is lost"
    elif not name.replace(" ", "").isprintable():
        problem = "it has a character that can't be printed"
    elif len(name.encode(*_RAW)) > _NAME_LIMIT:
        problem = f"it has more than {_NAME_LIMIT} bytes"
    if problem:
        raise InvalidUserError(
            f"not a user name: {name!r}: {problem}", hint="use letters, digits and . _ @ + -"
        )


class Expiry(NamedTuple):
    """When a user is to be shut out: on *day*, or, with None, never."""

    day: date | None

    @classmethod
    def parse(cls, text: str, today: date) -> "Expiry":
        """
        Read `90d`, `12w`, a date as `2027-01-31`, or `never`.

        Raises InvalidInputError, also for a day that is not after *today*.
        """
        if text == "never":
            return cls(None)
        span = _SPAN.fullmatch(text)
        try:
            if span:
                day = today + timedelta(**{_UNITS[span[2]]: int(span[1])})
            else:
                day = date.fromisoformat(text)
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"not a time to expire: {text!r}", hint="as 90d, 12w, 2027-01-31, or never"
            ) from error
        if day <= today:
            raise InvalidInputError(
                f"not a time to expire: {text!r} is not after today, {today} (UTC)",
                hint="`regctl auth lock NAME` shuts a user out at once",
            )
        return cls(day)


class HtpasswdFile:
    """The content of an auth file; `content` gives it back, byte for byte where nothing was set."""

    def __init__(self, content: bytes = b"") -> None:
        self._source = content
        self._split: list[bytes | None] | None = None
        # Where the rows of a name are: of those that were asked for, or of all.
        self._index: dict[str, list[int]] = {}
        self._indexed = False

    @classmethod
    def read(cls, path: Path) -> "HtpasswdFile":
        """Read the file at *path*. Raises FileAccessError, also where there is none."""
        content = atomicfile.read(path)
        if content is None:
            raise _no_file(path)
        return cls(content)

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        if self._split is None:
            return self._source
        return b"\n".join(row for row in self._split if row is not None)

    @property
    def _rows(self) -> list[bytes | None]:
        """
        The rows, split when something needs them all: most runs are about one user of many.

        The last is what follows the last line feed: empty, in a file that ends as it should. None
        is a row that was removed: the numbers of the others stay.
        """
        if self._split is None:
            self._split = list(self._source.split(b"\n"))
        return self._split

    # Reading

    def lines(self) -> Iterator[Line]:
        """Yield every line, in order."""
        last = len(self._rows) - 1
        for index, row in enumerate(self._rows):
            if row is not None and not (index == last and row == b""):
                yield _line(index + 1, row)

    def malformed(self) -> list[Line]:
        """
        Return the lines that no reader understands: without a colon, or with a NUL.

        One such line and the registry answers from the list that it read before
        (distribution, registry/auth/htpasswd/htpasswd.go).
        """
        if self._split is None and _all_have_a_colon(self._source):
            return []
        suspects = (
            _line(index + 1, row)
            for index, row in enumerate(self._rows)
            if row is not None and (b":" not in row or b"\0" in row)
        )
        return [line for line in suspects if line.kind == "malformed"]

    def users(self) -> list[User]:
        """Return the users, in the order of their first lines."""
        found: dict[str, User | None] = {}
        irregular: set[str] = set()
        plain, bcrypt = _PLAIN.fullmatch, _bcrypt
        for number, text in enumerate(self._texts(), 1):
            match = plain(text)
            if match is not None:
                name, ident, cost, other = match.groups()
                if name not in found:
                    if ident is not None:
                        scheme, findings = bcrypt(ident, cost)
                    else:
                        scheme = hashes.identify(other)
                        findings = _scheme_findings(scheme)
                    found[name] = User(name, (number,), scheme, False, None, findings)
                    continue
            line = _line(number, text.encode(*_RAW))
            if line.kind in _OWN:
                found.setdefault(line.name, None)
                irregular.add(line.name)
        found.update((name, self.user(name)) for name in irregular)
        return [user for user in found.values() if user is not None]

    def user(self, name: str) -> User | None:
        """Return one user, or None."""
        lines = [self._at(index) for index in self._find(name)]
        dates = [line.value for line in lines if line.kind == "expires"]
        own = [line for line in lines if line.kind != "expires"]
        return _user(name, own, dates[-1] if dates else None) if own else None

    def secrets(self, name: str) -> tuple[str, ...]:
        """Return the hashes of a user in the order of its lines, that of a locked one included."""
        return tuple(line.value for line in self._own(name))

    def published(self) -> bytes:
        """
        Return what belongs in a Secret: open users only, `NAME:HASH` and a line feed each.

        No comments, blank lines, carriage returns or third fields: several readers of Secrets fail
        on one of them. Two lines of one user stay two.
        """
        rows = (f"{line.name}:{line.value}\n" for line in self.lines() if line.kind == "user")
        return "".join(rows).encode(*_RAW)

    def verify(self, name: str, password: str) -> None:
        """
        Return if *password* lets *name* in, wherever this file is read.

        Takes as long for a name that is not there: another user's hash is checked in its place.
        Raises UnknownUserError, LockedUserError, WrongPasswordError, UnreadableHashError, and
        DifferenceError where the user has several lines and only some of them agree.
        """
        own = self._own(name)
        lines = [line for line in own if line.kind == "user"] or own
        if not lines:
            self._verify_in_vain(password)
            raise UnknownUserError(f"no user {name}", hint="`regctl users` lists them")
        opened = {line.number: hashes.verify(password, line.value) for line in lines}
        if lines[0].kind == "locked":
            raise LockedUserError(f"{name} is locked", hint=f"`regctl auth unlock {name}`")
        if not any(opened.values()):
            raise WrongPasswordError(f"wrong password for {name}")
        if not all(opened.values()):
            right = ", ".join(str(number) for number in opened if opened[number])
            wrong = ", ".join(str(number) for number in opened if not opened[number])
            raise DifferenceError(
                f"{name} has {len(lines)} lines: the password opens line {right}, not line "
                f"{wrong}; nginx takes the first, the registry the last",
                hint=f"`regctl adduser {name}` leaves one line",
            )

    def _verify_in_vain(self, password: str) -> None:
        secrets = (line.value for line in self.lines() if line.kind in {"user", "locked"})
        with suppress(UnreadableHashError):
            hashes.verify(password, next(secrets, _NOBODY))

    def _texts(self) -> list[str]:
        """Return the rows as text; "" for one that was removed."""
        if self._split is None:
            return self._source.decode(*_RAW).split("\n")
        return [(row or b"").decode(*_RAW) for row in self._split]

    # Changing

    def set(self, name: str, secret: str) -> Outcome:
        """
        Give *name* the hash *secret*, on exactly one line: its first, or a new one at the end.

        A user of whom every line is locked stays locked.
        """
        own = self._own(name)
        locked = bool(own) and all(line.kind == "locked" for line in own)
        row = (_LOCKED if locked else b"") + f"{name}:{secret}".encode(*_RAW)
        if not own:
            self._append(name, row)
            return "created"
        first, *others = (line.number - 1 for line in own)
        if not others and self._rows[first] == row:
            return "unchanged"
        self._rows[first] = row
        self._drop(name, others)
        self._end()
        return "configured"

    def remove(self, name: str) -> bool:
        """Remove every line of *name*; tell whether there was one."""
        if not self._own(name):
            return False
        self._drop(name, self._find(name))
        self._end()
        return True

    def lock(self, name: str) -> Outcome:
        """Shut *name* out, its hash kept in a comment. Raises UnknownUserError."""
        return self._mark(name, "locked")

    def unlock(self, name: str) -> Outcome:
        """Let *name* in again with the password that it had. Raises UnknownUserError."""
        return self._mark(name, "user")

    def _mark(self, name: str, kind: Kind) -> Outcome:
        own = self._own(name)
        if not own:
            raise UnknownUserError(f"no user {name}", hint="`regctl users` lists them")
        others = [line for line in own if line.kind != kind]
        for line in others:
            self._rows[line.number - 1] = (
                _LOCKED + line.raw.lstrip() if kind == "locked" else line.raw[len(_LOCKED) :]
            )
        if others:
            self._end()
        return "configured" if others else "unchanged"

    def expire(self, name: str, day: date | None) -> Outcome:
        """
        Note the *day* (UTC) from which `lock_due` shuts *name* out; None takes the note away.

        Raises UnknownUserError.
        """
        own = self._own(name)
        if not own:
            raise UnknownUserError(f"no user {name}", hint="`regctl users` lists them")
        lines = map(self._at, self._find(name))
        notes = [line.number - 1 for line in lines if line.kind == "expires"]
        row = _EXPIRES + f"{name}:{day}".encode(*_RAW)
        if [self._rows[index] for index in notes] == ([row] if day else []):
            return "unchanged"
        self._drop(name, notes)
        if day:
            self._rows.insert(own[0].number - 1, row)
            self._index, self._indexed = {}, False
        self._end()
        return "configured"

    def lock_due(self, today: date) -> list[str]:
        """Lock every open user whose day has come; return their names."""
        due = [user.name for user in self.users() if user.state(today) == "expired"]
        for name in due:
            self.lock(name)
        return due

    # Rows

    def _own(self, name: str) -> list[Line]:
        """The lines with a hash of *name*."""
        lines = map(self._at, self._find(name))
        return [line for line in lines if line.kind != "expires"]

    def _at(self, index: int) -> Line:
        return _line(index + 1, self._rows[index] or b"")

    def _find(self, name: str) -> list[int]:
        """
        Return where the rows of *name* are.

        The first names are searched for; whoever asks for more of them pays for an index.
        """
        if name not in self._index and not self._indexed:
            if len(self._index) < _SEARCHES:
                self._index[name] = self._search(name)
            else:
                self._index_all()
        return list(self._index.get(name, ()))

    def _search(self, name: str) -> list[int]:
        needle = name.encode(*_RAW) + b":"
        if self._split is None:
            suspects = _lines_with(needle, self._source)
        else:
            rows = enumerate(self._split, 1)
            suspects = (_line(number, row) for number, row in rows if row and needle in row)
        return [line.number - 1 for line in suspects if line.name == name and line.kind in _OWN]

    def _index_all(self) -> None:
        index = defaultdict(list)
        for line in self.lines():
            if line.kind in _OWN:
                index[line.name].append(line.number - 1)
        self._index, self._indexed = dict(index), True

    def _append(self, name: str, row: bytes) -> None:
        if self._split is None:
            # A big file need not be taken apart to get one more line.
            whole = not self._source or self._source.endswith(b"\n")
            before = self._source if whole else self._source + b"\n"
            self._index.setdefault(name, []).append(before.count(b"\n"))
            self._source = before + row + b"\n"
            return
        self._end()
        self._rows.insert(len(self._rows) - 1, row)
        self._index.setdefault(name, []).append(len(self._rows) - 2)

    def _drop(self, name: str, indexes: Sequence[int]) -> None:
        for index in indexes:
            self._rows[index] = None
        self._index[name] = [index for index in self._find(name) if index not in indexes]

    def _end(self) -> None:
        """Let the file end with a line feed: without it the next tool to append joins two users."""
        if self._rows[-1] != b"":
            self._rows.append(b"")


_NOBODY = "$2y$10$abcdefghijklmnopqrstuusjHI0zQHpOe3SFDK1IriYv6N79Gzr32"


def _lines_with(needle: bytes, content: bytes) -> Iterable[Line]:
    """Yield the lines of *content* that hold *needle*."""
    number, counted, found = 1, 0, content.find(needle)
    while found >= 0:
        start = content.rfind(b"\n", counted, found) + 1 or counted
        end = content.find(b"\n", found)
        end = len(content) if end < 0 else end
        number += content.count(b"\n", counted, start)
        yield _line(number, content[start:end])
        counted, found = start, content.find(needle, end)


def _line(number: int, row: bytes) -> Line:
    """Read one row as the registry does: without the blanks around it, `#` first is a comment."""
    text = row.strip().decode(*_RAW)
    if not text:
        return Line(number, row, "blank")
    kind: Kind = "user"
    if text[0] == "#":
        if row.startswith(_LOCKED):
            kind, text = "locked", text[len(_LOCKED) :]
        elif row.startswith(_EXPIRES):
            kind, text = "expires", text[len(_EXPIRES) :]
        else:
            return Line(number, row, "comment")
    name, colon, value = text.partition(":")
    if not colon:
        return Line(number, row, "malformed" if kind == "user" else "comment")
    if "\0" in text:
        return Line(number, row, "malformed")
    return Line(number, row, kind, name, value.partition(":")[0].strip(_BLANKS))


def _all_have_a_colon(content: bytes) -> bool:
    """Tell quickly that no line can be malformed: each has a colon, and there is no NUL."""
    first = content.partition(b"\n")[0]
    last = content.rpartition(b"\n")[2]
    return not (
        b":" not in first
        or (last and b":" not in last)
        or b"\0" in content
        or _COLONLESS.search(content)
    )


@lru_cache(maxsize=64)
def _bcrypt(ident: str, cost: str) -> tuple[Scheme, tuple[str, ...]]:
    scheme = Scheme("bcrypt", ident, int(cost))
    return scheme, _scheme_findings(scheme)


@lru_cache(maxsize=64)
def _scheme_findings(scheme: Scheme) -> tuple[str, ...]:
    if scheme.name == "empty":
        return ("no password",)
    if scheme.weak:
        return ("weak scheme",)
    if scheme.name == "unknown":
        return ("unknown scheme",)
    if scheme.name == "bcrypt" and (scheme.cost or 0) < hashes.DEFAULT_COST:
        return ("low cost",)
    return ()


def _user(name: str, lines: Sequence[Line], expires: str | None) -> User:
    """Put a user together from the lines with its hashes and its date."""
    first = lines[0]
    scheme = hashes.identify(first.value)
    locked = all(line.kind == "locked" for line in lines)
    findings = [f"{len(lines)} lines"] if len(lines) > 1 else []
    findings += _scheme_findings(scheme)
    if not name:
        findings.append("no name")
    if any(len(line.raw) != _plain_length(line) for line in lines):
        findings.append("more than name and hash")
    day = None
    if expires is not None:
        try:
            day = date.fromisoformat(expires)
        except ValueError:
            findings.append("unreadable date")
    return User(name, tuple(line.number for line in lines), scheme, locked, day, tuple(findings))


def _plain_length(line: Line) -> int:
    prefix = len(_LOCKED) if line.kind == "locked" else 0
    pair = f"{line.name}:{line.value}"
    return prefix + (len(pair) if pair.isascii() else len(pair.encode(*_RAW)))


# The file on disk

_BY_DEFAULT = WriteOptions()


@contextmanager
def editing(
    path: Path,
    how: WriteOptions = _BY_DEFAULT,
    *,
    dry_run: bool = False,
    must_exist: bool = False,
    seen: HtpasswdFile | None = None,
) -> Iterator[HtpasswdFile]:
    """
    Hold the lock of the auth file at *path* and write what the block does to it.

    A file that is not there is empty, and made when something is put in it, unless it *must_exist*.
    *seen* is what was read before; where the file still is the same it is not read apart again.
    Raises MalformedError for a file with lines that no reader understands, FileAccessError, and
    what atomicfile.editing raises.
    """
    if must_exist and atomicfile.read(path) is None:
        raise _no_file(path)
    if dry_run:
        yield _well_formed(atomicfile.read(path), path)
        return
    try:
        with atomicfile.editing(path, how) as draft:
            if seen is not None and seen.content == draft.original:
                file = seen
            else:
                file = _well_formed(draft.original, path)
            yield file
            if draft.original is not None or file.content:
                draft.content = file.content
    except MountPointError as error:
        raise MountPointError(
            error.message,
            hint=f"{error.hint}, or pass --in-place: readers may then see a part of it",
        ) from error


def _no_file(path: Path) -> FileAccessError:
    return FileAccessError(
        f"no auth file at {path}", hint="`regctl adduser NAME` makes one; -f names another"
    )


def _well_formed(content: bytes | None, path: Path) -> HtpasswdFile:
    file = HtpasswdFile(content or b"")
    bad = file.malformed()
    if bad:
        numbers = ", ".join(str(line.number) for line in islice(bad, _NAMED_LINES))
        more = f" and {len(bad) - _NAMED_LINES} more" if len(bad) > _NAMED_LINES else ""
        raise MalformedError(
            f"cannot change {path}: not NAME:HASH in line {numbers}{more}; nothing was written",
            hint="mend the line, or put a # before it",
        )
    return file


def add_user(
    path: Path,
    name: str,
    password: str,
    *,
    scheme: str | None = None,
    cost: int | None = None,
    update: bool = True,
    expires: Expiry | None = None,
    how: WriteOptions = _BY_DEFAULT,
    dry_run: bool = False,
) -> Outcome:
    """
    Add *name* to the auth file at *path*, or set its password.

    A hash that is good enough and still verifies stays, and nothing is written. Hashing is done
    before the file is locked. Raises InvalidUserError, InvalidPasswordError, UserExistsError where
    not *update*, and what `editing` raises.
    """
    check_name(name)
    hashes.check_scheme(scheme or hashes.DEFAULT_SCHEME, cost)
    hashes.check_password(password, scheme or hashes.DEFAULT_SCHEME)

    def fitting(present: tuple[str, ...]) -> str:
        if present and not update:
            raise UserExistsError(
                f"user {name} is in {path} already", hint="leave out --no-update to set a password"
            )
        return fitting_secret(password, present, scheme, cost)

    before = _well_formed(atomicfile.read(path), path)
    seen = before.secrets(name)
    secret = fitting(seen)
    with editing(path, how, dry_run=dry_run, seen=before) as file:
        present = file.secrets(name)
        outcome = file.set(name, secret if present == seen else fitting(present))
        if expires is not None and file.expire(name, expires.day) != "unchanged":
            outcome = "created" if outcome == "created" else "configured"
        return outcome


def fitting_secret(
    password: str, present: Sequence[str], scheme: str | None = None, cost: int | None = None
) -> str:
    """Return the hash for *password*: the one that is *present* where it can stay, or a new one."""
    if (
        len(set(present)) == 1
        and hashes.is_good_enough(present[0], scheme, cost)
        and hashes.verify(password, present[0])
    ):
        return present[0]
    return hashes.make(password, scheme or hashes.DEFAULT_SCHEME, cost)


def remove_users(
    path: Path, names: Sequence[str], *, how: WriteOptions = _BY_DEFAULT, dry_run: bool = False
) -> list[bool]:
    """
    Remove *names* from the auth file at *path*, all in one write; tell of each if it was there.

    Raises what HtpasswdFile.read and `editing` raise.
    """
    with editing(path, how, dry_run=dry_run, must_exist=True) as file:
        return [file.remove(name) for name in names]


def lock_users(
    path: Path,
    names: Sequence[str],
    *,
    locked: bool,
    how: WriteOptions = _BY_DEFAULT,
    dry_run: bool = False,
) -> list[Outcome]:
    """
    Lock *names*, or unlock them, in one write: all of them or none.

    Raises UnknownUserError and what `editing` raises.
    """
    with editing(path, how, dry_run=dry_run, must_exist=True) as file:
        return [file.lock(name) if locked else file.unlock(name) for name in names]


def lock_due(
    path: Path, today: date, *, how: WriteOptions = _BY_DEFAULT, dry_run: bool = False
) -> list[str]:
    """Lock the users whose day has come by *today* (UTC), in one write; return their names."""
    with editing(path, how, dry_run=dry_run, must_exist=True) as file:
        return file.lock_due(today)
