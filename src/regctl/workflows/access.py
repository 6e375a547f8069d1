"""The pull secrets that hold users who lose access, and the proof that a registry rejects them."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from regctl import parallel
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.credentials.credential import Credential
from regctl.errors import (
    NotAuthenticatedError,
    NotPermittedError,
    PartlyDoneError,
    RegctlError,
)
from regctl.pullsecrets.content import credentials_for
from regctl.pullsecrets.inventory import Inventory, list_pull_secrets
from regctl.pullsecrets.trial import Login, Trial
from regctl.reference import Registry
from regctl.retry import Backoff, attempts
from regctl.workflows.holders import PasswordProofs


@dataclass(frozen=True)
class Holder:
    """A pull secret that has a user; *registry* is None if its key is not one registry's."""

    subject: str
    registry: Registry | None
    credential: Credential


@dataclass(frozen=True)
class Holders:
    """The pull secrets that have a user, and why others could not be read."""

    found: tuple[Holder, ...] = ()
    unseen: tuple[RegctlError, ...] = field(default=(), repr=False)

    def logins(self, name: str) -> list[Login]:
        """Return where the user can be tried, and with what; each once."""
        logins = [
            (holder.registry, holder.credential)
            for holder in self.found
            if holder.registry is not None and holder.credential.username == name
        ]
        return list(dict.fromkeys(logins))


def find_holders(
    cluster: Cluster, targets: Targets, names: Collection[str], file: HtpasswdFile
) -> Holders:
    """
    Return the pull secrets whose password opens *file* for one of the users *names*.

    A name alone proves nothing: it may be another registry's. Without a selection of namespaces all
    are read, those of the system too.
    """
    try:
        found = _read(cluster, targets)
    except NotPermittedError as error:
        return Holders(unseen=(error,))
    holders = [
        Holder(f"{item.secret.namespace}/secret/{item.secret.name}", Registry.find(key), credential)
        for item in found.items
        for key, credential in credentials_for(item.secret, None).items()
        if credential.username in names
    ]
    # A hash that cannot be verified here cannot be ruled out.
    proofs = PasswordProofs(lambda _credential: True)
    proven = proofs.of({one.credential.login for one in holders}, file)
    holders = [one for one in holders if one.credential.login in proven]
    return Holders(tuple(holders), tuple(error for _, error in sorted(found.errors.items())))


def _read(cluster: Cluster, targets: Targets) -> Inventory:
    if not targets.named and not targets.listed:
        return list_pull_secrets(cluster, None, everywhere=True)
    return list_pull_secrets(cluster, targets.resolve(cluster), everywhere=targets.listed)


def wait_until_rejected(
    logins: Collection[Login],
    trial: Trial,
    deadline: float,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Registry]:
    """
    Try the *logins* of one user until a registry rejects one and none accepts one; return which do.

    A registry that does not answer is no proof, and no obstacle: its pull secret may be old.
    *deadline* is a time of `time.monotonic`. Raises PartlyDoneError if it passes.
    """
    answers: dict[Login, RegctlError | None] = {}
    for _ in attempts(Backoff(tries=None, cap=2.0), sleep, deadline=deadline):
        pending = [one for one in logins if not isinstance(answers.get(one), NotAuthenticatedError)]
        answers |= {
            login: answer
            for login, answer in parallel.run(lambda login: trial(*login), pending)
            if not isinstance(answer, parallel.Interrupted)
        }
        rejecting = [
            registry
            for (registry, _), answer in answers.items()
            if isinstance(answer, NotAuthenticatedError)
        ]
        if rejecting and None not in answers.values():
            return rejecting
    (registry, credential), failure = min(answers.items(), key=lambda one: one[1] is not None)
    user = credential.username
    raise PartlyDoneError(
        f"{registry} still accepts the password of {user}"
        if failure is None
        else f"it is not known whether {registry} rejects {user}: {failure.message}",
        hint="check that the registry reads this auth file or auth Secret; it may take a minute",
    )
