"""The steps of a rotation, each one a method that yields its results."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from regctl.authsecret.store import UserStore
from regctl.cluster.client import Cluster
from regctl.cluster.resource import Namespace
from regctl.cluster.secret import Secret, get_secret
from regctl.credentials.credential import Credential
from regctl.errors import (
    ConflictError,
    PartlyDoneError,
    RegctlError,
    RegistryUnreachableError,
    WrongPasswordError,
)
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.inventory import Inventory
from regctl.pullsecrets.plan import PullSecret, TakeoverPolicy
from regctl.pullsecrets.rollout import prepare
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.retry import Backoff, attempts


@dataclass(frozen=True)
class StepResult:
    """What a step did to one object, or will do to it."""

    step: Literal["add", "wait", "update", "check", "grace", "remove"]
    subject: str
    result: Literal["created", "configured", "unchanged", "deleted", "works", "waited"]
    note: str | None = None


@dataclass(frozen=True)
class Holder:
    """An entry of a pull secret, under *key*, that has a user of the registry."""

    secret: Secret = field(repr=False)
    key: str
    credential: Credential

    @property
    def subject(self) -> str:
        """`team-a/secret/registry.foo.com`."""
        return f"{self.secret.namespace}/secret/{self.secret.name}"

    @property
    def login(self) -> tuple[str, str]:
        """The user and the password."""
        return self.credential.username, self.credential.password

    def updated(self, user: str) -> StepResult:
        """Return the result of an update to the new credential of *user*."""
        old = self.credential.username
        note = f"new password for {user}" if user == old else f"{old} replaced by {user}"
        return StepResult("update", self.subject, "configured", note)


@dataclass(frozen=True)
class RotationSteps:
    """
    The steps, and what they read and change: users, pull secrets and the registry.

    With *dry_run* a step yields its results and does nothing else. *find* returns the pull secrets
    of all namespaces that may use the user. *connect* returns a client for a credential. *adopt*
    takes over Secrets that nobody controls. *grace* is how long a kubelet may still use the
    password that it read before its Secret changed. *grace* and *timeout* are seconds. Tests inject
    *sleep* and *clock*.
    """

    store: UserStore
    cluster: Cluster = field(repr=False)
    registry: Registry
    find: Callable[[], Inventory]
    connect: Callable[[Credential], RegistryClient]
    adopt: bool = False
    grace: float = 30.0
    timeout: float = 300.0
    dry_run: bool = False
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def add_user(
        self, credential: Credential, *, exists: bool, note: str | None = None
    ) -> Iterator[StepResult]:
        """Add the user, or set its password if it *exists*."""
        if not self.dry_run:
            self.store.add(credential.username, credential.password)
        result: Literal["configured", "created"] = "configured" if exists else "created"
        yield StepResult("add", f"user/{credential.username}", result, note)

    def wait_for_registry(self, credential: Credential) -> Iterator[StepResult]:
        """
        Wait until the registry accepts the credential: an ingress reads a change with a delay.

        Raises RegistryUnreachableError after the timeout.
        """
        if not self.dry_run:
            self._wait_until_accepted(credential)
        note = f"accepts {credential.username}"
        yield StepResult("wait", f"registry/{self.registry}", "works", note)

    def _wait_until_accepted(self, credential: Credential) -> None:
        client, failure = self.connect(credential), None
        backoff, deadline = Backoff(tries=None, cap=2.0), self.clock() + self.timeout
        for _ in attempts(backoff, self.sleep, deadline=deadline, clock=self.clock):
            try:
                client.ping()
            except RegctlError as error:
                failure = error
            else:
                return
        raise RegistryUnreachableError(
            f"{self.registry} did not accept {credential.username} within "
            f"{self.timeout:.0f} s: {failure}",
            hint="check that the registry reads this auth file or auth Secret",
        ) from failure

    def update_pull_secrets(
        self, holders: Sequence[Holder], credential: Credential
    ) -> Iterator[StepResult]:
        """
        Replace the credential of each holder and keep the other entries of its Secret.

        Raises PartlyDoneError if some Secrets could not be updated.
        """
        if self.dry_run:
            yield from (holder.updated(credential.username) for holder in holders)
            return
        groups: dict[tuple[str, str], dict[str, Holder]] = {}
        for holder in holders:
            group = groups.setdefault((holder.secret.name, holder.key), {})
            group[holder.secret.namespace] = holder
        failed: list[tuple[Holder, RegctlError]] = []
        for (name, key), group in sorted(groups.items()):
            email = next(iter(group.values())).credential.email
            desired = PullSecret(name, {key: replace(credential, email=email)}, merge=True)
            spaces = [Namespace(space) for space in group]
            policy = TakeoverPolicy(adopt=self.adopt)
            rollout = prepare(self.cluster, desired, spaces, policy=policy)
            # No accounts are attached: each namespace has one outcome, that of its Secret.
            for (outcome,) in rollout.run():
                holder = group[str(outcome.namespace)]
                if outcome.error is not None:
                    failed.append((holder, outcome.error))
                else:
                    yield holder.updated(credential.username)
        if failed:
            holder, error = failed[0]
            old = holder.credential.username
            what = "the old password" if old == credential.username else f"{old}, which stays"
            raise PartlyDoneError(
                f"{error.message}; {len(failed)} of {len(holders)} pull secrets still have {what}",
                hint=error.hint,
            )

    def verify_pull_secrets(self, holders: Sequence[Holder], user: str) -> Iterator[StepResult]:
        """
        Read every Secret again and try its credential at the registry.

        Raises ConflictError if one has lost the user, WrongPasswordError if it is rejected.
        """
        for holder in holders:
            if not self.dry_run:
                self._verify(holder, user)
            yield StepResult("check", holder.subject, "works")

    def _verify(self, holder: Holder, user: str) -> None:
        secret = get_secret(self.cluster, holder.secret.namespace, holder.secret.name)
        entry = credentials_of(secret).get(holder.key) if secret is not None else None
        if entry is None or entry.username != user:
            raise ConflictError(f"{holder.subject} lost user {user}: somebody changed it")
        try:
            self.connect(entry).ping()
        except RegctlError as error:
            raise WrongPasswordError(
                f"{holder.subject} has user {user}, but cannot log in: {error.message}"
            ) from error

    def wait_for_kubelets(self) -> Iterator[StepResult]:
        """Keep the old user while kubelets may still use its password."""
        if not self.dry_run:
            self.sleep(self.grace)
        note = f"{self.grace:.0f} s, so that kubelets stop using the old password"
        yield StepResult("grace", "regctl", "waited", note)

    def remove_user(self, name: str) -> Iterator[StepResult]:
        """Remove the old user."""
        if not self.dry_run:
            self.store.remove(name)
        yield StepResult("remove", f"user/{name}", "deleted")
