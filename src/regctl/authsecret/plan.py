"""What one auth Secret needs, decided without touching the cluster."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret.compare import UserChange, compare, summary
from regctl.authsecret.secret import ADDED_USERS, PREVIOUS, AuthSecret, list_key, present_users
from regctl.cluster.ownership import foreign_object
from regctl.cluster.secret import Secret, encoded
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    LockoutError,
    RegctlError,
)
from regctl.outcome import RESULTS, Action, Outcome, result_of_error
from regctl.wording import some_of


@dataclass(frozen=True)
class Change:
    """
    What one Secret needs; *users* are the users who are added, removed, or get another hash.

    *kept* are the users that the Secret keeps although the auth file does not know them.
    *observed* is the Secret that the decision was based on, None if it did not exist.
    """

    namespace: str
    name: str
    action: Action
    users: tuple[UserChange, ...] = ()
    note: str | None = None
    error: RegctlError | None = None
    kept: tuple[str, ...] = ()
    observed: Secret | None = field(default=None, repr=False)

    @property
    def subject(self) -> str:
        """`registry/secret/registry-basic-auth`."""
        return f"{self.namespace}/secret/{self.name}"

    @property
    def removed(self) -> tuple[str, ...]:
        """The users who lose access."""
        return tuple(user.name for user in self.users if user.change == "removed")

    def outcome(self, error: RegctlError | None = None) -> Outcome:
        """Return the outcome of the change, which failed with *error* if that is not None."""
        return Outcome(
            "secret",
            self.name,
            RESULTS[self.action] if error is None else result_of_error(error),
            namespace=self.namespace,
            note=self.note if error is None else None,
            error=error,
            differences=tuple(map(str, self.users)) or ((self.note,) if self.note else ()),
            details={"users": [user._asdict() for user in self.users]},
        )


def plan(
    desired: AuthSecret, namespace: str, name: str, secret: Secret | None, *, adopt: bool = False
) -> Change:
    """Decide what the Secret *name* needs; *secret* is None if it does not exist."""
    if secret is None:
        users = compare(HtpasswdFile(), desired.users)
        return Change(namespace, name, "create", users, note=summary(users))
    present = present_users(secret, desired.reader)
    merged = desired.keeping(secret)
    users = compare(present, merged.users)
    kept = tuple(sorted(_names(merged.users) - _names(desired.users)))
    change = partial(Change, namespace, name, kept=kept, observed=secret)
    managed = secret.ownership.managed
    if not patch(desired, secret) and (managed or not adopt):
        return change("unchanged", note=None if managed else "not managed by regctl")
    error = _obstacle(desired, secret, adopt=adopt) or _lockout(merged, secret, present)
    if error is not None:
        return change("refuse", users, error=error)
    return change("update", users, note="; ".join(_notes(desired, secret, users)))


def patch(desired: AuthSecret, secret: Secret) -> dict[str, Any]:
    """
    Return the merge patch for *secret*: data, with None for keys to remove, and annotations.

    The users that were added to *secret* are kept, as `AuthSecret.keeping` has it.
    """
    desired = desired.keeping(secret)
    key = list_key(desired.layout, secret)
    wanted = desired.data(key)
    data: dict[str, str | None] = {
        name: value
        for name, value in encoded(wanted).items()
        if secret.data.get(name) != wanted[name]
    }
    if key is None:
        data |= dict.fromkeys(secret.data.keys() - wanted.keys())
    annotations: dict[str, str | None] = {
        name: value
        for name, value in desired.annotations.items()
        if secret.annotations.get(name) != value
    }
    if ADDED_USERS in secret.annotations and not desired.added:
        annotations[ADDED_USERS] = None
    if PREVIOUS in secret.annotations and desired.previous == "":
        annotations[PREVIOUS] = None
    found: dict[str, Any] = {"data": data} if data else {}
    if annotations:
        found["metadata"] = {"annotations": annotations}
    if secret.type != desired.layout.type:
        found["type"] = desired.layout.type
    return found


def _obstacle(desired: AuthSecret, secret: Secret, *, adopt: bool) -> RegctlError | None:
    """Return why regctl must not change *secret*, or None."""
    reader, attempt = desired.reader.name, f"cannot change {secret.subject}"
    instead = f"name another with `--auth-secret NS/NAME`, and configure {reader} to read it"
    refused = foreign_object(
        secret.subject, secret.ownership, verb="change", adopt=adopt, instead=instead
    )
    if refused is not None:
        return refused
    if secret.type != desired.layout.type:
        return ImmutableError(
            f"{attempt}: its type is {secret.type}, {reader} reads type {desired.layout.type}, "
            "and a Secret's type cannot be changed",
            hint=instead,
        )
    if secret.immutable:
        return ImmutableError(
            f"{attempt}: it is immutable, and while it is recreated every login would fail",
            hint=instead,
        )
    if desired.layout.single_key and (others := _other_keys(desired, secret)):
        return ForeignObjectError(
            f"{attempt}: it also has {some_of(others)}, and {reader} accepts only Secrets with "
            "one key",
            hint=instead,
        )
    return None


def _lockout(desired: AuthSecret, secret: Secret, present: HtpasswdFile) -> LockoutError | None:
    """Return the error of an upload that no present user survives, or None."""
    before = _names(present)
    if desired.exclusive or not before or before & _names(desired.users):
        return None
    return LockoutError(
        f"cannot change {secret.subject}: none of its users would be left: "
        f"{some_of(sorted(before))}",
        hint="`--exclusive` gives the Secret the users of the auth file and no others",
    )


def _names(file: HtpasswdFile) -> frozenset[str]:
    return frozenset(user.name for user in file.users())


def _notes(desired: AuthSecret, secret: Secret, users: tuple[UserChange, ...]) -> Iterator[str]:
    """Yield what a person should know about an update."""
    if not secret.ownership.managed:
        yield f"adopted from {secret.ownership.owner}"
    yield summary(users) or "the same users"
    others = _other_keys(desired, secret)
    if others and desired.layout.key is not None:
        yield f"{some_of(others)} left unchanged"
    if secret.keeps_last_applied:
        yield "an annotation of kubectl apply still has the old hashes"


def _other_keys(desired: AuthSecret, secret: Secret) -> list[str]:
    """Return the keys of *secret* that do not hold the list of users."""
    return sorted(secret.data.keys() - {list_key(desired.layout, secret)})
