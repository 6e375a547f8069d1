"""
The auth file as a Secret, in the shape that its consumer reads.

A Secret is changed in place, under its `resourceVersion`, and never deleted and made anew: without
it ingress-nginx answers 503 to everybody. It is made by server-side apply, whose rights can be
bound to its name, and changed by a merge patch, which also removes the keys of users who are gone.
"""

import base64
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from regctl.authfile import audit
from regctl.authfile.audit import Finding
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import AuthFileReader, Shape
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import OUR_LABELS
from regctl.cluster.resource import NAMESPACES, SECRETS, Namespace, check_object_name
from regctl.cluster.secret import Secret, read_secret
from regctl.errors import (
    ConflictError,
    ForeignObjectError,
    ImmutableError,
    InvalidInputError,
    MalformedError,
    NamespaceMissingError,
    NotPermittedError,
    ObjectNotFoundError,
    RegctlError,
    UnsuitableAuthFileError,
)

DEFAULT_NAME = "registry-basic-auth"

_TRIES = 5
_FEW_NAMES = 5
_RAW = ("utf-8", "surrogateescape")

Action = Literal["create", "update", "unchanged", "refuse"]
Result = Literal["created", "configured", "unchanged", "refused", "failed"]
DryRun = Literal["client", "server"]


class UserChange(NamedTuple):
    """What is different about one user."""

    name: str
    change: Literal["added", "removed", "changed"]


def compare(old: HtpasswdFile, new: HtpasswdFile) -> tuple[UserChange, ...]:
    """
    Return how the open users of *new* differ from those of *old*, sorted by name.

    `changed`: another hash, be it of the same password or not; several lines count as one.
    """
    before, after = _hashes(old), _hashes(new)
    changes = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            changes.append(UserChange(name, "added"))
        elif name not in after:
            changes.append(UserChange(name, "removed"))
        elif before[name] != after[name]:
            changes.append(UserChange(name, "changed"))
    return tuple(changes)


def _hashes(file: HtpasswdFile) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in file.lines():
        if line.kind == "user":
            found[line.name] = (*found.get(line.name, ()), line.value)
    return found


# What is wanted


def shape_of(consumer: AuthFileReader) -> Shape:
    """Return the Secret's shape. Raises InvalidInputError for a consumer that reads none."""
    if consumer.shape is None:
        raise InvalidInputError(
            f"{consumer.name} reads no Secret: its users stand in its own configuration",
            hint="`regctl auth consumers` shows who reads which Secret",
        )
    return consumer.shape


@dataclass(frozen=True)
class AuthSecret:
    """The open users of an auth file, to be brought to the Secret *name* for *consumer*."""

    name: str
    consumer: AuthFileReader
    users: HtpasswdFile = field(repr=False)

    @classmethod
    def of(cls, file: HtpasswdFile, name: str, consumer: AuthFileReader) -> "AuthSecret":
        """
        Take what belongs in a Secret from *file*, and check that it does what it should there.

        Comments, locked users, line endings and third fields stay behind. Raises UnsuitableAuthFileError for
        whatever would not be read as meant, InvalidInputError, InvalidObjectNameError.
        """
        check_object_name(name, "Secret")
        shape_of(consumer)
        _refuse(
            [
                one
                for one in audit.check(file, consumer)
                if one.rule in _NEVER or (one.severity == "error" and one.rule not in _LEFT_BEHIND)
            ],
            consumer,
        )
        users = HtpasswdFile(file.published())
        if not users.content:
            raise UnsuitableAuthFileError(
                "no user is open: with an empty list nobody gets in",
                hint="`regctl adduser NAME` adds one, `regctl auth unlock NAME` opens one",
            )
        return cls(name, consumer, users)

    @property
    def shape(self) -> Shape:
        """The shape of the Secret."""
        return shape_of(self.consumer)

    @cached_property
    def hashes(self) -> frozenset[str]:
        """All hashes."""
        return frozenset(line.value for line in self.users.lines())

    def data(self, key: str | None) -> dict[str, bytes]:
        """Return the Secret's data, the list under *key*; None: a key for each user."""
        if key is not None:
            return {key: self.users.content}
        return {line.name: line.value.encode(*_RAW) for line in self.users.lines()}

    def manifest(self, namespace: str | None) -> dict[str, Any]:
        """Return the Secret for *namespace*, as it is made and as it is printed."""
        metadata: dict[str, Any] = {"name": self.name}
        if namespace is not None:
            metadata["namespace"] = namespace
        metadata["labels"] = dict(OUR_LABELS)
        if self.shape.annotations:
            metadata["annotations"] = dict(self.shape.annotations)
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": self.shape.type,
            "data": _encoded(self.data(self.shape.key)),
        }


