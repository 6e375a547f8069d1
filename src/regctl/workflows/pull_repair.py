"""The commands that repair a pull: which Secret, and what its owner and type require."""

import contextlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from regctl.authfile.htpasswd import HtpasswdFile, User
from regctl.authfile.readers import READERS, AuthFileReader
from regctl.cluster.client import Cluster
from regctl.cluster.resource import is_object_name
from regctl.cluster.secret import Secret, get_secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import DOCKERCONFIGJSON
from regctl.errors import MalformedError, NotPermittedError, UnreadableHashError
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.plan import default_name
from regctl.workflows.pull import Pull


@dataclass(frozen=True)
class Repair:
    """Makes the hints for one *pull*."""

    pull: Pull
    cluster: Cluster = field(repr=False)

    def secret(self, name: str, held: Secret | None, *flags: str, source: str = "") -> str:
        """
        Return the hint that creates or updates the Secret *name*, of which *held* is there.

        The credential comes from the flags or the environment of the command, or from the Secret
        *source*.
        """
        if held is not None and held.ownership.controller is not None:
            return change_at_source(held) if self.pull.pod or source else self.attach()
        if not is_object_name(name):
            # The API server lets Pods and service accounts list any text.
            return self.attach()
        registry, space = self.pull.image.registry, self.pull.namespace
        words = ["regctl secret create"]
        if source:
            words += [name, f"--from-secret {space}/{source}"]
        else:
            words += [name] * (name != default_name(registry.key)) + [f"--server {registry}"]
        words += [f"-n {space}", *flags]
        required = flags_for(held) if held is not None else []
        verb = "creates" if held is None else "updates"
        if "--replace" in required:
            verb = "recreates"
        command = " ".join([*words, *required])
        return f"`{command}` {verb} secret {name}"

    def attach(self, name: str | None = None) -> str:
        """Return the hint that creates a Secret, and attaches it to the pod's service account."""
        chosen = name or default_name(self.pull.image.registry.key)
        held = None
        with contextlib.suppress(NotPermittedError):
            held = get_secret(self.cluster, self.pull.namespace, chosen)
        if held is not None and held.ownership.controller is not None:
            other = f"{chosen}-regctl"
            # One other name: a stranger may have planted Secrets with all that follow.
            can_try = name is None and is_object_name(other)
            return self.attach(other) if can_try else change_at_source(held)
        hint = self.secret(chosen, held, "--attach", self.pull.account)
        return self._after(f"{hint} and attaches it to service account {self.pull.account}")

    def attach_present(self, secret: Secret) -> str:
        """Return the hint that makes the pull use a Secret that is there."""
        name, space = secret.name, self.pull.namespace
        account = self.pull.account
        command = f"regctl secret create {name} --from-secret {space}/{name} -n {space}"
        hint = f"`{command} --attach {account}` attaches it to service account {account}"
        return self._after(hint)

    def listed(self, secrets: Sequence[Secret]) -> str:
        """Return the hint that adds the credential: to a Secret that the pod lists, if it can."""
        own = [one for one in secrets if one.ownership.controller is None]
        if self.pull.pod and own:
            return self.secret(own[0].name, own[0])
        return self.attach()

    def _after(self, hint: str) -> str:
        return f"{hint}; recreate the pod, which keeps its list" if self.pull.pod else hint


def flags_for(secret: Secret) -> list[str]:
    """Return the flags that `secret create` needs to change *secret*, and to keep its entries."""
    flags = []
    if secret.type != DOCKERCONFIGJSON or secret.immutable:
        flags.append("--replace")
    if not secret.ownership.managed:
        flags.append("--adopt")
    with contextlib.suppress(MalformedError):
        if credentials_of(secret):
            flags.append("--merge")
    return flags


def change_at_source(secret: Secret) -> str:
    """Return the hint for a Secret that a controller would restore."""
    controller = secret.ownership.controller
    return f"change {secret.subject} at its source: {controller} would restore it"


@dataclass(frozen=True)
class AuthFile:
    """
    The auth file of a registry, to explain why it rejects a password.

    Users that expired by *today* (UTC) are locked. *find_reader* returns the program that reads
    it. *secret* is the option that names the Secret which it is uploaded to.
    """

    file: HtpasswdFile
    today: date
    find_reader: Callable[[], AuthFileReader] = lambda: READERS["distribution"]
    secret: str = ""

    @cached_property
    def reader(self) -> AuthFileReader:
        """The program that reads the file."""
        return self.find_reader()

    def explain(self, credential: Credential) -> tuple[str, str | None]:
        """
        Return why its reader rejects *credential*, and the hint for the file.

        Without a hint it is the pull secret that is wrong.
        """
        name = credential.username
        adduser = f"`regctl adduser {shlex.quote(name)}`"
        user = self.file.user(name)
        if user is None:
            return f"the auth file has no user {name}", f"{adduser} adds it"
        if unusable := self._why_unusable(user):
            return unusable
        if not self._matches(credential):
            return f"the auth file has a different password for {name}", None
        if len(user.lines) > 1:
            lines = " and ".join(map(str, user.lines))
            used = "last" if self.reader.used_line(len(user.lines)) else "first"
            return (
                f"{name} is on lines {lines} of the auth file, and the {used} one counts",
                f"{adduser} with the Secret's password leaves one line",
            )
        return (
            "the auth file accepts this password, so the registry reads an older or another file",
            f"`regctl auth push{self.secret}` uploads it to the Secret that is read",
        )

    def _why_unusable(self, user: User) -> tuple[str, str] | None:
        """Return why no password of *user* is accepted, and the hint; or None."""
        name, scheme = shlex.quote(user.name), user.scheme.name
        state = user.state(self.today)
        if state == "locked":
            unlock = f"`regctl auth unlock {name}` unlocks it"
            return f"{user.name} is locked in the auth file", unlock
        if state == "expired":
            renew = f"`regctl adduser {name} --expires never` keeps it active"
            return f"{user.name} expired on {user.expires} in the auth file", renew
        if scheme in self.reader.accepted_schemes:
            return None
        own = self.reader.name == "distribution"
        reader = "the registry" if own else self.reader.name
        return (
            f"its hash is {scheme}, which {reader} does not read",
            f"`regctl adduser {name}` replaces the hash",
        )

    def _matches(self, credential: Credential) -> bool:
        try:
            return self.file.matches(credential.username, credential.password)
        except UnreadableHashError:
            return False
