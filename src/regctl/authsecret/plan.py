"""What one auth Secret needs, decided without touching the cluster."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret.compare import UserChange, compare, summary
from regctl.authsecret.secret import AuthSecret, encoded, list_key, read
from regctl.cluster.ownership import foreign_object
from regctl.cluster.secret import Secret
from regctl.errors import ForeignObjectError, ImmutableError, MalformedError, RegctlError
from regctl.outcome import RESULTS, Action, Outcome, result_of_error
from regctl.wording import some_of


@dataclass(frozen=True)
class Change:
    """
    What one Secret needs; *users* are the users who are added, removed, or get another hash.

    *observed* is the Secret that the decision was based on, None if it did not exist.
    """

    namespace: str
    name: str
    action: Action
    users: tuple[UserChange, ...] = ()
    note: str | None = None
    error: RegctlError | None = None
    observed: Secret | None = field(default=None, repr=False)

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
    present = HtpasswdFile()
    if secret is not None:
        # A Secret with another layout, or an empty one, has no users for the reader.
        with contextlib.suppress(MalformedError):
            present = read(secret, desired.reader)
    users = compare(present, desired.users)
    if secret is None:
        return Change(namespace, name, "create", users, note=summary(users))
    managed = secret.ownership.managed
    if not patch(desired, secret) and (managed or not adopt):
        note = None if managed else "not managed by regctl"
        return Change(namespace, name, "unchanged", note=note, observed=secret)
    if error := _obstacle(desired, secret, adopt=adopt):
        return Change(namespace, name, "refuse", users, error=error, observed=secret)
    note = "; ".join(_notes(desired, secret, users))
    return Change(namespace, name, "update", users, note=note, observed=secret)


def patch(desired: AuthSecret, secret: Secret) -> dict[str, Any]:
    """Return the merge patch for *secret*: data, with None for keys to remove, and annotations."""
    key = list_key(desired.layout, secret)
    wanted = desired.data(key)
    data: dict[str, str | None] = {
        name: value
        for name, value in encoded(wanted).items()
        if secret.data.get(name) != wanted[name]
    }
    if key is None:
        data |= dict.fromkeys(secret.data.keys() - wanted.keys())
    annotations = {
        name: value
        for name, value in desired.layout.annotations
        if secret.annotations.get(name) != value
    }
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
