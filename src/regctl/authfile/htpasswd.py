"""The auth file: its users, how they change, and whether a password is right."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from regctl import atomicfile
from regctl.authfile import hashes
from regctl.authfile.hashes import Scheme
from regctl.authfile.lines import (
    EXPIRES,
    HASHED_KINDS,
    LOCKED,
    NAMING_KINDS,
    PREVIOUS,
    RAW,
    Line,
    Lines,
    parse_line,
    trimmed,
)
from regctl.errors import (
    DifferenceError,
    FileAccessError,
    InvalidUserError,
    LockedUserError,
    MalformedError,
    UnknownUserError,
    UnreadableHashError,
    WrongPasswordError,
)
from regctl.outcome import Result

State = Literal["active", "locked", "expired"]

LINE_LIMIT = 120_000
"""Ten times the users that a Secret holds."""

_NAME_LIMIT = 255
# A line with nothing but a name and a hash, of which a big file has many.
_PLAIN = re.compile(r"([^\s#:\0][^:\0]*):(?:\$(2[aby])\$([0-9]{2})\$[./A-Za-z0-9]{53}|([^\s:\0]+))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DUMMY_HASH = "$2y$10$abcdefghijklmnopqrstuusjHI0zQHpOe3SFDK1IriYv6N79Gzr32"


class User(NamedTuple):
    """
    A user: the numbers of its *lines*, the scheme of the first one's hash, and what is wrong.

    More than one line is a security bug: nginx, httpd and HAProxy use the first, the registry,
    Traefik and Contour the last. Each of *findings* is a few words.
    """

    name: str
    lines: tuple[int, ...]
    scheme: Scheme
    locked: bool = False
    expires: date | None = None
    findings: tuple[str, ...] = ()

    def state(self, today: date) -> State:
        """Return `locked`, `expired` (the day has come, the user can still log in) or `active`."""
        if self.locked:
            return "locked"
        return "expired" if self.expires is not None and self.expires <= today else "active"


def check_name(name: str) -> None:
    """Raise InvalidUserError for a name that has a `name_problem`."""
    problem = name_problem(name)
    if problem is not None:
        raise InvalidUserError(
            f"invalid user name {name!r}: {problem}", hint="use letters, digits and . _ @ + -"
        )


def name_problem(name: str) -> str | None:
    """
    Return why readers of auth files do not agree on *name*, or None if they do.

    The limit of 255 bytes is Apache's.
    """
    problems = {
        "it is empty": not name,
        "a colon ends the name in an auth file": ":" in name,
        "a leading # makes the line a comment": name.startswith("#"),
        "readers strip a space at its start or end": name != name.strip(),
        "it has a character that cannot be printed": not name.replace(" ", "").isprintable(),
        f"it has more than {_NAME_LIMIT} bytes": len(name.encode(*RAW)) > _NAME_LIMIT,
    }
    return next((problem for problem, applies in problems.items() if applies), None)


class HtpasswdFile:
    """
    The content of an auth file; `content` returns it, byte for byte except what was changed.

    Raises MalformedError for more than LINE_LIMIT lines.
    """

    def __init__(self, content: bytes = b"") -> None:
        if content.count(b"\n") > LINE_LIMIT:
            raise MalformedError(f"cannot read the auth file: it has more than {LINE_LIMIT} lines")
        self._lines = Lines(content)

    @classmethod
    def read(cls, path: Path) -> "HtpasswdFile":
        """Read the file at *path*. Raises FileAccessError, also if there is no file."""
        content = atomicfile.read(path)
        if content is None:
            raise no_file(path)
        return cls(content)

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self._lines.content

    # Reading

    def lines(self) -> Iterator[Line]:
        """Yield every line, in order."""
        yield from self._lines

    def malformed(self) -> list[Line]:
        """
        Return the lines that no reader understands: without a colon, or with a NUL.

        With one such line the registry rejects the file and keeps using the list that it read
        before (distribution, registry/auth/htpasswd/htpasswd.go).
        """
        return self._lines.malformed()

    def users(self) -> list[User]:
        """Return the users, in the order of their first lines."""
        found: dict[str, User | None] = {}
        irregular: set[str] = set()
        plain, bcrypt = _PLAIN.fullmatch, _bcrypt
        for number, text in enumerate(self._lines.texts(), 1):
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
            line = parse_line(number, text.encode(*RAW))
            if line.kind in NAMING_KINDS:
                found.setdefault(line.name, None)
                irregular.add(line.name)
        found.update((name, self.user(name)) for name in irregular)
        return [user for user in found.values() if user is not None]

    def user(self, name: str) -> User | None:
        """Return one user, or None."""
        lines = self._lines.of(name)
        dates = [line.value for line in lines if line.kind == "expires"]
        hashed = [line for line in lines if line.kind in HASHED_KINDS]
        return _user(name, hashed, dates[-1] if dates else None) if hashed else None

    def hashes(self, name: str) -> tuple[str, ...]:
        """Return the hashes of a user in the order of its lines, locked ones included."""
        return tuple(line.value for line in self._hashed(name))

    def previous(self, name: str) -> tuple[str, ...]:
        """Return the hashes of the passwords that an unfinished rotation of *name* replaces."""
        return tuple(line.value for line in self._lines.of(name) if line.kind == "previous")

    def matches(self, name: str, password: str) -> bool:
        """
        Return whether any line of the user, active or locked, has a hash of *password*.

        Raises UnreadableHashError.
        """
        return any(_matches(line, password) for line in self._hashed(name))

    def active_lines(self) -> bytes:
        """
        Return what belongs in a Secret: for each active user `NAME:HASH` and a line feed.

        There are no comments, blank lines, carriage returns or third fields: several readers of
        Secrets fail on one of them. Two lines of one user stay two.
        """
        rows = (f"{line.name}:{line.value}\n" for line in self.lines() if line.kind == "user")
        return "".join(rows).encode(*RAW)

    def verify(self, name: str, password: str) -> None:
        """
        Return if every reader of this file accepts *password* for *name*.

        An unknown name takes as long as a known one: another user's hash is checked instead. Raises
        UnknownUserError, LockedUserError, WrongPasswordError, UnreadableHashError, and
        DifferenceError if the user has several lines and only some of them match.
        """
        hashed = self._hashed(name)
        lines = [line for line in hashed if line.kind == "user"] or hashed
        if not lines:
            self._verify_dummy(password)
            raise unknown_user(name)
        matches = {line.number: _matches(line, password) for line in lines}
        if lines[0].kind == "locked":
            raise LockedUserError(f"user {name} is locked", hint=f"`regctl auth unlock {name}`")
        if not any(matches.values()):
            raise WrongPasswordError(f"wrong password for {name}")
        if not all(matches.values()):
            right = ", ".join(str(number) for number in matches if matches[number])
            wrong = ", ".join(str(number) for number in matches if not matches[number])
            raise DifferenceError(
                f"{name} has {len(lines)} lines: the password matches line {right}, not line "
                f"{wrong}; nginx uses the first, the registry the last",
                hint=f"`regctl adduser {name}` leaves one line",
            )

    def _verify_dummy(self, password: str) -> None:
        values = (line.value for line in self.lines() if line.kind in HASHED_KINDS)
        with suppress(UnreadableHashError):
            hashes.verify(password, next(values, _DUMMY_HASH))

    def _hashed(self, name: str) -> list[Line]:
        """The lines of *name* that have a hash."""
        return [line for line in self._lines.of(name) if line.kind in HASHED_KINDS]

    def _known(self, name: str) -> list[Line]:
        hashed = self._hashed(name)
        if not hashed:
            raise unknown_user(name)
        return hashed

    # Changing

    def set(self, name: str, hash_: str) -> Result:
        """
        Set the hash of *name*, on exactly one line: its first, or a new one at the end.

        A user whose lines are all locked stays locked. Raises MalformedError for a hash that would
        be read back as another one.
        """
        hashed = self._hashed(name)
        locked = bool(hashed) and all(line.kind == "locked" for line in hashed)
        raw = (LOCKED if locked else b"") + _pair(name, hash_)
        written = parse_line(0, raw)
        same = (written.name, written.value) == (name, hash_) and "\n" not in name
        if not same or _CONTROL.search(hash_):
            raise MalformedError(f"cannot write the hash of {name}: it is not a hash")
        if not hashed:
            self._lines.append(name, raw)
            return "created"
        first, *others = hashed
        if not others and first.raw == raw:
            return "unchanged"
        self._lines.replace(first, raw)
        self._lines.remove(others)
        return "configured"

    def remove(self, name: str) -> bool:
        """Remove every line of *name*; return whether there was such a user."""
        if not self._hashed(name):
            return False
        self._lines.remove(self._lines.of(name))
        return True

    def keep_previous(self, name: str) -> None:
        """Keep the hashes of *name* in comments, until `forget_previous` or `remove`."""
        for value in set(self.hashes(name)) - set(self.previous(name)):
            self._lines.insert_before(self._hashed(name)[0], PREVIOUS + _pair(name, value))

    def forget_previous(self, name: str) -> None:
        """Remove the comments of `keep_previous`."""
        self._lines.remove([line for line in self._lines.of(name) if line.kind == "previous"])

    def lock(self, name: str) -> Result:
        """Lock *name*: its lines become comments, which keep the hash. Raises UnknownUserError."""
        lines = [line for line in self._known(name) if line.kind == "user"]
        for line in lines:
            self._lines.replace(line, LOCKED + trimmed(line.raw, end=False))
        return "configured" if lines else "unchanged"

    def unlock(self, name: str) -> Result:
        """Make *name* active again, with the password it had. Raises UnknownUserError."""
        lines = [line for line in self._known(name) if line.kind == "locked"]
        for line in lines:
            self._lines.replace(line, line.raw.removeprefix(LOCKED))
        return "configured" if lines else "unchanged"

    def expire(self, name: str, day: date | None) -> Result:
        """
        Set the *day* (UTC) from which `lock_due` locks *name*; None removes it.

        Raises UnknownUserError.
        """
        first = self._known(name)[0]
        notes = [line for line in self._lines.of(name) if line.kind == "expires"]
        raw = EXPIRES + _pair(name, day)
        if [note.raw for note in notes] == ([raw] if day else []):
            return "unchanged"
        self._lines.remove(notes)
        if day:
            self._lines.insert_before(first, raw)
        return "configured"

    def as_of(self, today: date) -> "HtpasswdFile":
        """Return a copy in which the users that expired by *today* (UTC) are locked."""
        file = HtpasswdFile(self.content)
        file.lock_due(today)
        return file

    def lock_due(self, today: date) -> list[str]:
        """Lock every expired user; return their names."""
        due = [user.name for user in self.users() if user.state(today) == "expired"]
        for name in due:
            self.lock(name)
        return due


def no_file(path: Path) -> FileAccessError:
    """Return the error for an auth file that does not exist."""
    return FileAccessError(
        f"no auth file at {path}", hint="`regctl adduser NAME` creates one; -f names another"
    )


def unknown_user(name: str) -> UnknownUserError:
    """Return the error for a user that is not in the auth file."""
    return UnknownUserError(f"no user {name}", hint="`regctl users` lists the users")


@lru_cache(maxsize=64)
def _bcrypt(ident: str, cost: str) -> tuple[Scheme, tuple[str, ...]]:
    scheme = Scheme("bcrypt", ident, int(cost))
    return scheme, _scheme_findings(scheme)


@lru_cache(maxsize=64)
def _scheme_findings(scheme: Scheme) -> tuple[str, ...]:
    findings = {
        "no password": scheme.name == "empty",
        "weak scheme": scheme.weak,
        "unknown scheme": scheme.name == "unknown",
        "low cost": scheme.name == "bcrypt" and (scheme.cost or 0) < hashes.DEFAULT_COST,
    }
    return tuple(finding for finding, applies in findings.items() if applies)


def _user(name: str, lines: Sequence[Line], expires: str | None) -> User:
    """Return the user that has these lines with a hash, and this date."""
    scheme = hashes.identify(lines[0].value)
    locked = all(line.kind == "locked" for line in lines)
    findings = [f"{len(lines)} lines"] if len(lines) > 1 else []
    findings += _scheme_findings(scheme)
    if not name:
        findings.append("no name")
    if any(line.raw.removeprefix(LOCKED) != _pair(line.name, line.value) for line in lines):
        findings.append("more than name and hash")
    day = None
    if expires is not None:
        try:
            day = date.fromisoformat(expires)
        except ValueError:
            findings.append("invalid date")
    return User(name, tuple(line.number for line in lines), scheme, locked, day, tuple(findings))


def _matches(line: Line, password: str) -> bool:
    try:
        return hashes.verify(password, line.value)
    except UnreadableHashError as error:
        raise UnreadableHashError(
            f"{error.message} (line {line.number})",
            hint=f"`regctl adduser {line.name}` sets a password",
        ) from error


def _pair(name: str, value: object) -> bytes:
    return f"{name}:{value}".encode(*RAW)
