"""
What is wrong with an auth file, for whom, and what to do.

A file and a consumer in, findings out. No password is needed; the empty one is tried on every hash.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from regctl import parallel
from regctl.authfile import hashes, htpasswd
from regctl.authfile.htpasswd import HtpasswdFile, Line
from regctl.authfile.readers import (
    BYTE_ORDER_MARK,
    LONG_LINE,
    READERS,
    UTF16_MARKS,
    AuthFileReader,
    Effect,
    by_effect,
)
from regctl.errors import (
    FileAccessError,
    InvalidUserError,
    UnreadableHashError,
)

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

DEAR_COST = 12
"""From here on a check takes a fifth of a second, and a registry makes one for each request."""

SECRET_LIMIT = 1_048_576
"""Bytes of all values of a Secret (MaxSecretSize in core/v1/types.go)."""

_NEAR = 0.8
_MANY_ROUNDS = 1_000_000
_WIDE = 0o137
_MANY_NAMES = 5
_BLANKS = (b" ", b"\t", b"\v", b"\f")

_MEND = "`regctl auth fix` mends it"
_MEND_FOR = "`regctl auth fix --for CONSUMER` keeps the line that counts there"
_NEW_PASSWORD = "`regctl adduser NAME` sets a password anew, with bcrypt"  # noqa: S105 - words


@dataclass(frozen=True)
class Finding:
    """
    One thing that is wrong: *problem*, its *effect* on whom, and the *remedy*.

    *rule* is its name for programs. *lines* count from 1, and are empty for the file as a whole;
    *users* are those concerned, sorted by line.
    """

    severity: Severity
    rule: str
    problem: str
    effect: str
    remedy: str
    lines: tuple[int, ...] = ()
    users: tuple[str, ...] = ()


def check(
    file: HtpasswdFile,
    consumer: AuthFileReader | None = None,
    *,
    today: date | None = None,
    mode: int | None = None,
    empty: Collection[str] = (),
) -> list[Finding]:
    """
    Return what is wrong with *file*: for one *consumer*, or for any.

    The worst comes first. Without a consumer an error is what is wrong wherever the file is read,
    or lets somebody in; what only some readers dislike is a warning. *today* (UTC) tells who is
    expired, *mode* who may read the file; *empty* are the users that the empty password lets in,
    as `empty_passwords` found them.
    """
    if file.content.startswith(UTF16_MARKS):
        return [
            Finding(
                "error",
                "utf-16",
                "the file is UTF-16",
                "nobody can read it",
                "save it as UTF-8 without a byte order mark",
            )
        ]
    reader = _Reader(consumer)
    lines = list(file.lines())
    found = [
        *_line_findings(lines, reader),
        *_whole_findings(file, lines),
        *_duplicate_findings(lines, reader),
        *_name_findings(lines, consumer),
        *_scheme_findings(lines, reader),
        *_cost_findings(lines, consumer),
        *_empty_findings(lines, empty),
        *_expired_findings(file, today),
        *_mode_findings(mode),
    ]
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.lines[:1]))


def empty_passwords(
    file: HtpasswdFile,
    progress: Callable[[], None] = lambda: None,
    *,
    known: Collection[str] = (),
) -> frozenset[str]:
    """
    Return the users that an empty password lets in: it is tried on every open line.

    That takes as long as one login for each; *progress* is called after each. Hashes in *known* are
    left out, and those that take longer than any that regctl or htpasswd would make.
    """
    lines = [line for line in file.lines() if line.kind == "user" and line.value not in known]

    def opens(line: Line) -> bool:
        try:
            return not _endless(hashes.identify(line.value)) and hashes.verify("", line.value)
        except UnreadableHashError:
            return False
        finally:
            progress()

    tried = parallel.run(opens, lines, workers=os.cpu_count() or 1)
    return frozenset(line.name for line, opened in tried if opened is True)


def _endless(scheme: hashes.Scheme) -> bool:
    most = hashes.BCRYPT_COSTS[-1] if scheme.name == "bcrypt" else _MANY_ROUNDS
    return (scheme.cost or 0) > most


def audit(
    path: Path,
    consumer: AuthFileReader | None = None,
    *,
    today: date | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """Return what `check` finds in the file at *path*. Raises FileAccessError."""
    file = HtpasswdFile.read(path)
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error
    empty = empty_passwords(file, progress)
    return check(file, consumer, today=today, mode=mode, empty=empty)


# Words


@dataclass(frozen=True)
class _Reader:
    """Speaks of one consumer, or of all of them."""

    consumer: AuthFileReader | None

    def effects(self, kind: Literal["schemes", "oddities"], what: str) -> dict[Effect, list[str]]:
        """Return who does what: one consumer, or all of them."""
        if self.consumer is None:
            return by_effect(kind, what)
        cells = getattr(self.consumer, kind)
        return {cells[what].effect: [self.consumer.name]}

    def judge(
        self,
        kind: Literal["schemes", "oddities"],
        what: str,
        words: Mapping[Effect, str],
    ) -> tuple[Severity, str]:
        """Return how bad it is, and what becomes of it at whom."""
        effects = self.effects(kind, what)
        bad: dict[Effect, list[str]] = {
            effect: names for effect, names in effects.items() if effect != "fine"
        }
        if not bad:
            return "info", "no reader minds" if self.consumer is None else "harmless there"
        if len(bad) == 1 and "fine" not in effects:
            effect, names = next(iter(bad.items()))
            said = names[0] if self.consumer else "every reader"
            return "error", f"{said} {words[effect]}"
        worse = "fine" not in effects or (kind == "oddities" and "opens" in bad)
        return "error" if worse else "warning", _whom(bad, words)


def _whom(effects: Mapping[Effect, Sequence[str]], words: Mapping[Effect, str]) -> str:
    """Say which of all consumers do what, those that most do in few words."""
    said = []
    for effect, names in effects.items():
        others = [name for name in READERS if name not in names]
        if len(names) > len(others) + 2:
            said.append(f"all but {', '.join(others)}: {words[effect]}")
        else:
            said.append(f"{', '.join(names)}: {words[effect]}")
    return "; ".join(said)


_LINE_WORDS: dict[Effect, str] = {
    "shuts": "keeps the user out",
    "opens": "lets somebody in without a name",
    "breaks": "refuses the whole list",
    "stale": "goes on with the list that it read before",
    "hides": "sees nothing from there on",
    "first": "takes the first line",
    "last": "takes the last line",
}
_SCHEME_WORDS: dict[Effect, str] = {
    "shuts": "keeps the user out",
    "opens": "takes what stands there for the password",
    "breaks": "refuses the whole list",
}


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MANY_NAMES
    shown = ", ".join(name or "(no name)" for name in names[:_MANY_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def _open(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.kind == "user"]


def _about(lines: Sequence[Line]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    users = dict.fromkeys(line.name for line in lines if line.kind == "user")
    return tuple(line.number for line in lines), tuple(users)


# Lines


def _ends_blank(line: Line) -> bool:
    return line.kind == "user" and line.raw.rstrip(b"\r").endswith(_BLANKS)


def _has_third_field(line: Line) -> bool:
    return line.kind == "user" and line.raw.count(b":") > 1


_ODD_LINES: dict[str, tuple[str, Callable[[Line], bool], str]] = {
    "no-colon": (
        "not NAME:HASH",
        lambda line: line.kind == "malformed",
        "mend the line; `regctl auth fix` puts a # before it",
    ),
    "bom": (
        "a byte order mark",
        lambda line: line.number == 1 and line.raw.startswith(BYTE_ORDER_MARK),
        _MEND,
    ),
    "trailing-blank": ("a blank after the hash", _ends_blank, _MEND),
    "leading-blank": (
        "a blank before the name",
        lambda line: line.kind == "user" and line.raw.startswith(_BLANKS),
        _MEND,
    ),
    "third-field": (
        "more than a name and a hash",
        _has_third_field,
        "`regctl auth fix` makes a comment of the rest",
    ),
    "empty-user": (
        "a hash without a name",
        lambda line: line.kind == "user" and not line.name,
        "`regctl auth fix` makes a comment of it",
    ),
    "crlf": ("a carriage return at the end", lambda line: line.raw.endswith(b"\r"), _MEND),
    "long-line": (
        f"{LONG_LINE} bytes or more in a line",
        lambda line: len(line.raw) >= LONG_LINE,
        "break the line up, or take it out",
    ),
}


def _line_findings(lines: Sequence[Line], reader: _Reader) -> Iterator[Finding]:
    for rule, (problem, test, remedy) in _ODD_LINES.items():
        odd = [line for line in lines if test(line)]
        if odd:
            severity, effect = reader.judge("oddities", rule, _LINE_WORDS)
            if severity == "info" and rule in {"third-field", "long-line"}:
                continue
            if rule == "no-colon" and severity == "info":
                severity = "warning"
            yield Finding(severity, rule, problem, effect, remedy, *_about(odd))
    if reader.consumer is None:
        return
    # Comments are as they should be in a file; it is in a Secret that some readers choke on them.
    for rule, kinds, problem in (
        ("comment", {"comment", "locked", "expires"}, "a comment"),
        ("blank-line", {"blank"}, "an empty line"),
    ):
        odd = [line for line in lines if line.kind in kinds]
        severity, effect = reader.judge("oddities", rule, _LINE_WORDS)
        if odd and severity == "error":
            yield Finding(
                "info", rule, problem, effect, "`regctl auth push` leaves it out", *_about(odd)
            )


def _whole_findings(file: HtpasswdFile, lines: Sequence[Line]) -> Iterator[Finding]:
    if file.content and not file.content.endswith(b"\n"):
        yield Finding(
            "warning",
            "no-final-newline",
            "the last line has no line feed",
            "htpasswd, and >>, glue the next user to the last: both are lost",
            _MEND,
            (lines[-1].number,) if lines else (),
        )
    if not _open(lines):
        yield Finding(
            "warning",
            "no-users",
            "no user is open",
            "nobody gets in",
            "`regctl adduser NAME` adds one",
        )
    size = len(file.published())
    if size > _NEAR * SECRET_LIMIT:
        over = size > SECRET_LIMIT
        yield Finding(
            "error" if over else "warning",
            "size",
            f"{size:,} bytes of users",
            f"a Secret takes {SECRET_LIMIT:,}" + ("" if over else ": there is little room left"),
            "remove who is gone: `regctl deluser NAME`",
        )


def _duplicate_findings(lines: Sequence[Line], reader: _Reader) -> Iterator[Finding]:
    by_name: dict[str, list[Line]] = defaultdict(list)
    for line in _open(lines):
        by_name[line.name].append(line)
    effects = reader.effects("oddities", "duplicate")
    for name, own in by_name.items():
        if len(own) == 1 or not name:
            continue
        same = len({line.value for line in own}) == 1
        numbers = tuple(line.number for line in own)
        problem = f"{name} has {len(own)} lines"
        if reader.consumer is None:
            effect = _whom(effects, _LINE_WORDS)
            remedy = f"`regctl adduser {name}` leaves one; {_MEND_FOR}"
        else:
            winner = reader.consumer.winner(len(own))
            if winner is None:
                effect = f"{reader.consumer.name} refuses the whole list"
                remedy = f"`regctl adduser {name}` leaves one line"
            else:
                effect = f"{reader.consumer.name} takes line {numbers[winner]}; others do not"
                remedy = f"`regctl auth fix --for {reader.consumer.name}` keeps that line"
        if same:
            problem += ", all the same"
            remedy = _MEND
        yield Finding("error", "duplicate", problem, effect, remedy, numbers, (name,))


# Names


def _name_findings(lines: Sequence[Line], consumer: AuthFileReader | None) -> Iterator[Finding]:
    odd: dict[str, list[Line]] = defaultdict(list)
    foreign: list[Line] = []
    for line in _open(lines):
        try:
            line.name.encode()
        except UnicodeEncodeError:
            foreign.append(line)
            continue
        # A byte order mark is said of already.
        name = line.name.removeprefix("\ufeff") if line.number == 1 else line.name
        if consumer is not None and consumer.bad_name and consumer.bad_name.fullmatch(name):
            odd[f"{consumer.name}: {consumer.bad_name_reason}"].append(line)
        elif name:
            try:
                htpasswd.check_name(name)
            except InvalidUserError as error:
                odd[error.message.rpartition(": ")[2]].append(line)
    renamed = "add the user by another name: `regctl adduser NAME`, then `regctl deluser OLD`"
    for reason, own in odd.items():
        numbers, users = _about(own)
        broken = consumer is not None and reason.startswith(f"{consumer.name}: ")
        yield Finding(
            "error" if broken else "warning",
            "name",
            f"a name that is none: {_some(users)}",
            reason,
            renamed,
            numbers,
            users,
        )
    if foreign:
        yield Finding(
            "warning",
            "name-not-utf-8",
            "a name that is not UTF-8",
            "docker sends names in UTF-8: this user can't log in",
            renamed,
            *_about(foreign),
        )


# Hashes


def _scheme_findings(lines: Sequence[Line], reader: _Reader) -> Iterator[Finding]:
    groups: dict[str, list[Line]] = defaultdict(list)
    tags: list[Line] = []
    twos: list[Line] = []
    for line in _open(lines):
        scheme = hashes.identify(line.value)
        groups[scheme.name].append(line)
        if scheme.name == "bcrypt" and scheme.ident not in {"2a", "2b", "2y"}:
            tags.append(line)
        elif scheme.ident == "2b":
            twos.append(line)
    for name, own in groups.items():
        yield from _scheme_finding(name, own, reader)
    if tags:
        yield Finding(
            "warning",
            "old-bcrypt",
            f"bcrypt with an old tag: {_some(_about(tags)[1])}",
            "readers differ; $2y$ is read everywhere",
            _NEW_PASSWORD,
            *_about(tags),
        )
    if twos:
        yield Finding(
            "info",
            "bcrypt-2b",
            f"bcrypt with the tag $2b$: {_some(_about(twos)[1])}",
            "httpd reads it through the system's crypt only: not on macOS, Windows or old Linux",
            "`regctl auth fix` writes $2y$, the same by another name",
            *_about(twos),
        )


def _scheme_finding(name: str, own: Sequence[Line], reader: _Reader) -> Iterator[Finding]:
    numbers, users = _about(own)
    what = {"empty": "no hash", "unknown": "no hash that is known", "plain": "a clear password"}
    problem = f"{what.get(name, name)}: {_some(users)}"
    # Envoy reads {SHA} and nothing else: no file suits it and the others.
    effects = reader.effects("schemes", name)
    if reader.consumer is None and name == "bcrypt":
        return
    severity, effect = reader.judge("schemes", name, _SCHEME_WORDS)
    unreadable = set(effects) - {"fine"}
    remedy = _NEW_PASSWORD
    if reader.consumer is not None and "bcrypt" not in reader.consumer.readable:
        remedy = (
            f"`regctl adduser NAME --scheme {reader.consumer.readable[0]} --generate`: "
            f"{reader.consumer.name} reads nothing else"
        )
    if name == "plain":
        severity = "error"
        effect = "whoever reads the file has the password" + (
            f"; {effect}" if unreadable and reader.consumer else ""
        )
        remedy = "`regctl auth fix` hashes it"
    elif hashes.Scheme(name).weak and not (unreadable and reader.consumer):
        effect = "a chosen password is found within hours by whoever has the file" + (
            f"; {effect}" if unreadable else ""
        )
        severity = "warning"
        if reader.consumer is not None and "bcrypt" not in reader.consumer.readable:
            severity = "info"
    elif not unreadable:
        return
    rule = "clear-text" if name == "plain" else "weak-scheme"
    if not hashes.Scheme(name).weak or (unreadable and reader.consumer and name != "plain"):
        rule = "scheme"
    yield Finding(severity, rule, problem, effect, remedy, numbers, users)


def _cost_findings(lines: Sequence[Line], consumer: AuthFileReader | None) -> Iterator[Finding]:
    by_cost: dict[int, list[Line]] = defaultdict(list)
    schemes: set[tuple[str, int | None]] = set()
    for line in _open(lines):
        scheme = hashes.identify(line.value)
        schemes.add((scheme.name, scheme.cost))
        if scheme.name == "bcrypt" and scheme.cost is not None:
            by_cost[scheme.cost].append(line)
    for cost, own in sorted(by_cost.items()):
        numbers, users = _about(own)
        whom = _some(users)
        if consumer is not None and cost > consumer.bcrypt_cost.most:
            yield Finding(
                "error",
                "cost-limit",
                f"bcrypt of cost {cost}: {whom}",
                f"{consumer.name} takes {consumer.bcrypt_cost.most} at most: keeps the user out",
                _NEW_PASSWORD,
                numbers,
                users,
            )
        elif cost < hashes.DEFAULT_COST:
            yield Finding(
                "warning",
                "cost-low",
                f"bcrypt of cost {cost}: {whom}",
                f"quick to guess; OWASP asks for {hashes.DEFAULT_COST}, a generated password needs "
                "less",
                f"`regctl adduser NAME --cost {hashes.DEFAULT_COST}`",
                numbers,
                users,
            )
        elif cost >= DEAR_COST:
            yield Finding(
                "warning",
                "cost-high",
                f"bcrypt of cost {cost}: {whom}",
                f"each request of a pull pays {2 ** (cost - hashes.DEFAULT_COST)} times the usual",
                f"`regctl adduser NAME --cost {hashes.DEFAULT_COST}`; `regctl auth cost` tells "
                "the price",
                numbers,
                users,
            )
    if len(schemes) > 1:
        words = sorted(f"{name} {cost}" if cost else name for name, cost in schemes)
        yield Finding(
            "info",
            "mixed-cost",
            f"hashes of unlike price: {', '.join(words)}",
            "how long a refusal takes tells users apart",
            "`regctl auth write` hashes all anew, alike",
        )


def _empty_findings(lines: Sequence[Line], empty: Collection[str]) -> Iterator[Finding]:
    own = [line for line in _open(lines) if line.name in empty]
    if own:
        numbers, users = _about(own)
        yield Finding(
            "error",
            "empty-password",
            f"the empty password lets in {_some(users)}",
            "anybody is let in who knows the name",
            "`regctl adduser NAME` sets a password, `regctl auth lock NAME` shuts the user out",
            numbers,
            users,
        )


def _expired_findings(file: HtpasswdFile, today: date | None) -> Iterator[Finding]:
    if today is None:
        return
    expired = [user for user in file.users() if user.state(today) == "expired"]
    if expired:
        yield Finding(
            "warning",
            "expired",
            f"expired and open: {_some([user.name for user in expired])}",
            "every reader lets them in",
            "`regctl auth expire` locks them",
            tuple(line for user in expired for line in user.lines),
            tuple(user.name for user in expired),
        )


def _mode_findings(mode: int | None) -> Iterator[Finding]:
    if mode is not None and mode & _WIDE:
        yield Finding(
            "warning",
            "mode",
            f"the file's mode is {mode:04o}",
            "others on this machine can read the hashes, or write them",
            "chmod 0640, with the group that its reader runs as",
        )
