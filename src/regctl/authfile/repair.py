"""Repairs of an auth file that need no password. They are pure; all other bytes stay the same."""

import re
from dataclasses import dataclass, field
from datetime import date
from operator import attrgetter

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.lines import Line, grouped, trimmed
from regctl.authfile.readers import BYTE_ORDER_MARK, UTF16_MARKS, AuthFileReader
from regctl.errors import InvalidPasswordError

# A mark can be in any line: `cat` keeps the one of each file.
_MARKS = re.compile(rb"\A(?:[ \t\r\v\f]*%s)+" % BYTE_ORDER_MARK)


@dataclass(frozen=True)
class Repair:
    """One change: the *line*, the *user* that it belongs to, if any, and *what* was done."""

    line: int
    user: str
    what: str


@dataclass(frozen=True)
class RepairedFile:
    """The content of a file before and after its repairs."""

    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    repairs: tuple[Repair, ...]


def repair(
    content: bytes, reader: AuthFileReader | None = None, *, today: date | None = None
) -> RepairedFile:
    """
    Repair everything in *content* that needs no password; the rest stays byte for byte.

    Of a user's different lines the one that *reader* uses is kept. They are left alone without a
    reader, or if it uses none of them. Users that are expired by *today* (UTC) are locked. Nothing
    is lost except blanks, line endings and lines that the reader did not use.
    """
    if content.startswith(UTF16_MARKS):
        return RepairedFile(content, content, ())
    repairs: list[Repair] = []
    lines = []
    for number, row in enumerate(content.split(b"\n"), 1):
        lines.append(_MARKS.sub(b"", row))
        if lines[-1] != row:
            repairs.append(Repair(number, "", "removed the byte order mark"))
    body = b"\n".join(lines)
    dropped = _unused_lines(HtpasswdFile(body), reader)
    rows: list[bytes] = []
    for line in HtpasswdFile(body).lines():
        if line.number in dropped:
            repairs.append(Repair(line.number, line.name, dropped[line.number]))
            continue
        repaired, done = _repaired(line)
        rows += repaired
        repairs += [Repair(line.number, line.name, what) for what in done]
    after = b"".join(row + b"\n" for row in rows)
    if body and not body.endswith(b"\n"):
        repairs.append(Repair(body.count(b"\n") + 1, "", "added the final line feed"))
    if today is not None:
        file = HtpasswdFile(after)
        numbers = {user.name: user.lines[0] for user in HtpasswdFile(body).users()}
        repairs += [Repair(numbers[name], name, "locked, expired") for name in file.lock_due(today)]
        after = file.content
    return RepairedFile(content, after, tuple(sorted(repairs, key=lambda one: one.line)))


def _unused_lines(file: HtpasswdFile, reader: AuthFileReader | None) -> dict[int, str]:
    """Return the numbers of the lines to drop, and why: a user's identical or unused lines."""
    named = (line for line in file.lines() if line.kind == "user" and line.name)
    dropped: dict[int, str] = {}
    for lines in grouped(named, attrgetter("name")).values():
        if len({line.value for line in lines}) == 1:
            kept = lines[0]
            reason = f"dropped: identical to line {kept.number}"
        else:
            used = reader.used_line(len(lines)) if reader is not None else None
            if reader is None or used is None:
                continue
            kept = lines[used]
            reason = f"dropped: {reader.name} uses line {kept.number}"
        dropped.update((line.number, reason) for line in lines if line is not kept)
    return dropped


def _repaired(line: Line) -> tuple[list[bytes], list[str]]:
    """Return the rows that replace a line, and what was done."""
    row = line.raw.rstrip(b"\r")
    done = ["removed the carriage return"] if row != line.raw else []
    if line.kind == "malformed":
        return [b"# " + row], [*done, "made a comment: not NAME:HASH"]
    if line.kind != "user":
        return [row], done
    if not line.name:
        return [b"# " + trimmed(row)], [*done, "made a comment: no user name"]
    stripped = trimmed(row)
    if stripped != row:
        done.append("removed blanks at the ends")
    name, _, rest = stripped.partition(b":")
    hash_, colon, note = rest.partition(b":")
    above: list[bytes] = []
    if colon:
        done.append("moved the third field to a comment")
        above = [b"# " + name + b": " + note] if note else []
    bare = trimmed(hash_)
    if bare != hash_ and stripped == row:
        done.append("removed blanks around the hash")
    bare = _better_hash(line.value, bare, done)
    return [*above, name + b":" + bare], done


def _better_hash(hash_: str, raw: bytes, done: list[str]) -> bytes:
    """Return a hash of the same password that more readers accept, or *raw*."""
    scheme = hashes.identify(hash_)
    if scheme.ident == "2b":
        done.append("changed $2b$ to $2y$")
        return b"$2y$" + raw[4:]
    if scheme.name == "plain":
        password = hash_.removeprefix("{PLAIN}")
        try:
            hashes.check_password(password)
        except InvalidPasswordError:
            return raw
        done.append("hashed the clear password")
        return hashes.make(password).encode()
    return raw
