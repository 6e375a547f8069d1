"""
A new password at both ends: the auth file that accepts it, and the pull secrets that carry it.

An auth file has one password for a user, so the new password comes with a new user beside the old
one. The old one goes when nothing carries it any more, and so no pull fails at any moment. What
there is to do is read off the world, never off a file of our own: a run that was interrupted goes
on where it stopped when it is run again.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from regctl.authfile import hashes, htpasswd
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import AuthFileReader
from regctl.authsecret.compare import compare
from regctl.authsecret.push import prepare as prepare_push
from regctl.authsecret.secret import AuthSecret, fetch, read
from regctl.cluster.client import Cluster
from regctl.cluster.resource import SECRETS, Namespace
from regctl.cluster.secret import Secret, read_secret
from regctl.credentials.credential import Credential
from regctl.errors import (
    InvalidInputError,
    InvalidReferenceError,
    MalformedError,
    PartlyDoneError,
    RegctlError,
    RegistryUnreachableError,
    UnknownUserError,
    WrongPasswordError,
)
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.inventory import Inventory, Item
from regctl.pullsecrets.plan import PullSecret, TakeoverPolicy
from regctl.pullsecrets.rollout import prepare
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.retry import Backoff

Step = Literal["add", "wait", "update", "check", "grace", "remove"]
Result = Literal["created", "configured", "unchanged", "deleted", "works", "waited"]

GRACE_SECONDS = 30.0
"""How long a kubelet may still use the password that it read before its Secret changed."""


# Where users are


class Users(Protocol):
    """Where the users stand: an auth file, the Secret that is read in its place, or both."""

    def read(self) -> HtpasswdFile:
        """Return the users as they are now."""

    def add(self, name: str, password: str) -> None:
        """Add a user, or set its password."""

    def remove(self, name: str) -> None:
        """Remove a user."""

    @property
    def whole(self) -> bool:
        """Whether every place says the same."""


@dataclass(frozen=True)
class FileUsers:
    """The users of an auth file."""

    path: Path

    def read(self) -> HtpasswdFile:
        """Return the file. Raises FileAccessError, MalformedError."""
        return HtpasswdFile.read(self.path)

    def add(self, name: str, password: str) -> None:
        """Add to the file."""
        htpasswd.add_user(self.path, name, password)

    def remove(self, name: str) -> None:
        """Remove from the file."""
        htpasswd.remove_users(self.path, [name])

    @property
    def whole(self) -> bool:
        """It is one file."""
        return True


@dataclass(frozen=True)
class SecretUsers:
    """The users of an auth Secret; with a *file*, which is then what they are taken from."""

    cluster: Cluster = field(repr=False)
    namespace: str
    name: str
    consumer: AuthFileReader
    file: FileUsers | None = None
    adopt: bool = False

    def read(self) -> HtpasswdFile:
        """Return the file, or the Secret's content. Raises ObjectNotFoundError, MalformedError."""
        return self.file.read() if self.file is not None else self._live()

    def _live(self) -> HtpasswdFile:
        return read(fetch(self.cluster, self.namespace, self.name), self.consumer)

    def add(self, name: str, password: str) -> None:
        """Add to the file where there is one, and push."""
        if self.file is not None:
            self.file.add(name, password)
            self._push(self.file.read())
            return
        users = HtpasswdFile(self._live().content)
        users.set(name, htpasswd.fitting_secret(password, users.secrets(name)))
        self._push(users)

    def remove(self, name: str) -> None:
        """Remove from the file where there is one, and push."""
        if self.file is not None:
            self.file.remove(name)
            self._push(self.file.read())
            return
        users = HtpasswdFile(self._live().content)
        users.remove(name)
        self._push(users)

    @property
    def whole(self) -> bool:
        """Whether the Secret lets in whom the file lets in."""
        return self.file is None or not compare(
            self._live(), HtpasswdFile(self.file.read().published())
        )

    def _push(self, users: HtpasswdFile) -> None:
        desired = AuthSecret.of(users, self.consumer)
        secrets = [(self.namespace, self.name)]
        for outcome in prepare_push(self.cluster, desired, secrets, adopt=self.adopt).run():
            if outcome.error is not None:
                raise outcome.error


# What there is


@dataclass(frozen=True)
class Holder:
    """An entry of a pull secret that holds a user of the registry; *key* is how it is filed."""

    secret: Secret = field(repr=False)
    key: str
    credential: Credential

    @property
    def subject(self) -> str:
        """`team-a/secret/registry.foo.com`."""
        return f"{self.secret.namespace}/secret/{self.secret.name}"


@dataclass(frozen=True)
class World:
    """
    The state that a rotation starts from, wherever the one before it stopped.

    *old_holders* are to be changed, *new_holders* hold what they should.

    *password* is the new user's, where a pull secret holds one that the auth file accepts.
    *whole* is whether file and auth Secret agree.
    """

    old_there: bool
    new_there: bool
    old_holders: tuple[Holder, ...] = ()
    new_holders: tuple[Holder, ...] = ()
    password: str | None = field(default=None, repr=False)
    whole: bool = True


