"""Mend an auth file where that needs no password: pure, and lossless elsewhere."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile, Line
from regctl.authfile.readers import BYTE_ORDER_MARK, UTF16_MARKS, AuthFileReader
from regctl.errors import InvalidPasswordError

_BLANKS = b" \t\r\v\f"


@dataclass(frozen=True)
class Mend:
    """One change that mends: where, of whom, and what."""

    line: int
    user: str
    what: str


@dataclass(frozen=True)
class Repair:
    """A file's content before and after, and what was done to it."""

    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    mends: tuple[Mend, ...]


def repair(
    content: bytes, consumer: AuthFileReader | None = None, *, today: date | None = None
) -> Repair:
    """
    Mend all of *content* that can be mended without a password; the rest stays byte for byte.

    Of a user's different lines the one stays that counts for *consumer*; without one, or where it
    takes none of them, they are left alone. Users that are expired by *today* are locked. Nothing
    is thrown away but blanks, line endings and lines that did not count.
    """
    if content.startswith(UTF16_MARKS):
        return Repair(content, content, ())
    mends: list[Mend] = []
    body = content
    while body.startswith(BYTE_ORDER_MARK):
        body = body[len(BYTE_ORDER_MARK) :]
    if body != content:
        mends.append(Mend(1, "", "byte order mark removed"))
    dropped = _losers(HtpasswdFile(body), consumer)
    rows: list[bytes] = []
    for line in HtpasswdFile(body).lines():
        if line.number in dropped:
            mends.append(Mend(line.number, line.name, dropped[line.number]))
            continue
        made, done = _mended(line)
        rows += made
        mends += [Mend(line.number, line.name, what) for what in done]
    after = b"".join(row + b"\n" for row in rows)
    if body and not body.endswith(b"\n"):
        mends.append(Mend(body.count(b"\n") + 1, "", "line feed added at the end"))
    if today is not None:
        file = HtpasswdFile(after)
        numbers = {user.name: user.lines[0] for user in HtpasswdFile(body).users()}
        mends += [Mend(numbers[name], name, "locked: expired") for name in file.lock_due(today)]
        after = file.content
    return Repair(content, after, tuple(sorted(mends, key=lambda mend: mend.line)))


def _losers(file: HtpasswdFile, consumer: AuthFileReader | None) -> dict[int, str]:
    """Return the lines to drop: a user's lines that are alike, or don't count; and why."""
    by_name: dict[str, list[Line]] = defaultdict(list)
    for line in file.lines():
        if line.kind == "user" and line.name:
            by_name[line.name].append(line)
    dropped: dict[int, str] = {}
    for own in by_name.values():
        winner: int | None = 0
        why = "the same as line {}"
        if len({line.value for line in own}) > 1:
            winner = consumer.winner(len(own)) if consumer is not None else None
            why = f"{consumer.name if consumer else ''} takes line {{}}"
        if winner is not None:
            kept = own[winner]
            reason = f"dropped: {why.format(kept.number)}"
            dropped.update((line.number, reason) for line in own if line is not kept)
    return dropped


def _mended(line: Line) -> tuple[list[bytes], list[str]]:
    """Return the rows that take the place of a line, and what was done."""
    row = line.raw.rstrip(b"\r")
    done = ["carriage return removed"] if row != line.raw else []
    if line.kind == "malformed":
        return [b"# " + row], [*done, "made a comment: not NAME:HASH"]
    if line.kind != "user":
        return [row], done
    if not line.name:
        return [b"# " + row.lstrip(_BLANKS)], [*done, "made a comment: a hash without a name"]
    stripped = row.strip(_BLANKS)
    if stripped != row:
        done.append("blanks around it removed")
    name, _, rest = stripped.partition(b":")
    secret, colon, note = rest.partition(b":")
    above: list[bytes] = []
    if colon:
        done.append("the third field made a comment")
        above = [b"# " + name + b": " + note] if note else []
    bare = secret.strip(_BLANKS)
    if bare != secret and stripped == row:
        done.append("blanks around the hash removed")
    bare = _better_hash(line.value, bare, done)
    return [*above, name + b":" + bare], done


def _better_hash(secret: str, raw: bytes, done: list[str]) -> bytes:
    """Return the same password's hash as more readers understand it, or *raw*."""
    scheme = hashes.identify(secret)
    if scheme.ident == "2b":
        done.append("$2b$ written as $2y$")
        return b"$2y$" + raw[4:]
    if scheme.name == "plain":
        password = secret.removeprefix("{PLAIN}")
        try:
            hashes.check_password(password)
        except InvalidPasswordError:
            return raw
        done.append("clear password hashed")
        return hashes.make(password).encode()
    return raw
