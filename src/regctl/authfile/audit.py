"""
What is wrong with an auth file, for which readers, and what to do.

No password is needed: only the empty one is tried, on every hash. The words are in audit_rules.py.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from pathlib import Path

from regctl import parallel
from regctl.authfile import audit_rules as rules
from regctl.authfile import hashes
from regctl.authfile.audit_rules import SEVERITIES, Rule, Severity
from regctl.authfile.htpasswd import HtpasswdFile, name_problem
from regctl.authfile.lines import Line, grouped
from regctl.authfile.readers import READERS, UTF16_MARKS, AuthFileReader, Effect, by_effect
from regctl.errors import FileAccessError, UnreadableHashError
from regctl.wording import some_of

_NEAR = 0.8
_AT_ONCE = 1000
_WIDE_MODE = 0o137

Effects = Mapping[Effect, Sequence[str]]
"""What the readers do: their names by effect."""


@dataclass(frozen=True)
class Finding:
    """
    One thing that is wrong: the *problem*, its *effect* on readers, and the *remedy*.

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
    reader: AuthFileReader | None = None,
    *,
    today: date | None = None,
    mode: int | None = None,
    empty: Collection[str] = (),
) -> list[Finding]:
    """
    Return what is wrong with *file*, worst first: for one *reader*, or for any.

    Without a reader, an error is what every reader fails on, or what admits somebody; a warning is
    what only some readers fail on. A user that is expired by *today* (UTC) is treated as locked.
    *mode* is the file's. *empty* are the users that `empty_passwords` found.
    """
    audit = _Audit(file if today is None else file.as_of(today), reader)
    if file.content.startswith(UTF16_MARKS):
        return list(audit.finding(rules.UTF_16))
    found = [
        *audit.line_findings(),
        *audit.file_findings(mode),
        *audit.duplicate_findings(),
        *audit.name_findings(),
        *audit.scheme_findings(),
        *audit.cost_findings(),
        *audit.user_findings(file, empty),
    ]
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.lines[:1]))


