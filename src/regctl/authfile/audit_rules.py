"""
The rules of the audit, as a table: what is wrong, what that does, and what to do about it.

`audit.py` finds the lines that a rule is about. The words are format strings. Every rule has
`{users}`, the users of these lines; `{readers}`, what the readers do; and `{reader}`, the reader
that is asked about, or READER. Other values are named beside the rules that have them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from regctl.authfile import hashes
from regctl.authfile.lines import Line, trimmed
from regctl.authfile.readers import BYTE_ORDER_MARK, LONG_LINE, Effect

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

HIGH_COST = 12
"""From this cost on a check takes a fifth of a second, and a registry makes one per request."""

SECRET_LIMIT = 1_048_576
"""Bytes of all values of a Secret (MaxSecretSize in core/v1/types.go)."""

_BLANKS = (b" ", b"\t", b"\v", b"\f")
_FIX = "`regctl auth check --fix` repairs it"
OMITTED = "`regctl auth push` omits it"
_RENAME = "`regctl adduser NAME` adds the user with another name, `regctl deluser OLD` removes it"

EFFECT_WORDS: dict[Effect, str] = {
    "ok": "is not affected",
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

    A *severity* of None depends on what the readers do. It is *harmless* if no reader is affected;
    None: such a finding is not reported. A rule about single lines *matches* them, and its name is
    a feature in the table of readers if its effect is what they do. With *only_in_secret* the lines
    are wrong in a Secret only. If *not_uploaded*, `regctl auth push` corrects or omits what is
    wrong: in a Secret it is an info.
    """

    name: str
    problem: str
    effect: str = "{readers}"
    remedy: str = _FIX
    severity: Severity | None = None
    harmless: Severity | None = "info"
    only_in_secret: bool = False
    not_uploaded: bool = False
    matches: Callable[[Line], bool] = lambda _line: False


