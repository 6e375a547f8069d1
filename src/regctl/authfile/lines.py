"""
The lines of an auth file: what one line says, and which lines belong to a user.

Content is bytes and stays as it is, but for the lines that are changed. regctl stores what it knows
beyond a name and a hash in comments, which every reader of auth files ignores:

    #regctl:locked NAME:HASH        the user cannot log in; the hash is kept
    #regctl:expires NAME:DATE       the user is to be locked on that day (UTC)
    #regctl:previous NAME:HASH      a rotation that is not finished replaces this password
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
Kind = Literal["user", "locked", "expires", "previous", "comment", "blank", "malformed"]

HASHED_KINDS = frozenset({"user", "locked"})
"""The kinds of line that make a user."""
NAMING_KINDS = HASHED_KINDS | {"expires", "previous"}
"""The kinds of line that belong to a user."""

LOCKED = b"#regctl:locked "
EXPIRES = b"#regctl:expires "
PREVIOUS = b"#regctl:previous "
_COMMENTS: dict[bytes, Kind] = {LOCKED: "locked", EXPIRES: "expires", PREVIOUS: "previous"}
BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go's strings.TrimSpace strips, and so the registry at both ends of a line."""
RAW = ("utf-8", "surrogateescape")
"""How bytes become text and back, without loss where they are not UTF-8."""

_WITHOUT_COLON = re.compile(rb"\n[^:\n]*\n")
_SEARCHES = 2


class Line(NamedTuple):
    """
    A line of the file. *number* counts from 1; *raw* is all of its bytes but the line feed.

    *name* and *value* are a user and its hash, or what a comment of regctl's says. The bytes of a
    name that is not UTF-8 are kept as surrogates.
    """

    number: int
    raw: bytes
    kind: Kind
    name: str = ""
    value: str = ""

    def __repr__(self) -> str:
        return f"Line(number={self.number}, kind={self.kind!r}, name={self.name!r})"


def parse_line(number: int, raw: bytes) -> Line:
    """Parse one line as the registry does: strip BLANKS; a leading `#` makes a comment."""
    text = raw.decode(*RAW).strip(BLANKS)
    if not text:
        return Line(number, raw, "blank")
    kind: Kind = "user"
    if text[0] == "#":
        mark = next((mark for mark in _COMMENTS if raw.startswith(mark)), None)
        if mark is None:
            return Line(number, raw, "comment")
        kind, text = _COMMENTS[mark], text[len(mark) :].lstrip(BLANKS)
    name, colon, value = text.partition(":")
    if not colon:
        return Line(number, raw, "malformed" if kind == "user" else "comment")
    if "\0" in text:
        return Line(number, raw, "malformed")
    return Line(number, raw, kind, name, value.partition(":")[0].strip(BLANKS))


def trimmed(raw: bytes, *, end: bool = True) -> bytes:
    """Return *raw* without BLANKS at its start, and at its *end*."""
    text = raw.decode(*RAW).lstrip(BLANKS)
    return (text.rstrip(BLANKS) if end else text).encode(*RAW)


def grouped(lines: Iterable[Line], key: Callable[[Line], K]) -> dict[K, list[Line]]:
    """Return *lines* by their *key*, in the order of the first line of each."""
    groups: dict[K, list[Line]] = defaultdict(list)
    for line in lines:
        groups[key(line)].append(line)
    return groups