def observe(users: Users, found: Inventory, registry: Registry, old: str, new: str) -> World:
    """Look at the users and the pull secrets that were *found*. Raises what reading raises."""
    file = users.read()
    if old == new:
        return _observe_in_place(users, file, tuple(_holders(found.items, registry, old)), old)
    olds = list(_holders(found.items, registry, old))
    news = list(_holders(found.items, registry, new))
    password = next((h.credential.password for h in news if _opens(file, h)), None)
    return World(
        bool(file.secrets(old)),
        bool(file.secrets(new)),
        # The new user with a password that opens nothing is no better than the old one.
        (*olds, *(holder for holder in news if holder.credential.password != password)),
        tuple(holder for holder in news if holder.credential.password == password),
        password,
        users.whole,
    )


def _observe_in_place(
    users: Users, file: HtpasswdFile, holders: tuple[Holder, ...], name: str
) -> World:
    """Where some Secrets open the file and others don't, a run was interrupted: go on with it."""
    there = bool(file.secrets(name))
    good = tuple(holder for holder in holders if _opens(file, holder))
    bad = tuple(holder for holder in holders if holder not in good)
    if good and bad:
        return World(there, there, bad, good, good[0].credential.password, users.whole)
    return World(there, there, holders, (), None, users.whole)


def _holders(items: Sequence[Item], registry: Registry, user: str) -> Iterator[Holder]:
    for item in items:
        try:
            entries = credentials_of(item.secret)
        except MalformedError:
            continue
        for key, credential in entries.items():
            if credential.username == user and _is_for(key, registry):
                yield Holder(item.secret, key, credential)


def _is_for(key: str, registry: Registry) -> bool:
    try:
        return Registry.parse(key) == registry
    except InvalidReferenceError:
        return False


def _opens(file: HtpasswdFile, holder: Holder) -> bool:
    credential = holder.credential
    return any(hashes.verify(credential.password, h) for h in file.secrets(credential.username))


def successor(name: str) -> str:
    """Return the user that follows *name*: `ci-2` after `ci`, `ci-3` after `ci-2`."""
    match = re.fullmatch(r"(.*)-(\d+)", name)
    return f"{match[1]}-{int(match[2]) + 1}" if match else f"{name}-2"


# What to do


def plan(world: World, old: str, new: str, *, keep_old: bool, finish: bool) -> list[Step]:
    """
    Return the steps that are left, in their order; none when all is done.

    Raises UnknownUserError where there is neither user, InvalidInputError for *finish* while pull
    secrets hold the old one.
    """
    if not world.old_there and not world.new_there:
        raise UnknownUserError(
            f"cannot rotate {old}: there is no such user", hint="`regctl users` lists them"
        )
    if old == new:
        lost = world.password is None or not world.whole
        steps: list[Step] = ["add"] if lost else []
        return [*steps, "update", "wait", "check"]
    if finish:
        if world.old_holders:
            raise InvalidInputError(
                f"cannot finish: {world.old_holders[0].subject} still holds "
                f"{world.old_holders[0].credential.username}",
                hint=f"`regctl rotate {old}` without --finish brings {new} there",
            )
        return ["remove"] if world.old_there or not world.whole else []
    if not world.old_there and not world.old_holders and world.whole:
        return []
    steps = []
    if world.password is None or not world.new_there or not world.whole:
        steps.append("add")
    steps.append("wait")
    if world.old_holders:
        steps.append("update")
    if world.old_holders or world.new_holders:
        steps.append("check")
    if not keep_old and world.old_there:
        steps += ["grace", "remove"] if world.old_holders or world.new_holders else ["remove"]
    return steps


@dataclass(frozen=True)
class Event:
    """What was done, or is to be done: one line for a person."""

    step: Step
    subject: str
    result: Result
    note: str | None = None