# Oddities of lines that are not published, and those that would be lost without a word.
_LEFT_BEHIND = frozenset({"trailing-blank", "leading-blank", "third-field", "crlf", "long-line"})
_NEVER = frozenset({"no-colon", "bom"})


def _refuse(bad: Sequence[Finding], consumer: AuthFileReader) -> None:
    if bad:
        first, more = bad[0], len(bad) - 1
        others = f"; and {more} more" if more else ""
        raise UnsuitableAuthFileError(
            f"not fit for {consumer.name}: {first.problem}: {first.effect}{others}",
            hint=f"`regctl auth check --for {consumer.name}` tells what to do",
        )


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


# What is there


def read(secret: Secret, consumer: AuthFileReader) -> HtpasswdFile:
    """
    Return the list in *secret*, byte for byte where it stands under one key.

    Raises MalformedError where it has not the shape that *consumer* reads.
    """
    shape = shape_of(consumer)
    key = _key(shape, secret)
    if key is None:
        rows = (name.encode() + b":" + secret.data[name].strip() for name in sorted(secret.data))
        return HtpasswdFile(b"".join(row + b"\n" for row in rows))
    if key not in secret.data:
        raise MalformedError(
            f"cannot read {secret.subject}: it has no key {key}, which {consumer.name} reads; "
            f"it has {', '.join(sorted(secret.data)) or 'none'}",
            hint="--for names another consumer, whose Secret has another shape",
        )
    return HtpasswdFile(secret.data[key])


def _key(shape: Shape, secret: Secret) -> str | None:
    """Return the key that holds the list, or is to hold it."""
    if shape.any_key and len(secret.data) == 1:
        return next(iter(secret.data))
    return shape.key


def fetch(cluster: Cluster, namespace: str, name: str) -> Secret:
    """Return the Secret. Raises ObjectNotFoundError, NamespaceMissingError and what the cluster says."""
    check_object_name(name, "Secret")
    attempt = f"cannot read secret {name} in namespace {namespace}"
    item = cluster.get(SECRETS, namespace, name)
    if item is None:
        _must_exist(cluster, namespace, attempt)
        raise ObjectNotFoundError(
            f"{attempt}: there is none",
            hint="`regctl auth push` makes it; --secret and -n name another",
        )
    return read_secret(item)


def _must_exist(cluster: Cluster, namespace: str, attempt: str) -> None:
    """Raise NamespaceMissingError where a namespace is known not to be there."""
    try:
        with contextlib.suppress(NotPermittedError):
            cluster.get(NAMESPACES, None, namespace)
    except NamespaceMissingError as error:
        raise NamespaceMissingError(f"{attempt}: no such namespace", hint=error.hint) from error


def merged(local: bytes | None, remote: HtpasswdFile, consumer: AuthFileReader) -> bytes:
    """
    Return the content of a local file that lets in whom *remote* lets in, and nobody else.

    Comments, order and users that are locked here alone stay. Of several lines of a user the one is
    taken that counts for *consumer*. Without a local file the content is that of *remote*.
    """
    if local is None:
        return remote.content
    file = HtpasswdFile(local)
    wanted = _hashes(remote)
    for name in _hashes(file).keys() - wanted.keys():
        file.remove(name)
    present = _hashes(file)
    for name, values in wanted.items():
        if present.get(name) != values:
            file.set(name, values[consumer.winner(len(values)) or 0])
            file.unlock(name)
    return file.content


# The plan


@dataclass(frozen=True)
class Change:
    """
    What one namespace needs; *users* are those who are let in, shut out or get another hash.

    *observed* is what it was decided by.
    """

    namespace: str
    action: Action
    users: tuple[UserChange, ...] = ()
    note: str | None = None
    error: RegctlError | None = None
    observed: Secret | None = field(default=None, repr=False)

    @property
    def removed(self) -> tuple[str, ...]:
        """The users whom it shuts out."""
        return tuple(user.name for user in self.users if user.change == "removed")