class Lines:
    """
    All lines of a file. Nothing is parsed or split before it is needed.

    Most runs concern one user of many: in 100,000 lines a search in the bytes takes a tenth of the
    time of an index. The third name that is looked up makes the index.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        # Each line's bytes, once split. None is a removed line: the others keep their numbers. The
        # last is what follows the last line feed, which is empty in a well-formed file.
        self._rows: list[bytes | None] | None = None
        # The positions of a name's lines in _rows: of the names looked up, or of all.
        self._index: dict[str, list[int]] = {}
        self._index_is_complete = False

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        if self._rows is None:
            return self._content
        return b"\n".join(row for row in self._rows if row is not None)

    def __iter__(self) -> Iterator[Line]:
        rows = self._split()
        last = len(rows) - 1
        for position, row in enumerate(rows):
            if row is not None and not (position == last and row == b""):
                yield parse_line(position + 1, row)

    def texts(self) -> list[str]:
        """Return the text of every line, "" for a removed one: line 1 first."""
        if self._rows is None:
            return self._content.decode(*RAW).split("\n")
        return [(row or b"").decode(*RAW) for row in self._rows]

    def malformed(self) -> list[Line]:
        """Return the lines that have no colon, or a NUL."""
        if self._rows is None and _all_have_a_colon(self._content):
            return []
        suspects = (
            parse_line(position + 1, row)
            for position, row in enumerate(self._split())
            if row is not None and (b":" not in row or b"\0" in row)
        )
        return [line for line in suspects if line.kind == "malformed"]

    def of(self, name: str) -> list[Line]:
        """Return the lines that belong to *name*, in order."""
        positions = self._positions(name)
        rows = self._split() if positions else []
        return [parse_line(position + 1, rows[position] or b"") for position in positions]

    def replace(self, line: Line, raw: bytes) -> None:
        """Replace a line of some user by another line of the same user."""
        rows = self._split()
        rows[line.number - 1] = raw
        _end_with_line_feed(rows)

    def remove(self, lines: Iterable[Line]) -> None:
        """Remove lines that belong to users."""
        rows = self._split()
        for line in lines:
            self._positions(line.name).remove(line.number - 1)
            rows[line.number - 1] = None
        _end_with_line_feed(rows)

    def insert_before(self, line: Line, raw: bytes) -> None:
        """Insert a line before *line*; the numbers of those after it change."""
        rows = self._split()
        rows.insert(line.number - 1, raw)
        self._index, self._index_is_complete = {}, False
        _end_with_line_feed(rows)

    def append(self, name: str, raw: bytes) -> None:
        """Append a line that belongs to *name*."""
        positions = self._positions(name)
        if self._rows is None:
            # One more line does not need a big file split.
            ended = not self._content or self._content.endswith(b"\n")
            before = self._content if ended else self._content + b"\n"
            positions.append(before.count(b"\n"))
            self._content = before + raw + b"\n"
            return
        _end_with_line_feed(self._rows)
        positions.append(len(self._rows) - 1)
        self._rows.insert(len(self._rows) - 1, raw)

    def _split(self) -> list[bytes | None]:
        if self._rows is None:
            self._rows = list(self._content.split(b"\n"))
        return self._rows

    def _positions(self, name: str) -> list[int]:
        """Return the positions of the lines of *name*: the list itself, to be kept up to date."""
        if name not in self._index and not self._index_is_complete:
            if len(self._index) < _SEARCHES:
                self._index[name] = self._search(name)
            else:
                self._make_index()
        return self._index.setdefault(name, [])

    def _search(self, name: str) -> list[int]:
        needle = name.encode(*RAW) + b":"
        if self._rows is None:
            suspects = _lines_with(needle, self._content)
        else:
            rows = enumerate(self._rows, 1)
            suspects = (parse_line(number, row) for number, row in rows if row and needle in row)
        return [
            line.number - 1 for line in suspects if line.name == name and line.kind in NAMING_KINDS
        ]

    def _make_index(self) -> None:
        index = defaultdict(list)
        for line in self:
            if line.kind in NAMING_KINDS:
                index[line.name].append(line.number - 1)
        self._index, self._index_is_complete = dict(index), True


def _end_with_line_feed(rows: list[bytes | None]) -> None:
    """End the file with a line feed: without it the next tool that appends joins two users."""
    if rows[-1] != b"":
        rows.append(b"")


def _lines_with(needle: bytes, content: bytes) -> Iterator[Line]:
    """Yield the lines of *content* that contain *needle*."""
    number, counted, found = 1, 0, content.find(needle)
    while found >= 0:
        start = content.rfind(b"\n", counted, found) + 1 or counted
        end = content.find(b"\n", found)
        end = len(content) if end < 0 else end
        number += content.count(b"\n", counted, start)
        yield parse_line(number, content[start:end])
        counted, found = start, content.find(needle, end)


def _all_have_a_colon(content: bytes) -> bool:
    """Return whether no line can be malformed: each has a colon, and none has a NUL."""
    first = content.partition(b"\n")[0]
    last = content.rpartition(b"\n")[2]
    return not (
        b":" not in first
        or (last and b":" not in last)
        or b"\0" in content
        or _WITHOUT_COLON.search(content)
    )