@dataclass(frozen=True)
class Rotation:
    """
    From user *old* to user *new* at *registry*.

    *connect* makes a client for a credential, *look* finds the pull secrets. `run` does what `plan`
    says. *timeout* and *grace* are in seconds; *sleep* and *clock* are injected by tests.
    """

    users: Users
    cluster: Cluster = field(repr=False)
    registry: Registry
    old: str
    new: str
    look: Callable[[], Inventory]
    connect: Callable[[Credential], RegistryClient]
    keep_old: bool = False
    finish: bool = False
    policy: TakeoverPolicy = field(default_factory=TakeoverPolicy)
    grace: float = GRACE_SECONDS
    timeout: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def dry_run(self) -> Iterator[Event]:
        """Yield what `run` would do, and do nothing."""
        world = self._observe()
        for step in plan(world, self.old, self.new, keep_old=self.keep_old, finish=self.finish):
            yield from self._told(step, world)

    def run(self, password: str | None = None) -> Iterator[Event]:
        """
        Do what is left to do and yield each thing as it is done.

        *password* is the new user's; without one it is made. Raises PartlyDoneError with what
        stopped it: running again goes on from there.
        """
        world = self._observe()
        steps = plan(world, self.old, self.new, keep_old=self.keep_old, finish=self.finish)
        if not steps:
            yield Event("remove", f"user/{self.old}", "unchanged", f"{self.new} has its place")
            return
        known = world.password
        if password is not None and known is not None and password != known:
            raise InvalidInputError(
                f"{self.new} has another password already, which pull secrets hold",
                hint="leave the password out to go on with that one",
            )
        chosen = known or password or hashes.generate_password()
        begun = False
        try:
            for step in steps:
                for event in self._do(step, world, Credential(self.new, chosen)):
                    begun = True
                    yield event
        except PartlyDoneError:
            raise
        except RegctlError as error:
            if not begun:
                raise
            raise PartlyDoneError(
                error.message, hint=f"mend that, and run `regctl rotate {self.old}` again"
            ) from error

    @property
    def _change(self) -> str:
        if self.old == self.new:
            return f"{self.new} has its new password"
        return f"{self.old} becomes {self.new}"

    def _observe(self) -> World:
        found = self.look()
        for _, error in sorted(found.errors.items()):
            # The old user must not go while something unseen may hold it.
            raise error
        return observe(self.users, found, self.registry, self.old, self.new)

    def _told(self, step: Step, world: World) -> Iterator[Event]:
        if step == "add":
            result: Result = "configured" if world.new_there else "created"
            gap = "pulls fail until each pull secret has it" if self.old == self.new else None
            yield Event(step, f"user/{self.new}", result, gap)
        elif step == "wait":
            yield Event(step, f"registry/{self.registry}", "works", f"lets {self.new} in")
        elif step == "update":
            for holder in world.old_holders:
                yield Event(step, holder.subject, "configured", self._change)
        elif step == "check":
            for holder in (*world.old_holders, *world.new_holders):
                yield Event(step, holder.subject, "works")
        elif step == "grace":
            yield Event(step, "kubelets", "waited", f"{self.grace:.0f} s with the old password")
        else:
            yield Event(step, f"user/{self.old}", "deleted")

    def _do(self, step: Step, world: World, credential: Credential) -> Iterator[Event]:
        if step == "add":
            self.users.add(self.new, credential.password)
        elif step == "wait":
            self._wait(credential)
        elif step == "update":
            yield from self._update(world, credential)
            return
        elif step == "check":
            yield from self._check(world)
            return
        elif step == "grace":
            self.sleep(self.grace)
        else:
            self.users.remove(self.old)
        yield from self._told(step, world)

    def _wait(self, credential: Credential) -> None:
        """Return when the registry lets the new user in: an ingress may need a while to notice."""
        client, until = self.connect(credential), self.clock() + self.timeout
        for pause in Backoff(tries=1_000_000, base=0.1, cap=2.0).pauses():
            try:
                client.ping()
            except RegctlError as error:
                if self.clock() >= until:
                    raise RegistryUnreachableError(
                        f"{self.registry} did not let {self.new} in within {self.timeout:.0f} s: "
                        f"{error.message}",
                        hint="does it read this auth file or Secret? `regctl auth diff` compares",
                    ) from error
                self.sleep(pause)
            else:
                return

    def _update(self, world: World, credential: Credential) -> Iterator[Event]:
        """Put the new user where the old one stands, in each Secret, and leave the rest of it."""
        failed: list[RegctlError] = []
        for name, key in sorted({(h.secret.name, h.key) for h in world.old_holders}):
            group = [h for h in world.old_holders if (h.secret.name, h.key) == (name, key)]
            email = group[0].credential.email
            entry = Credential(credential.username, credential.password, email)
            desired = PullSecret(name, {key: entry}, merge=True)
            spaces = [Namespace(holder.secret.namespace) for holder in group]
            for outcomes in prepare(self.cluster, desired, spaces, policy=self.policy).run():
                for outcome in outcomes:
                    if outcome.error is not None:
                        failed.append(outcome.error)
                        continue
                    subject = f"{outcome.namespace}/secret/{outcome.name}"
                    yield Event("update", subject, "configured", self._change)
        if failed:
            raise PartlyDoneError(
                f"{failed[0].message}; {self.old} stays, for {len(failed)} of "
                f"{len(world.old_holders)} pull secrets still need it",
                hint=failed[0].hint or f"mend that, and run `regctl rotate {self.old}` again",
            )

    def _check(self, world: World) -> Iterator[Event]:
        """Read every Secret again and try what stands in it."""
        for holder in (*world.old_holders, *world.new_holders):
            secret = holder.secret
            item = self.cluster.get(SECRETS, secret.namespace, secret.name)
            entry = credentials_of(read_secret(item)).get(holder.key) if item is not None else None
            if entry is None or entry.username != self.new:
                raise PartlyDoneError(
                    f"{holder.subject} does not hold {self.new}: somebody else changed it",
                    hint=f"run `regctl rotate {self.old}` again",
                )
            try:
                self.connect(entry).ping()
            except RegctlError as error:
                raise WrongPasswordError(
                    f"{holder.subject} holds {self.new}, and it does not work: {error.message}"
                ) from error
            yield Event("check", holder.subject, "works")