def plan(
    desired: AuthSecret, namespace: str, secret: Secret | None, *, adopt: bool = False
) -> Change:
    """Decide what one namespace needs, without touching the cluster."""
    if secret is None:
        users = compare(HtpasswdFile(), desired.users)
        return Change(namespace, "create", users, note=_counted(users))
    try:
        users = compare(read(secret, desired.consumer), desired.users)
    except MalformedError:
        # Another shape, or nothing in it yet.
        users = compare(HtpasswdFile(), desired.users)
    ours = secret.ownership.managed
    differs = bool(_patch(desired, secret))
    if not differs and (ours or not adopt):
        note = None if ours else "not managed by regctl"
        return Change(namespace, "unchanged", note=note, observed=secret)
    if refusal := _refusal(desired, secret, adopt=adopt):
        return Change(namespace, "refuse", users, error=refusal, observed=secret)
    notes = tuple(_notes(desired, secret, users))
    return Change(namespace, "update", users, note="; ".join(notes) or None, observed=secret)


def _patch(desired: AuthSecret, secret: Secret) -> dict[str, Any]:
    """Return what is to be changed in *secret*: data with None for keys to remove, annotations."""
    key = _key(desired.shape, secret)
    wanted = desired.data(key)
    data: dict[str, str | None] = {
        name: value
        for name, value in _encoded(wanted).items()
        if secret.data.get(name) != wanted[name]
    }
    if key is None:
        data |= dict.fromkeys(secret.data.keys() - wanted.keys())
    annotations = {
        name: value
        for name, value in desired.shape.annotations
        if secret.annotations.get(name) != value
    }
    patch: dict[str, Any] = {"data": data} if data else {}
    if annotations:
        patch["metadata"] = {"annotations": annotations}
    if secret.type != desired.shape.type:
        patch["type"] = desired.shape.type
    return patch


def _refusal(desired: AuthSecret, secret: Secret, *, adopt: bool) -> RegctlError | None:
    """Say why this Secret must be left alone, or None where it may be changed."""
    cannot = f"cannot change {secret.subject}"
    elsewhere = "--secret names another one: let the consumer read that"
    if secret.ownership.controller is not None:
        return ForeignObjectError(
            f"{cannot}: it belongs to {secret.ownership.controller}, which would put its own back",
            hint="change it where that one takes it from",
        )
    if not secret.ownership.managed and not adopt:
        return ForeignObjectError(
            f"{cannot}: it was not made by regctl but by {secret.ownership.owner}",
            hint="`regctl auth diff` shows what would change; --adopt takes it over",
        )
    if secret.type != desired.shape.type:
        return ImmutableError(
            f"{cannot}: its type is {secret.type}, {desired.consumer.name} reads "
            f"{desired.shape.type}, and a type can't be changed",
            hint=elsewhere,
        )
    if secret.immutable:
        return ImmutableError(
            f"{cannot}: it is immutable, and deleting it would shut everybody out meanwhile",
            hint=elsewhere,
        )
    key = _key(desired.shape, secret)
    others = sorted(secret.data.keys() - {key})
    if desired.shape.alone and others:
        return ForeignObjectError(
            f"{cannot}: it also has {_some(others)}, and {desired.consumer.name} takes a Secret "
            "with one key only",
            hint=elsewhere,
        )
    return None


def _notes(desired: AuthSecret, secret: Secret, users: Sequence[UserChange]) -> Iterator[str]:
    """Say what a person should know of a change."""
    if not secret.ownership.managed:
        yield f"adopted from {secret.ownership.owner}"
    yield _counted(users) or "the same users"
    key = _key(desired.shape, secret)
    others = sorted(secret.data.keys() - {key})
    if key is not None and others:
        yield f"also has {_some(others)}, left as it is"
    if secret.keeps_last_applied:
        yield "an annotation of kubectl apply keeps the old hashes"


def _counted(users: Iterable[UserChange]) -> str | None:
    by_change: dict[str, list[str]] = {}
    for user in users:
        by_change.setdefault(user.change, []).append(user.name)
    words = (f"{change} {_some(names)}" for change, names in by_change.items())
    return ", ".join(words) or None


