"""
The rules of the audit, as a table: what is wrong, what that does, and what to do about it.

`audit.py` finds the lines that a rule is about. The words are format strings. Every rule has
`{users}`, the users of these lines; `{readers}`, what the readers do; and `{reader}`, the reader
that is asked about. Other values are named beside the rules that have them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from regctl.authfile import hashes
from regctl.authfile.lines import Line
from regctl.authfile.readers import BYTE_ORDER_MARK, LONG_LINE, Effect

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

HIGH_COST = 12
"""From this cost on a check takes a fifth of a second, and a registry makes one per request."""

SECRET_LIMIT = 1_048_576
"""Bytes of all values of a Secret (MaxSecretSize in core/v1/types.go)."""

_BLANKS = (b" ", b"\t", b"\v", b"\f")
_FIX = "`regctl auth check --fix` repairs it"
_RENAME = "`regctl adduser NAME` adds the user with another name, `regctl deluser OLD` removes it"

EFFECT_WORDS: dict[Effect, str] = {
    "rejects-user": "rejects the user",
    "accepts-hash": "accepts the hash itself as the password",
    "admits-nameless": "accepts a login without a name",
    "rejects-file": "rejects the whole file",
    "keeps-old-file": "keeps using the file it read before",
    "ignores-rest": "ignores all lines after it",
    "uses-first": "uses the first line",
    "uses-last": "uses the last line",
}
SCHEME_WORDS = {"empty": "no hash", "unknown": "an unknown hash", "plain": "a clear password"}


@dataclass(frozen=True)
class Rule:
    """
    One rule. *name* identifies it for programs.

    A *severity* of None depends on what the readers do: it is *harmless* if no reader is affected
    (None: not reported), and *worst* at most.
    """

    name: str
    problem: str
    effect: str
    remedy: str
    severity: Severity | None = None
    harmless: Severity | None = "info"
    worst: Severity = "error"


@dataclass(frozen=True)
class LineRule(Rule):
    """
    A rule about single lines: those that it *matches*.

    Without a severity, its name is a feature in the table of readers. With *needs_reader* it
    applies only if one reader is asked about.
    """

    matches: Callable[[Line], bool] = lambda _line: False
    needs_reader: bool = False


def _is_user(line: Line) -> bool:
    return line.kind == "user"


def is_utf8(name: str) -> bool:
    """Return whether the bytes of *name* were UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


LINE_RULES = (
    LineRule(
        "no-colon",
        "not NAME:HASH",
        "{readers}",
        "correct the line; `regctl auth check --fix` makes it a comment",
        harmless="warning",
        matches=lambda line: line.kind == "malformed",
    ),
    LineRule(
        "bom",
        "a byte order mark",
        "{readers}",
        _FIX,
        matches=lambda line: line.number == 1 and line.raw.startswith(BYTE_ORDER_MARK),
    ),
    LineRule(
        "trailing-blank",
        "a blank after the hash",
        "{readers}",
        _FIX,
        matches=lambda line: _is_user(line) and line.raw.rstrip(b"\r").endswith(_BLANKS),
    ),
    LineRule(
        "leading-blank",
        "a blank before the name",
        "{readers}",
        _FIX,
        matches=lambda line: _is_user(line) and line.raw.startswith(_BLANKS),
    ),
    LineRule(
        "third-field",
        "more than a name and a hash",
        "{readers}",
        "`regctl auth check --fix` moves the rest to a comment",
        harmless=None,
        matches=lambda line: _is_user(line) and line.raw.count(b":") > 1,
    ),
    LineRule(
        "empty-user",
        "a hash without a name",
        "{readers}",
        "`regctl auth check --fix` makes it a comment",
        matches=lambda line: _is_user(line) and not line.name,
    ),
    LineRule(
        "crlf",
        "a carriage return at the end",
        "{readers}",
        _FIX,
        matches=lambda line: line.raw.endswith(b"\r"),
    ),
    LineRule(
        "long-line",
        f"{LONG_LINE} bytes or more in a line",
        "{readers}",
        "split the line or remove it",
        harmless=None,
        matches=lambda line: len(line.raw) >= LONG_LINE,
    ),
    # Comments and blank lines belong in a file. Only in a Secret do some readers fail on them.
    LineRule(
        "comment",
        "a comment",
        "{readers}",
        "`regctl auth push` omits it",
        harmless=None,
        worst="info",
        matches=lambda line: line.kind in {"comment", "locked", "expires"},
        needs_reader=True,
    ),
    LineRule(
        "blank-line",
        "a blank line",
        "{readers}",
        "`regctl auth push` omits it",
        harmless=None,
        worst="info",
        matches=lambda line: line.kind == "blank",
        needs_reader=True,
    ),
    LineRule(
        "name-not-utf-8",
        "a user name that is not UTF-8",
        "docker sends names in UTF-8: this user cannot log in",
        _RENAME,
        severity="warning",
        matches=lambda line: _is_user(line) and not is_utf8(line.name),
    ),
    LineRule(
        "old-bcrypt",
        "bcrypt with an old tag: {users}",
        "readers differ; all read $2y$",
        "`regctl adduser NAME` sets a password, hashed with $2y$",
        severity="warning",
        matches=lambda line: _is_user(line) and hashes.identify(line.value).ident in {"2", "2x"},
    ),
    LineRule(
        "bcrypt-2b",
        "bcrypt with the tag $2b$: {users}",
        "httpd reads it only by the system's crypt: not on macOS, Windows or old Linux",
        "`regctl auth check --fix` changes the tag to $2y$, which means the same",
        severity="info",
        matches=lambda line: _is_user(line) and hashes.identify(line.value).ident == "2b",
    ),
)

