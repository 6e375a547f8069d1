"""Where a registry's users are stored: in an auth file, in an auth Secret, or in both."""

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from regctl.authfile import edit, hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import AuthFileReader
from regctl.authsecret.compare import compare
from regctl.authsecret.push import prepare
from regctl.authsecret.secret import AuthSecret, added_users, fetch, read
from regctl.cluster.client import Cluster


@dataclass(frozen=True)
class FileStore:
    """The users in an auth file. Those that are expired by *today* (UTC) are locked."""

    path: Path
    today: date | None = None

    def read(self) -> HtpasswdFile:
        """Return the file. Raises FileAccessError, MalformedError."""
        file = HtpasswdFile.read(self.path)
        return file if self.today is None else file.as_of(self.today)

    def add(self, name: str, password: str) -> None:
        """Add a user to the file, or set its password."""
        edit.add_user(self.path, name, password)

    def remove(self, name: str) -> None:
        """Remove a user from the file."""
        edit.remove_users(self.path, [name])

    def in_sync(self) -> bool:
        """True: there is one copy."""
        return True


@dataclass(frozen=True)
class SecretStore:
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
        return self.file.read() if self.file is not None else self._read_secret()

    def add(self, name: str, password: str) -> None:
        """Add a user, or set its password, in every copy."""
        if self.file is not None:
            self.file.add(name, password)
        users, new = self.read(), frozenset[str]()
        if self.file is None:
            new = frozenset() if users.hashes(name) else frozenset({name})
            users.set(name, hashes.reuse_or_hash(password, users.hashes(name)))
        self._push(users, new)

    def remove(self, name: str) -> None:
        """Remove a user from every copy."""
        if self.file is not None:
            self.file.remove(name)
        users = self.read()
        if self.file is None:
            users.remove(name)
        self._push(users)

    def in_sync(self) -> bool:
        """Whether the Secret has the active users of the file."""
        if self.file is None:
            return True
        return not compare(self._read_secret(), HtpasswdFile(self.file.read().active_lines()))

    def _read_secret(self) -> HtpasswdFile:
        return read(fetch(self.cluster, self.namespace, self.name), self.reader)

    def _push(self, users: HtpasswdFile, new: frozenset[str] = frozenset()) -> None:
        desired = AuthSecret.of(users, self.reader)
        if self.file is None:
            marked = added_users(fetch(self.cluster, self.namespace, self.name)) | new
            desired = replace(desired, added=marked & desired.known, exclusive=True)
        secrets = [(self.namespace, self.name)]
        for outcome in prepare(self.cluster, desired, secrets, adopt=self.adopt).run():
            if outcome.error is not None:
                raise outcome.error


UserStore = FileStore | SecretStore
"""A place for users. A change is in effect when the method returns."""
