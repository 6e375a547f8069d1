"""The users of a registry: those in its auth Secret, and one to add."""

from dataclasses import dataclass, field, replace
from functools import cached_property

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret.plan import plan
from regctl.authsecret.push import Push
from regctl.authsecret.secret import AuthSecret, added_users, read
from regctl.cluster.client import Cluster
from regctl.cluster.secret import Secret, get_secret
from regctl.credentials.credential import Credential
from regctl.provisioning.spec import RegistrySpec


@dataclass(frozen=True)
class AuthUsers:
    """The users in the auth Secret of *spec*; *secret* is None if the Secret does not exist."""

    spec: RegistrySpec
    secret: Secret | None = field(repr=False)

    @cached_property
    def file(self) -> HtpasswdFile:
        """The users as an auth file. Raises MalformedError if their reader cannot find them."""
        return HtpasswdFile() if self.secret is None else read(self.secret, self.spec.reader)

    def check(self) -> None:
        """Raise UnsuitableAuthFileError if the reader would reject the users in the Secret."""
        if self.secret is not None:
            AuthSecret.of(self.file, self.spec.reader)

    def push_with(self, cluster: Cluster, user: Credential, *, adopt: bool = False) -> Push:
        """Plan to add *user*, or to set its password; the other users are kept."""
        file = HtpasswdFile(self.file.content)
        file.set(user.username, hashes.make(user.password))
        desired = AuthSecret.of(file, self.spec.reader)
        if self.secret is not None:
            desired = replace(desired, added=added_users(self.secret), exclusive=True)
        change = plan(desired, self.spec.namespace, self.spec.auth_secret, self.secret, adopt=adopt)
        return Push(cluster, desired, (change,), adopt)


def read_users(cluster: Cluster, spec: RegistrySpec) -> AuthUsers:
    """Return the users in the auth Secret of *spec*."""
    return AuthUsers(spec, get_secret(cluster, spec.namespace, spec.auth_secret))
