"""The steps of a rotation: each says what it will do, and does it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from regctl.authsecret.store import UserStore
from regctl.cluster.client import Cluster
from regctl.cluster.resource import SECRETS, Namespace
from regctl.cluster.secret import Secret, read_secret
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

StepName = Literal["add", "wait", "update", "check", "grace", "remove"]
Result = Literal["created", "configured", "unchanged", "deleted", "works", "waited"]

GRACE_SECONDS = 30.0
"""How long a kubelet may still use the password that it read before its Secret changed."""


@dataclass(frozen=True)
class StepResult:
    """What a step did to one object, or will do to it."""

    step: StepName
    subject: str
    result: Result
    note: str | None = None


@dataclass(frozen=True)
class RotationContext:
    """
    Everything that a rotation reads and changes: users, pull secrets and the registry.

    *find* returns the pull secrets of all namespaces that may use the user. *connect* returns a
    client for a credential. *grace* and *timeout* are seconds. Tests inject *sleep* and *clock*.
    """

    store: UserStore
    cluster: Cluster = field(repr=False)
    registry: Registry
    find: Callable[[], Inventory]
    connect: Callable[[Credential], RegistryClient]
    policy: TakeoverPolicy = field(default_factory=TakeoverPolicy)
    grace: float = GRACE_SECONDS
    timeout: float = 300.0
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic


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


class Step(ABC):
    """One step of a rotation."""

    name: ClassVar[StepName]

    @abstractmethod
    def describe(self) -> Iterator[StepResult]:
        """Yield what `run` will do."""

    @abstractmethod
    def run(self) -> Iterator[StepResult]:
        """Carry the step out and yield each result when it is done. Raises RegctlError."""


@dataclass(frozen=True)
class AddUser(Step):
    """Adds the user, or sets its password if it *exists*."""

    store: UserStore
    credential: Credential
    exists: bool
    note: str | None = None
    name = "add"

    def describe(self) -> Iterator[StepResult]:
        """Yield the user, `created` or `configured`."""
        result: Result = "configured" if self.exists else "created"
        yield StepResult(self.name, f"user/{self.credential.username}", result, self.note)

    def run(self) -> Iterator[StepResult]:
        """Add the user."""
        self.store.add(self.credential.username, self.credential.password)
        yield from self.describe()


@dataclass(frozen=True)
class WaitForRegistry(Step):
    """Waits until the registry accepts the credential: an ingress reads a change with a delay."""

    context: RotationContext
    credential: Credential
    name = "wait"

    def describe(self) -> Iterator[StepResult]:
        """Yield the registry, which `works`."""
        note = f"accepts {self.credential.username}"
        yield StepResult(self.name, f"registry/{self.context.registry}", "works", note)

    def run(self) -> Iterator[StepResult]:
        """Wait. Raises RegistryUnreachableError after the timeout."""
        context, client = self.context, self.context.connect(self.credential)
        backoff, deadline = Backoff(tries=None, cap=2.0), context.clock() + context.timeout
        failure: RegctlError | None = None
        for _ in attempts(backoff, context.sleep, deadline=deadline, clock=context.clock):
            try:
                client.ping()
            except RegctlError as error:
                failure = error
            else:
                yield from self.describe()
                return
        raise RegistryUnreachableError(
            f"{context.registry} did not accept {self.credential.username} within "
            f"{context.timeout:.0f} s: {failure}",
            hint="`regctl auth push --check` shows whether the auth Secret has this user",
        ) from failure


@dataclass(frozen=True)
class UpdatePullSecrets(Step):
    """
    Replaces the credential of each holder and keeps the other entries of its Secret.

    *note* is about each updated Secret; *remainder* says what the Secrets that failed still have.
    """

    context: RotationContext
    holders: tuple[Holder, ...]
    credential: Credential
    note: str
    remainder: str
    name = "update"

    def describe(self) -> Iterator[StepResult]:
        """Yield each Secret, `configured`."""
        for holder in self.holders:
            yield StepResult(self.name, holder.subject, "configured", self.note)

    def run(self) -> Iterator[StepResult]:
        """Update each Secret. Raises PartlyDoneError if some could not be updated."""
        failed: list[RegctlError] = []
        for name, key in sorted({(holder.secret.name, holder.key) for holder in self.holders}):
            group = [h for h in self.holders if (h.secret.name, h.key) == (name, key)]
            email = group[0].credential.email
            entry = Credential(self.credential.username, self.credential.password, email)
            desired = PullSecret(name, {key: entry}, merge=True)
            spaces = [Namespace(holder.secret.namespace) for holder in group]
            rollout = prepare(self.context.cluster, desired, spaces, policy=self.context.policy)
            for outcomes in rollout.run():
                for outcome in outcomes:
                    if outcome.error is not None:
                        failed.append(outcome.error)
                        continue
                    subject = f"{outcome.namespace}/secret/{outcome.name}"
                    yield StepResult(self.name, subject, "configured", self.note)
        if failed:
            raise PartlyDoneError(
                f"{failed[0].message}; {len(failed)} of {len(self.holders)} pull secrets "
                f"{self.remainder}",
                hint=failed[0].hint,
            )


@dataclass(frozen=True)
class VerifyPullSecrets(Step):
    """Reads every Secret again and tries its credential at the registry."""

    context: RotationContext
    holders: tuple[Holder, ...]
    user: str
    name = "check"

    def describe(self) -> Iterator[StepResult]:
        """Yield each Secret, which `works`."""
        for holder in self.holders:
            yield StepResult(self.name, holder.subject, "works")

    def run(self) -> Iterator[StepResult]:
        """Verify each Secret. Raises ConflictError or WrongPasswordError."""
        for holder in self.holders:
            secret = holder.secret
            item = self.context.cluster.get(SECRETS, secret.namespace, secret.name)
            entry = credentials_of(read_secret(item)).get(holder.key) if item is not None else None
            if entry is None or entry.username != self.user:
                raise ConflictError(f"{holder.subject} lost user {self.user}: somebody changed it")
            try:
                self.context.connect(entry).ping()
            except RegctlError as error:
                raise WrongPasswordError(
                    f"{holder.subject} has user {self.user}, but cannot log in: {error.message}"
                ) from error
            yield StepResult(self.name, holder.subject, "works")


@dataclass(frozen=True)
class WaitForKubelets(Step):
    """Keeps the old user while kubelets may still use its password."""

    context: RotationContext
    name = "grace"

    def describe(self) -> Iterator[StepResult]:
        """Yield the kubelets, which `waited`."""
        note = f"{self.context.grace:.0f} s with the old password"
        yield StepResult(self.name, "kubelets", "waited", note)

    def run(self) -> Iterator[StepResult]:
        """Wait."""
        self.context.sleep(self.context.grace)
        yield from self.describe()


@dataclass(frozen=True)
class RemoveUser(Step):
    """Removes the old user."""

    store: UserStore
    user: str
    name = "remove"

    def describe(self) -> Iterator[StepResult]:
        """Yield the user, `deleted`."""
        yield StepResult(self.name, f"user/{self.user}", "deleted")

    def run(self) -> Iterator[StepResult]:
        """Remove the user."""
        self.store.remove(self.user)
        yield from self.describe()