def is_utf8(name: str) -> bool:
    """Return whether the bytes of *name* were UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def _is_user(line: Line) -> bool:
    return line.kind == "user"


LINE_RULES = (
    Rule(
        "no-colon",
        "not NAME:HASH",
        "it is no user; {readers}",
        "correct the line; `regctl auth check --fix` makes it a comment",
        "error",
        matches=lambda line: line.kind == "malformed",
    ),
    Rule(
        "bom",
        "a byte order mark",
        matches=lambda line: line.number == 1 and line.raw.startswith(BYTE_ORDER_MARK),
    ),
    Rule(
        "trailing-blank",
        "a blank after the hash",
        not_uploaded=True,
        matches=lambda line: _is_user(line) and line.raw.rstrip(b"\r").endswith(_BLANKS),
    ),
    Rule(
        "leading-blank",
        "a blank before the name",
        not_uploaded=True,
        matches=lambda line: _is_user(line) and line.raw.startswith(_BLANKS),
    ),
    Rule(
        "unicode-blank",
        "a blank that is not ASCII at an end of the line",
        "{readers}; whoever is removed under one name may log in under another",
        severity="error",
        not_uploaded=True,
        matches=lambda line: _is_user(line) and line.raw.strip() != trimmed(line.raw),
    ),
    Rule(
        "third-field",
        "more than a name and a hash",
        remedy="`regctl auth check --fix` moves the rest to a comment",
        harmless=None,
        not_uploaded=True,
        matches=lambda line: _is_user(line) and line.raw.count(b":") > 1,
    ),
    Rule(
        "empty-user",
        "a hash without a name",
        remedy="`regctl auth check --fix` makes it a comment",
        matches=lambda line: _is_user(line) and not line.name,
    ),
    Rule(
        "crlf",
        "a carriage return at the end",
        not_uploaded=True,
        matches=lambda line: line.raw.endswith(b"\r"),
    ),
    Rule(
        "long-line",
        f"{LONG_LINE} bytes or more in a line",
        remedy="split the line or remove it",
        harmless=None,
        not_uploaded=True,
        matches=lambda line: len(line.raw) >= LONG_LINE,
    ),
    # Comments and blank lines belong in a file. Only in a Secret do some readers fail on them.
    Rule(
        "comment",
        "a comment",
        remedy=OMITTED,
        harmless=None,
        only_in_secret=True,
        not_uploaded=True,
        matches=lambda line: line.kind in {"comment", "locked", "expires", "previous"},
    ),
    Rule(
        "blank-line",
        "a blank line",
        remedy=OMITTED,
        harmless=None,
        only_in_secret=True,
        not_uploaded=True,
        matches=lambda line: line.kind == "blank",
    ),
    Rule(
        "name-not-utf-8",
        "a user name that is not UTF-8",
        "docker sends names in UTF-8: this user cannot log in",
        _RENAME,
        "warning",
        matches=lambda line: _is_user(line) and not is_utf8(line.name),
    ),
    Rule(
        "old-bcrypt",
        "bcrypt with an old tag: {users}",
        "readers differ; all read $2y$",
        "`regctl adduser NAME` sets a password, hashed with $2y$",
        "warning",
        matches=lambda line: _is_user(line) and hashes.identify(line.value).ident in {"2", "2x"},
    ),
    Rule(
        "bcrypt-2b",
        "bcrypt with the tag $2b$: {users}",
        "httpd reads it only by the system's crypt: not on macOS, Windows or old Linux",
        "`regctl auth check --fix` changes the tag to $2y$, which means the same",
        "info",
        matches=lambda line: _is_user(line) and hashes.identify(line.value).ident == "2b",
    ),
)

NOT_UPLOADED = frozenset(rule.name for rule in LINE_RULES if rule.not_uploaded)

# The file as a whole

UTF_16 = Rule(
    "utf-16",
    "the file is UTF-16",
    "no reader can read it",
    "save it as UTF-8 without a byte order mark",
    "error",
)
NO_FINAL_NEWLINE = Rule(
    "no-final-newline",
    "the last line has no line feed",
    "htpasswd and >> join the next user to the last one: both are lost",
    _FIX,
    "warning",
)
NO_USERS = Rule(
    "no-users",
    "no active user",
    "nobody can log in",
    "`regctl adduser NAME` adds a user, `regctl auth unlock NAME` unlocks one",
    "error",
)
# With {size}; an error over the limit.
SIZE = Rule(
    "size",
    "{size:,} bytes of users",
    f"a Secret holds {SECRET_LIMIT:,} at most",
    "`regctl deluser NAME` removes users who left",
    "warning",
)
# With {mode}.
MODE = Rule(
    "mode",
    "the file's mode is {mode:04o}",
    "other users of this machine can read or change the hashes",
    "`chmod 640 FILE`, and the group of its reader",
    "warning",
)

# Users with several lines, with {name} and {count}

IDENTICAL_LINES = Rule("duplicate", "{name} has {count} identical lines", severity="error")
DUPLICATE_REJECTED = Rule(
    "duplicate",
    "{name} has {count} lines",
    remedy="`regctl adduser {name}` leaves one line",
    severity="error",
)
DUPLICATE = replace(
    DUPLICATE_REJECTED,
    remedy=f"{DUPLICATE_REJECTED.remedy}; "
    "`regctl auth check --fix --for {reader}` keeps the line that {reader} uses",
)

# Names, with {reason}; an error if the reader that is asked about rejects them

INVALID_NAME = Rule("name", "invalid user name: {users}", "{reason}", _RENAME, "warning")

# Schemes, with {scheme}, {also} (what the readers do, if one is affected) and {set_password}

UNREADABLE_SCHEME = Rule("scheme", "{scheme}: {users}", remedy="{set_password}", harmless=None)
CLEAR_TEXT = Rule(
    "clear-text",
    "{scheme}: {users}",
    "whoever reads the file has the password{also}",
    "`regctl auth check --fix` hashes it",
    "error",
)
WEAK_SCHEME = Rule(
    "weak-scheme",
    "{scheme}: {users}",
    "whoever has the file finds a chosen password within hours{also}",
    "{set_password}",
    "warning",
)
WEAK_SCHEME_REQUIRED = replace(WEAK_SCHEME, severity="info")
SET_PASSWORD = "`regctl adduser NAME` sets a password, hashed with bcrypt"  # noqa: S105 - words
SET_PASSWORD_REQUIRED = (  # the words when the reader does not read bcrypt
    "`regctl adduser NAME --scheme {scheme} --generate`: {reader} accepts no other scheme"  # noqa: S105 - words
)

# Costs of bcrypt, with {cost}, {maximum} (of the reader) and {times} (the CPU time)

_SET_COST = f"`regctl adduser NAME --cost {hashes.DEFAULT_COST}` sets a password of that cost"

COST_LIMIT = Rule(
    "cost-limit",
    "bcrypt of cost {cost}: {users}",
    "{reader} accepts {maximum} at most: it rejects the user",
    SET_PASSWORD,
    "error",
)
# With {scheme}.
COST_EXCESSIVE = Rule(
    "cost-excessive",
    "{scheme} of cost {cost}: {users}",
    "each login takes a reader minutes of CPU or more; regctl does not check such passwords",
    SET_PASSWORD,
    "error",
)
COST_LOW = Rule(
    "cost-low",
    "bcrypt of cost {cost}: {users}",
    f"fast to guess; OWASP requires {hashes.DEFAULT_COST}, a generated password needs less",
    _SET_COST,
    "warning",
)
COST_HIGH = Rule(
    "cost-high",
    "bcrypt of cost {cost}: {users}",
    f"each request takes {{times}} times the CPU of cost {hashes.DEFAULT_COST}",
    f"{_SET_COST}; `regctl auth check -o wide` measures the CPU time",
    "warning",
)
# With {costs}.
MIXED_COST = Rule(
    "mixed-cost",
    "users' hashes differ in cost: {costs}",
    "the time of a rejected login shows whether a user exists",
    "`regctl auth write` hashes all passwords with one cost",
    "info",
)

# Users

EMPTY_PASSWORD = Rule(
    "empty-password",
    "the empty password is accepted for {users}",
    "whoever knows the name can log in",
    "`regctl adduser NAME` sets a password, `regctl auth lock NAME` locks the user",
    "error",
)
EXPIRED = Rule(
    "expired",
    "expired and not locked: {users}",
    "a reader of this file accepts them; `regctl auth push` omits them",
    "`regctl auth lock --expired` locks them",
    "warning",
)