# The file as a whole

UTF_16 = Rule(
    "utf-16",
    "the file is UTF-16",
    "no reader can read it",
    "save it as UTF-8 without a byte order mark",
    severity="error",
)
NO_FINAL_NEWLINE = Rule(
    "no-final-newline",
    "the last line has no line feed",
    "htpasswd and >> join the next user to the last one: both are lost",
    _FIX,
    severity="warning",
)
NO_USERS = Rule(
    "no-users",
    "no user is active",
    "nobody can log in",
    "`regctl adduser NAME` adds a user",
    severity="warning",
)
# With {size}.
SIZE_NEAR_LIMIT = Rule(
    "size",
    "{size:,} bytes of users",
    f"a Secret holds {SECRET_LIMIT:,}: little room is left",
    "`regctl deluser NAME` removes users who left",
    severity="warning",
)
SIZE_OVER_LIMIT = Rule(
    "size",
    "{size:,} bytes of users",
    f"a Secret holds {SECRET_LIMIT:,}",
    "`regctl deluser NAME` removes users who left",
    severity="error",
)
# With {mode}.
MODE = Rule(
    "mode",
    "the file's mode is {mode:04o}",
    "other users of this machine can read or change the hashes",
    "chmod 0640, with the group of its reader",
    severity="warning",
)

# Users with several lines, with {name}, {count} and {number} (the line that the reader uses)

IDENTICAL_LINES = Rule(
    "duplicate", "{name} has {count} identical lines", "{readers}", _FIX, severity="error"
)
DUPLICATE = Rule(
    "duplicate",
    "{name} has {count} lines",
    "{readers}",
    "`regctl adduser {name}` leaves one; "
    "`regctl auth check --fix --for READER` keeps the line that READER uses",
    severity="error",
)
DUPLICATE_FOR_READER = Rule(
    "duplicate",
    "{name} has {count} lines",
    "{reader} uses line {number}; other readers differ",
    "`regctl auth check --fix --for {reader}` keeps that line",
    severity="error",
)
DUPLICATE_REJECTED = Rule(
    "duplicate",
    "{name} has {count} lines",
    "{readers}",
    "`regctl adduser {name}` leaves one line",
    severity="error",
)

# Names, with {reason}

INVALID_NAME = Rule("name", "invalid user name: {users}", "{reason}", _RENAME, severity="warning")
INVALID_NAME_FOR_READER = Rule(
    "name", "invalid user name: {users}", "{reader}: {reason}", _RENAME, severity="error"
)

# Schemes, with {scheme}, {also} (what the readers do, if one is affected) and {set_password}

UNREADABLE_SCHEME = Rule(
    "scheme", "{scheme}: {users}", "{readers}", "{set_password}", harmless=None
)
CLEAR_TEXT = Rule(
    "clear-text",
    "{scheme}: {users}",
    "whoever reads the file has the password{also}",
    "`regctl auth check --fix` hashes it",
    severity="error",
)
WEAK_SCHEME = Rule(
    "weak-scheme",
    "{scheme}: {users}",
    "whoever has the file finds a chosen password within hours{also}",
    "{set_password}",
    severity="warning",
)
WEAK_SCHEME_REQUIRED = Rule(
    "weak-scheme", WEAK_SCHEME.problem, WEAK_SCHEME.effect, "{set_password}", severity="info"
)
SET_PASSWORD = "`regctl adduser NAME` sets a password, hashed with bcrypt"  # noqa: S105 - words
SET_PASSWORD_REQUIRED = (  # the words when the reader does not read bcrypt
    "`regctl adduser NAME --scheme {scheme} --generate`: {reader} accepts no other scheme"  # noqa: S105 - words
)

# Costs of bcrypt, with {cost} and {maximum} (of the reader); the first that applies is reported

_LOWER_COST = f"`regctl adduser NAME --cost {hashes.DEFAULT_COST}`"

COST_RULES: tuple[tuple[Rule, Callable[[int, int], bool]], ...] = (
    (
        Rule(
            "cost-limit",
            "bcrypt of cost {cost}: {users}",
            "{reader} accepts {maximum} at most: it rejects the user",
            SET_PASSWORD,
            severity="error",
        ),
        lambda cost, maximum: cost > maximum,
    ),
    (
        Rule(
            "cost-low",
            "bcrypt of cost {cost}: {users}",
            f"fast to guess; OWASP requires {hashes.DEFAULT_COST}, a generated password needs less",
            _LOWER_COST,
            severity="warning",
        ),
        lambda cost, _maximum: cost < hashes.DEFAULT_COST,
    ),
    (
        Rule(
            "cost-high",
            "bcrypt of cost {cost}: {users}",
            f"each request takes {{times}} times the CPU of cost {hashes.DEFAULT_COST}",
            f"{_LOWER_COST}; `regctl auth check -o wide` measures the CPU time",
            severity="warning",
        ),
        lambda cost, _maximum: cost >= HIGH_COST,
    ),
)
# With {costs}.
MIXED_COST = Rule(
    "mixed-cost",
    "users' hashes differ in cost: {costs}",
    "the time of a rejected login shows whether a user exists",
    "`regctl auth write` hashes all passwords with one cost",
    severity="info",
)

# Users

EMPTY_PASSWORD = Rule(
    "empty-password",
    "the empty password is accepted for {users}",
    "whoever knows the name can log in",
    "`regctl adduser NAME` sets a password, `regctl auth lock NAME` locks the user",
    severity="error",
)
EXPIRED = Rule(
    "expired",
    "expired and still active: {users}",
    "every reader still accepts them",
    "`regctl auth lock --expired` locks them",
    severity="warning",
)
