"""The steps of a rotation, each one a method that yields its results."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from regctl.authfile.hashes import generate_password
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret.store import UserStore
from regctl.cluster.client import Cluster
from regctl.cluster.secret import get_secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfig import DockerConfig
from regctl.errors import (
    AccessError,
    ConflictError,
    PartlyDoneError,
    RegctlError,
    RegistryUnreachableError,
    WrongPasswordError,
)
from regctl.parallel import in_order
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.update import update_credentials
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.retry import Backoff, attempts
from regctl.workflows.access import rejected_by, wait_until
from regctl.workflows.holders import Holder, PasswordProofs, Survey

Failure = tuple[Holder, RegctlError]


@dataclass(frozen=True)
class StepResult:
    """What a step did to one object, or will do to it."""

    step: Literal["ignore", "add", "wait", "update", "check", "login", "keep", "grace", "remove"]
    subject: str
    result: Literal["created", "configured", "unchanged", "deleted", "skipped", "works", "waited"]
    note: str | None = None

    @property
    def changes(self) -> bool:
        """Whether the step changes something that the next run finds."""
        return self.result in {"created", "configured", "deleted"}


@dataclass(frozen=True)
class LocalLogin:
    """A login on this machine, and the *place* where it is stored."""

    place: str
    credential: Credential
    updatable: bool = True


@dataclass(frozen=True)
class RotationSteps:
    """
    The steps, and what they read and change: users, pull secrets and the registry.

    With *dry_run* a step yields its results and does nothing else. *find* reads the pull secrets.
    *connect* returns a client for a credential. *login* reads docker's config, which may have the
    old password; *warn* gets a warning if it cannot be updated. *adopt* takes over Secrets that
    nobody controls. *grace* is how long a kubelet may still use the password that it read before
    its Secret changed. *grace* and *timeout* are seconds. Tests inject *sleep* and *clock*.
    """

    store: UserStore
    cluster: Cluster = field(repr=False)
    registry: Registry
    find: Callable[[], Survey]
    connect: Callable[[Credential], RegistryClient]
    login: Callable[[], DockerConfig] | None = None
    warn: Callable[[str], None] = lambda _: None
    adopt: bool = False
    grace: float = 600.0
    timeout: float = 300.0
    dry_run: bool = False
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @cached_property
    def proofs(self) -> PasswordProofs:
        """Which passwords work; what was verified once is known for the whole run."""
        return PasswordProofs(self._proves)

    def _proves(self, credential: Credential) -> bool:
        """Whether the registry accepts the credential; it proves nothing if it accepts any."""
        made_up = Credential(credential.username, generate_password())
        answers = [self._answer(one) for one in (credential, made_up)]
        for answer in answers:
            if answer is not None and not isinstance(answer, AccessError):
                raise answer
        return answers[0] is None and answers[1] is not None

    def _answer(self, credential: Credential) -> RegctlError | None:
        """Return None if the registry accepts the credential, else its error."""
        try:
            self.connect(credential).ping()
        except RegctlError as error:
            return error
        return None

    def ignore(self, holders: Sequence[Holder]) -> Iterator[StepResult]:
        """Name the entries whose passwords do not work: anybody may have written them."""
        for subject, user in dict.fromkeys((holder.subject, holder.user) for holder in holders):
            note = f"names {user} with a password that does not work; left alone"
            yield StepResult("ignore", subject, "skipped", note)

    def add_user(
        self,
        credential: Credential,
        replaces: Sequence[str],
        seen: HtpasswdFile,
        *,
        note: str | None = None,
    ) -> Iterator[StepResult]:
        """Add the user, or set its password, if it is still as in *seen*."""
        name = credential.username
        if not self.dry_run:
            self.store.add(name, credential.password, replaces=replaces, seen=seen)
        result: Literal["configured", "created"] = "configured" if seen.hashes(name) else "created"
        yield StepResult("add", f"user/{name}", result, note)

    def restore_user(
        self, name: str, before: HtpasswdFile, replaces: Sequence[str], why: str
    ) -> Iterator[StepResult]:
        """Undo `add_user`: the users are again as they were *before*."""
        self.store.restore(name, before, replaces=replaces)
        result: Literal["configured", "deleted"] = (
            "configured" if before.hashes(name) else "deleted"
        )
        yield StepResult("remove", f"user/{name}", result, f"as before: {why}")

    def wait_for_registry(self, credential: Credential) -> Iterator[StepResult]:
        """
        Wait until the registry accepts the credential: an ingress reads a change with a delay.

        Raises RegistryUnreachableError after the timeout.
        """
        user = credential.username
        failure = None if self.dry_run else self._wait_until(credential, accepted=True)
        if failure is not None:
            raise RegistryUnreachableError(
                f"{self.registry} did not accept {user} within {self.timeout:.0f} s: {failure}",
                hint="check that the registry reads this auth file or auth Secret",
            ) from failure
        yield StepResult("wait", f"registry/{self.registry}", "works", f"accepts {user}")

    def _wait_until(self, credential: Credential, *, accepted: bool) -> RegctlError | None:
        """Ask until the registry accepts or rejects the credential; return the last failure."""
        login, deadline = (self.registry, credential), self.clock() + self.timeout
        tries = attempts(
            Backoff(tries=None, cap=2.0), self.sleep, deadline=deadline, clock=self.clock
        )
        answers = wait_until(
            [login], lambda _registry, one: self._answer(one), tries, accepted=accepted
        )
        if accepted:
            return answers[login]
        still = ConflictError(f"{self.registry} still accepts its password")
        return None if rejected_by(answers) else answers[login] or still

    def update_pull_secrets(
        self, holders: Sequence[Holder], credential: Credential
    ) -> Generator[StepResult, None, list[Failure]]:
        """
        Replace the credential of each holder and keep the other entries of its Secret.

        Returns the holders that could not be updated, with their errors.
        """
        groups: dict[str, list[Holder]] = {}
        for holder in holders:
            groups.setdefault(holder.subject, []).append(holder)
        if self.dry_run:
            for subject, (holder, *_) in groups.items():
                note = _replaced(holder.user, credential.username)
                yield StepResult("update", subject, "configured", note)
            return []

        def update(subject: str) -> RegctlError | None:
            secret = groups[subject][0].secret
            old = {holder.key: holder.credential for holder in groups[subject]}
            try:
                if update_credentials(self.cluster, secret, old, credential, adopt=self.adopt):
                    return None
            except RegctlError as error:
                return error
            again = "run the same command again"
            return ConflictError("somebody else changed it at the same time", hint=again)

        failed: list[Failure] = []
        subjects = list(groups)
        for subject, error in in_order(subjects, self.cluster.run_parallel(update, subjects)):
            if isinstance(error, RegctlError):
                failed += [(holder, error) for holder in groups[subject]]
            elif error is None:
                note = _replaced(groups[subject][0].user, credential.username)
                yield StepResult("update", subject, "configured", note)
        return failed

    def verify_pull_secrets(self, holders: Sequence[Holder], user: str) -> Iterator[StepResult]:
        """
        Read every Secret again and try its credential at the registry.

        Raises ConflictError if one has lost the user, WrongPasswordError if it is rejected.
        """
        for subject, holder in {holder.subject: holder for holder in holders}.items():
            if not self.dry_run:
                self._verify(holder, user)
            yield StepResult("check", subject, "works")

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

    # The local login

    def local_logins(self) -> list[LocalLogin]:
        """Return the logins for the registry in docker's `config.json` and in podman's file."""
        if self.login is None:
            return []
        found: list[LocalLogin] = []
        try:
            config = self.login()
            if (docker := config.stored_for(self.registry)) is not None:
                found.append(LocalLogin(config.place_of(self.registry), docker))
            if (podman := config.podman_login(self.registry)) is not None:
                found.append(LocalLogin(str(podman[0]), podman[1], updatable=False))
        except RegctlError as error:
            self.warn(f"not all local logins could be read: {error.message}")
        return found

    def update_login(self, login: LocalLogin, credential: Credential) -> Iterator[StepResult]:
        """Update docker's login, and only name podman's; a failure is a warning."""
        subject, old = f"login/{self.registry}", login.credential.username
        if not login.updatable:
            note = f"{login.place} still has {old}; `podman login {self.registry}` updates it"
            yield StepResult("login", subject, "skipped", note)
            return
        try:
            if not self.dry_run and self.login is not None:
                self.login().store(self.registry, credential)
        except RegctlError as error:
            self.warn(f"{login.place} still has {old}: {error.message}")
            return
        note = f"{_replaced(old, credential.username)}, in {login.place}"
        yield StepResult("login", subject, "configured", note)

    # The old user

    def keep(self, kept: Sequence[Failure]) -> Iterator[StepResult]:
        """Name the Secrets that still have the old user, and why."""
        for subject, (holder, error) in {one[0].subject: one for one in kept}.items():
            note = f"still has {holder.user}: {error.message}"
            yield StepResult("keep", subject, "skipped", note)

    def wait_for_kubelets(self) -> Iterator[StepResult]:
        """Keep the old user while kubelets may still use its password."""
        if not self.dry_run:
            self.sleep(self.grace)
        note = f"{self.grace:.0f} s, so that kubelets stop using the old password"
        yield StepResult("grace", "regctl", "waited", note)

    def remove_user(self, name: str, password: str | None) -> Iterator[StepResult]:
        """
        Remove the old user, and wait until the registry rejects its *password*, if it is known.

        Raises PartlyDoneError if the registry still accepts it after the timeout.
        """
        if not self.dry_run:
            self.store.remove(name)
        unproven = "no pull secret had its password, so the registry was not asked"
        yield StepResult(
            "remove", f"user/{name}", "deleted", unproven if password is None else None
        )
        if password is None:
            return
        credential = Credential(name, password)
        failure = None if self.dry_run else self._wait_until(credential, accepted=False)
        if failure is not None:
            raise PartlyDoneError(
                f"{name} is deleted, but {self.registry} did not reject its password within "
                f"{self.timeout:.0f} s: {failure}",
                hint="check that the registry reads this auth file or auth Secret",
            )
        yield StepResult("wait", f"registry/{self.registry}", "works", f"rejects {name}")


def _replaced(old: str, new: str) -> str:
    return f"new password for {old}" if old == new else f"{old} replaced by {new}"