def check_path(
    path: Path,
    reader: AuthFileReader | None = None,
    *,
    today: date | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """
    Return what is wrong with the file at *path*, as `check` does. Raises FileAccessError.

    The empty password is tried; *progress* is called for each active line.
    """
    file = HtpasswdFile.read(path)
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error
    empty = empty_passwords(file, progress)
    return check(file, reader, today=today, mode=mode, empty=empty)


def empty_passwords(
    file: HtpasswdFile,
    progress: Callable[[], None] = lambda: None,
    *,
    known: Collection[str] = (),
) -> frozenset[str]:
    """
    Return the users who have an empty password: it is tried on every active line.

    That takes as long as one login for each; *progress* is called after each. Hashes in *known* are
    not tried, nor those that take longer than any that regctl or htpasswd would make.
    """
    lines = [line for line in file.lines() if line.kind == "user" and line.value not in known]

    def matches(line: Line) -> bool:
        try:
            return hashes.verify("", line.value)
        except UnreadableHashError:
            return False
        finally:
            progress()

    found: set[str] = set()
    for start in range(0, len(lines), _AT_ONCE):
        tried = parallel.run(matches, lines[start : start + _AT_ONCE], workers=os.cpu_count() or 1)
        found |= {line.name for line, matched in tried if matched is True}
    return frozenset(found)


def severity_of(rule: Rule, effects: Effects, *, uploaded: bool = False) -> Severity | None:
    """
    Return how bad a finding of *rule* is; None: it is not to be reported.

    *uploaded* says that the readers get only what `auth push` uploads.
    """
    if rule.severity is not None:
        return rule.severity
    if set(effects) <= {"ok"}:
        return rule.harmless
    if rule.only_in_secret or (uploaded and rule.not_uploaded):
        return "info"
    return "error" if "ok" not in effects or "admits-nameless" in effects else "warning"


class _Audit:
    """One file, as one reader reads it, or any."""

    def __init__(self, file: HtpasswdFile, reader: AuthFileReader | None) -> None:
        self.file = file
        self.reader = reader
        self.readers = list(READERS.values()) if reader is None else [reader]
        self.uploaded = reader is not None and not reader.reads_files
        self.reads_bcrypt = reader is None or "bcrypt" in reader.accepted_schemes
        self.lines = list(file.lines())
        self.active = [line for line in self.lines if line.kind == "user"]

    def finding(
        self,
        rule: Rule,
        lines: Sequence[Line] = (),
        effects: Effects | None = None,
        severity: Severity | None = None,
        **values: object,
    ) -> Iterator[Finding]:
        """Yield a finding of *rule* about *lines*, unless it is not to be reported."""
        found = severity or severity_of(rule, effects or {}, uploaded=self.uploaded)
        if found is None:
            return
        users = tuple(dict.fromkeys(line.name for line in lines if line.kind == "user"))
        values |= {
            "users": some_of([name or "(no name)" for name in users]),
            "reader": self.reader.name if self.reader is not None else "READER",
            "readers": self._in_words(effects or {}),
        }
        yield Finding(
            found,
            rule.name,
            rule.problem.format(**values),
            rule.effect.format(**values),
            rules.OMITTED if self.uploaded and rule.not_uploaded else rule.remedy.format(**values),
            tuple(line.number for line in lines),
            users,
        )

    def _in_words(self, effects: Effects) -> str:
        """Return in words what the readers do."""
        if self.reader is not None:
            return "; ".join(f"{self.reader.name} {rules.EFFECT_WORDS[one]}" for one in effects)
        parts = []
        for effect, names in effects.items():
            others = [name for name in READERS if name not in names]
            if not others:
                subject = "every reader"
            elif len(names) > len(others) + 2:
                subject = f"all but {', '.join(others)}"
            else:
                subject = ", ".join(names)
            if effect != "ok":
                parts.append(f"{subject}: {rules.EFFECT_WORDS[effect]}")
        return "; ".join(parts) or "no reader is affected"

    def line_findings(self) -> Iterator[Finding]:
        """Yield the findings about single lines."""
        for rule in rules.LINE_RULES:
            lines = [line for line in self.lines if rule.matches(line)]
            if lines and not (rule.only_in_secret and self.reader is None):
                by_readers = "{readers}" in rule.effect
                effects = by_effect(rule.name, self.readers) if by_readers else None
                yield from self.finding(rule, lines, effects)

    def file_findings(self, mode: int | None) -> Iterator[Finding]:
        """Yield the findings about the file as a whole."""
        if self.file.content and not self.file.content.endswith(b"\n"):
            yield from self.finding(rules.NO_FINAL_NEWLINE, self.lines[-1:])
        if not self.active:
            yield from self.finding(rules.NO_USERS)
        size = len(self.file.active_lines())
        if size > _NEAR * rules.SECRET_LIMIT:
            severity: Severity = "error" if size > rules.SECRET_LIMIT else "warning"
            yield from self.finding(rules.SIZE, severity=severity, size=size)
        if mode is not None and mode & _WIDE_MODE:
            yield from self.finding(rules.MODE, mode=mode)

    def duplicate_findings(self) -> Iterator[Finding]:
        """Yield a finding for each user that has several lines."""
        effects = by_effect("duplicate", self.readers)
        for name, lines in grouped(self.active, attrgetter("name")).items():
            if len(lines) == 1 or not name:
                continue
            if len({line.value for line in lines}) == 1:
                rule = rules.IDENTICAL_LINES
            elif self.reader is not None and self.reader.used_line(len(lines)) is None:
                rule = rules.DUPLICATE_REJECTED
            else:
                rule = rules.DUPLICATE
            yield from self.finding(rule, lines, effects, name=name, count=len(lines))

    def name_findings(self) -> Iterator[Finding]:
        """Yield the findings about names: readers differ on them, or this reader rejects them."""
        odd: dict[tuple[Severity, str], list[Line]] = defaultdict(list)
        for line in self.active:
            # The byte order mark has a finding of its own, as has a name that is not UTF-8.
            name = line.name.removeprefix("\ufeff") if line.number == 1 else line.name
            if not rules.is_utf8(name):
                continue
            if self.reader is not None and self.reader.rejects_name(name):
                reason = f"{self.reader.name}: {self.reader.invalid_name_reason}"
                odd["error", reason].append(line)
            elif name and (problem := name_problem(name)):
                odd["warning", problem].append(line)
        for (severity, reason), lines in odd.items():
            yield from self.finding(rules.INVALID_NAME, lines, severity=severity, reason=reason)

    def scheme_findings(self) -> Iterator[Finding]:
        """Yield the findings about schemes: weak ones, and those that a reader does not read."""
        by_scheme = grouped(self.active, lambda line: hashes.identify(line.value).name)
        for scheme, lines in by_scheme.items():
            if scheme == "bcrypt" and self.reader is None:
                # Envoy reads {SHA} only: no file suits it and the others.
                continue
            effects = by_effect(scheme, self.readers)
            all_read = set(effects) == {"ok"}
            rule = rules.UNREADABLE_SCHEME
            if scheme == "plain":
                rule = rules.CLEAR_TEXT
            elif hashes.Scheme(scheme).weak and (self.reader is None or all_read):
                rule = rules.WEAK_SCHEME if self.reads_bcrypt else rules.WEAK_SCHEME_REQUIRED
            yield from self.finding(
                rule,
                lines,
                effects,
                scheme=rules.SCHEME_WORDS.get(scheme, scheme),
                also="" if all_read else f"; {self._in_words(effects)}",
                set_password=self._set_password(),
            )

    def _set_password(self) -> str:
        if self.reader is None or self.reads_bcrypt:
            return rules.SET_PASSWORD
        scheme = self.reader.accepted_schemes[0]
        return rules.SET_PASSWORD_REQUIRED.format(scheme=scheme, reader=self.reader.name)

    def cost_findings(self) -> Iterator[Finding]:
        """Yield the findings about costs: too low, too high or differing ones."""
        by_cost: dict[tuple[str, int | None], list[Line]] = defaultdict(list)
        for line in self.active:
            scheme = hashes.identify(line.value)
            by_cost[scheme.name, scheme.cost].append(line)
        maximum = self.reader.bcrypt_cost.maximum if self.reader is not None else 99
        for (name, cost), lines in by_cost.items():
            scheme = hashes.Scheme(name, cost=cost)
            if cost is not None and (rule := _cost_rule(scheme, cost, maximum)):
                times = 2 ** (cost - hashes.DEFAULT_COST) if name == "bcrypt" else 0
                yield from self.finding(
                    rule, lines, cost=cost, maximum=maximum, times=times, scheme=name
                )
        if len(by_cost) > 1:
            words = sorted(name if cost is None else f"{name} {cost}" for name, cost in by_cost)
            yield from self.finding(rules.MIXED_COST, costs=", ".join(words))

    def user_findings(self, file: HtpasswdFile, empty: Collection[str]) -> Iterator[Finding]:
        """Yield the findings about users: the empty password, and those active in *file* only."""
        open_ = [line for line in self.active if line.name in empty]
        if open_:
            yield from self.finding(rules.EMPTY_PASSWORD, open_)
        active = {line.number for line in self.active}
        due = [one for one in file.lines() if one.kind == "user" and one.number not in active]
        if due:
            yield from self.finding(rules.EXPIRED, due)


def _cost_rule(scheme: hashes.Scheme, cost: int, maximum: int) -> Rule | None:
    if scheme.name == "bcrypt" and cost > maximum:
        return rules.COST_LIMIT
    if scheme.too_costly:
        return rules.COST_EXCESSIVE
    if scheme.name != "bcrypt":
        return None
    if cost < hashes.DEFAULT_COST:
        return rules.COST_LOW
    return rules.COST_HIGH if cost >= rules.HIGH_COST else None