def _some(names: Sequence[str]) -> str:
    more = len(names) - _FEW_NAMES
    shown = ", ".join(names[:_FEW_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


# Carrying it out


@dataclass(frozen=True)
class Outcome:
    """What became of the Secret in one namespace."""

    namespace: str
    result: Result
    users: tuple[UserChange, ...] = ()
    note: str | None = None
    error: RegctlError | None = None


def observe(
    cluster: Cluster, desired: AuthSecret, namespaces: Iterable[Namespace], *, adopt: bool = False
) -> list[Change]:
    """Look at the Secret in each of *namespaces* and plan; what can't be read is refused."""
    changes = []
    for namespace in namespaces:
        try:
            item = cluster.get(SECRETS, namespace.name, desired.name)
            if item is None:
                attempt = f"cannot make secret {desired.name} in namespace {namespace.name}"
                _must_exist(cluster, namespace.name, attempt)
        except RegctlError as error:
            changes.append(Change(namespace.name, "refuse", error=error))
            continue
        secret = read_secret(item) if item is not None else None
        changes.append(plan(desired, namespace.name, secret, adopt=adopt))
    return changes


def try_passwords(
    desired: AuthSecret, changes: Sequence[Change], progress: Callable[[], None] = lambda: None
) -> None:
    """
    Try the empty password on every hash that is new to one of the Secrets.

    Raises UnsuitableAuthFileError where one lets it in.
    """
    known = frozenset(desired.hashes)
    for change in changes:
        if change.action != "unchanged":
            old = change.observed
            values = b"\n".join(old.data.values()) if old is not None else b""
            known &= {value for value in known if value.encode(*_RAW) in values}
    empty = audit.empty_passwords(desired.users, progress, known=known)
    found = audit.check(desired.users, desired.consumer, empty=empty)
    _refuse([one for one in found if one.rule == "empty-password"], desired.consumer)


def push(
    cluster: Cluster,
    desired: AuthSecret,
    changes: Iterable[Change],
    *,
    adopt: bool = False,
    dry_run: DryRun | None = None,
) -> Iterator[Outcome]:
    """Carry *changes* out, one namespace after the other; yield what became of each."""
    for change in changes:
        try:
            yield _settle(cluster, desired, change, adopt=adopt, dry_run=dry_run)
        except (ForeignObjectError, ImmutableError) as error:
            yield Outcome(change.namespace, "refused", change.users, error=error)
        except RegctlError as error:
            yield Outcome(change.namespace, "failed", change.users, error=error)


def _settle(
    cluster: Cluster,
    desired: AuthSecret,
    change: Change,
    *,
    adopt: bool,
    dry_run: DryRun | None,
) -> Outcome:
    """Carry one change out; look and plan anew where somebody was faster."""
    agreed = set(change.removed)
    tries = 0
    while True:
        if change.error is not None:
            raise change.error
        results: dict[Action, Result] = {"create": "created", "update": "configured"}
        result = results.get(change.action, "unchanged")
        outcome = Outcome(change.namespace, result, change.users, change.note)
        if result == "unchanged" or dry_run == "client":
            return outcome
        try:
            _send(cluster, desired, change, dry_run=dry_run == "server")
        except ConflictError:
            tries += 1
            if tries == _TRIES:
                raise
        else:
            return outcome
        item = cluster.get(SECRETS, change.namespace, desired.name)
        secret = read_secret(item) if item is not None else None
        change = plan(desired, change.namespace, secret, adopt=adopt)
        if change.error is None and not agreed.issuperset(change.removed):
            raise ConflictError(
                f"cannot change secret {desired.name} in namespace {change.namespace}: somebody "
                f"else added {_some(sorted(set(change.removed) - agreed))} at the same moment",
                hint="`regctl auth diff` shows the difference; then run the same command again",
            )


def _send(cluster: Cluster, desired: AuthSecret, change: Change, *, dry_run: bool) -> None:
    old = change.observed
    if old is None:
        cluster.apply(SECRETS, desired.manifest(change.namespace), dry_run=dry_run)
        return
    patch = _patch(desired, old)
    patch["metadata"] = {
        **patch.get("metadata", {}),
        "labels": dict(OUR_LABELS),
        "uid": old.uid,
        "resourceVersion": old.resource_version,
    }
    cluster.merge(SECRETS, change.namespace, desired.name, patch, dry_run=dry_run)
