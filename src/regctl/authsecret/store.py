"""Where a registry's users are stored: in an auth file, in an auth Secret, or in both."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from regctl.authfile import edit, hashes
from regctl.authfile.htpasswd import HtpasswdFile, check_name
from regctl.authfile.lines import PREVIOUS as COMMENT
from regctl.authfile.readers import AuthFileReader
from regctl.authsecret.compare import compare
from regctl.authsecret.plan import plan
from regctl.authsecret.push import Push, prepare
from regctl.authsecret.secret import PREVIOUS, AuthSecret, added_users, fetch, read
from regctl.cluster.client import Cluster
from regctl.cluster.secret import Secret
from regctl.errors import LockoutError, UserExistsError
from regctl.outcome import DryRun
from regctl.wording import some_of


class UserStore(ABC):
    """A place for users. A change is in effect when the method returns."""

    @abstractmethod
    def read(self) -> HtpasswdFile:
        """Return the users. Raises FileAccessError, ObjectNotFoundError, MalformedError."""

    @abstractmethod
    def change(self, change: Callable[[HtpasswdFile], object]) -> None:
        """Apply *change*, which may be called several times, to every copy of the users."""

    def in_sync(self) -> bool:
        """Whether all copies have the same active users."""
        return True

    def add(
        self,
        name: str,
        password: str,
        *,
        replaces: Sequence[str] = (),
        seen: HtpasswdFile | None = None,
    ) -> None:
        """
        Add a user, or set its password; keep the hashes of the users that it *replaces*.

        The new user expires on the same day as the first of them. *seen* is what was read before.
        Raises UserExistsError if somebody else has set the password since then, InvalidUserError,
        InvalidPasswordError, and what `change` raises.
        """
        check_name(name)
        expected = (seen or self.read()).hashes(name)
        hash_ = hashes.reuse_or_hash(password, expected)

        def add(users: HtpasswdFile) -> None:
            if users.hashes(name) != expected:
                raise UserExistsError(
                    f"cannot set the password of {name}: somebody else has set it",
                    hint="run the same command again",
                )
            for old in replaces:
                users.keep_previous(old)
            users.set(name, hash_)
            replaced = users.user(replaces[0]) if replaces else None
            if replaced is not None and replaced.expires is not None:
                users.expire(name, replaced.expires)

        self.change(add)

    def restore(self, name: str, before: HtpasswdFile, *, replaces: Sequence[str]) -> None:
        """Undo `add`: *before* is what was read before it."""

        def restore(users: HtpasswdFile) -> None:
            if present := before.hashes(name):
                users.set(name, present[0])
            else:
                users.remove(name)
            for old in replaces:
                if not before.previous(old):
                    users.forget_previous(old)

        self.change(restore)

    def remove(self, name: str) -> None:
        """Remove a user, and the hash that a rotation kept of it."""
        self.change(lambda users: users.remove(name))


@dataclass(frozen=True)
class FileStore(UserStore):
    """The users in an auth file. Those that are expired by *today* (UTC) are locked."""

    path: Path
    today: date | None = None

    def read(self) -> HtpasswdFile:
        """Return the file. Raises FileAccessError, MalformedError."""
        file = HtpasswdFile.read(self.path)
        return file if self.today is None else file.as_of(self.today)

    def change(self, change: Callable[[HtpasswdFile], object]) -> None:
        """Change the file in one write."""
        with edit.editing(self.path, must_exist=True) as users:
            change(users)


@dataclass(frozen=True)
class SecretStore(UserStore):
    """
    The users in an auth Secret that *reader* reads.

    With a *file* the users are changed there and then uploaded to the Secret. Without one the
    Secret marks those that are added to it, so that the next upload of a file keeps them. *adopt*
    takes over a Secret that nobody controls.
    """

    cluster: Cluster = field(repr=False)
    namespace: str
    name: str
    reader: AuthFileReader
    file: FileStore | None = None
    adopt: bool = False

    def read(self) -> HtpasswdFile:
        """Return the file, else the Secret's users. Raises ObjectNotFoundError, MalformedError."""
        return self._users_of(self._fetch()) if self.file is None else self.file.read()

    def change(self, change: Callable[[HtpasswdFile], object]) -> None:
        """
        Change the file and the Secret; neither if the Secret must not be changed.

        What is left of an interrupted change is found in the file: a user is added there first,
        and removed there last. Raises LockoutError if another user would lose access.
        """
        if self.file is None:
            self.cluster.retry_on_conflict(
                lambda secret: self._change_secret(secret, change), self._fetch(), self._fetch
            )
            return
        users = self.file.read()
        before = _names(users)
        change(users)
        removed = before - _names(users)
        self._push(users, removed, "client")
        if removed:
            self._push(users, removed)
        self.file.change(change)
        if not removed:
            self._push(self.file.read(), removed)

    def in_sync(self) -> bool:
        """Whether the Secret has the active users of the file."""
        if self.file is None:
            return True
        secret = self._fetch()
        desired = AuthSecret.of(self.file.read(), self.reader).keeping(secret)
        return not compare(read(secret, self.reader), desired.users)

    def _fetch(self) -> Secret:
        return fetch(self.cluster, self.namespace, self.name)

    def _users_of(self, secret: Secret) -> HtpasswdFile:
        rows = read(secret, self.reader).content.splitlines()
        previous = secret.annotations.get(PREVIOUS, "").encode().splitlines()
        rows += [COMMENT + row for row in previous]
        return HtpasswdFile(b"".join(row + b"\n" for row in rows))

    def _change_secret(self, secret: Secret, change: Callable[[HtpasswdFile], object]) -> None:
        """Change the users of *secret*. Raises ConflictError if it is not as it was read."""
        users = self._users_of(secret)
        before = _names(users)
        change(users)
        desired = AuthSecret.of(users, self.reader)
        added = (added_users(secret) | (_names(users) - before)) & desired.known
        kept = [f"{row.name}:{row.value}" for row in users.lines() if row.kind == "previous"]
        desired = replace(desired, added=added, exclusive=True, previous="\n".join(kept))
        planned = plan(desired, self.namespace, self.name, secret, adopt=self.adopt)
        Push(self.cluster, desired, (planned,)).send(planned)

    def _push(
        self, users: HtpasswdFile, removed: frozenset[str], dry_run: DryRun | None = None
    ) -> None:
        """Upload the users of the file."""
        desired, secret = AuthSecret.of(users, self.reader), f"{self.namespace}/{self.name}"
        push = prepare(self.cluster, desired, [(self.namespace, self.name)], adopt=self.adopt)
        lost = {name for one in push.changes for name in one.removed} - removed - desired.known
        if lost:
            raise LockoutError(
                f"cannot change secret {secret}: {some_of(sorted(lost))} would lose access",
                hint=f"`regctl auth push --auth-secret {secret} --check` shows the difference",
            )
        for outcome in push.run(dry_run):
            if outcome.error is not None:
                raise outcome.error


def _names(users: HtpasswdFile) -> frozenset[str]:
    return frozenset(user.name for user in users.users())
