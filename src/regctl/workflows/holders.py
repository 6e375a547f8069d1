"""The entries of pull secrets that name a registry's user, and whether their passwords work."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from regctl import parallel
from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.errors import NotPermittedError, RegctlError, UnreadableHashError
from regctl.pullsecrets.content import credentials_for, serves
from regctl.pullsecrets.inventory import list_pull_secrets
from regctl.pullsecrets.update import obstacle
from regctl.reference import Registry

# Each takes a tenth of a second to verify, and one Secret can have twenty thousand.
_MAX_PASSWORDS = 20


@dataclass(frozen=True)
class Survey:
    """
    The pull secrets of the cluster, and the *selected* namespaces, whose Secrets may be changed.

    *unseen* is why pull secrets in other namespaces could not be read, or None. *unreadable* are
    the errors of selected namespaces.
    """

    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    selected: frozenset[str] = frozenset()
    unseen: RegctlError | None = None
    unreadable: tuple[RegctlError, ...] = ()


def survey(cluster: Cluster, targets: Targets, *, beyond: bool = True) -> Survey:
    """
    Read the pull secrets of *targets*, and with *beyond* all others too, if the user may.

    Raises the errors of `Targets.resolve`.
    """
    spaces = targets.resolve(cluster)
    unseen: RegctlError | None = None
    try:
        wanted, everywhere = (None, True) if beyond else (spaces, targets.listed)
        found = list_pull_secrets(cluster, wanted, everywhere=everywhere)
    except NotPermittedError as error:
        unseen = error if beyond else None
        found = list_pull_secrets(cluster, spaces, everywhere=False)
    return Survey(
        tuple(item.secret for item in found.items),
        frozenset(space.name for space in spaces),
        unseen,
        tuple(error for _, error in sorted(found.errors.items())),
    )


@dataclass(frozen=True)
class Holder:
    """
    An entry of a pull secret, under *key*, that names a user of the registry.

    *obstacle* is why it is not to be updated, or None. *selected* is whether its namespace is.
    """

    secret: Secret = field(repr=False)
    key: str
    credential: Credential
    obstacle: RegctlError | None = None
    selected: bool = True

    @property
    def subject(self) -> str:
        """`team-a/secret/registry.foo.com`."""
        return f"{self.secret.namespace}/secret/{self.secret.name}"

    @property
    def registry(self) -> Registry | None:
        """The registry that the key names, or None if it is not just one."""
        return Registry.find(self.key)

    @property
    def user(self) -> str:
        """The user's name."""
        return self.credential.username


def holders_of(
    names: Iterable[str], registry: Registry | None, seen: Survey, *, adopt: bool = False
) -> Iterator[Holder]:
    """
    Yield the entries for *registry* that name one of the users, whatever their passwords.

    None is any registry. Of one Secret those with the first 20 passwords count.
    """
    wanted = set(names)
    for secret in seen.secrets:
        selected = secret.namespace in seen.selected
        reason = obstacle(secret, adopt=adopt)
        if not selected:
            reason = RegctlError(
                f"{secret.subject} is not in the selected namespaces",
                hint=f"`-n {secret.namespace}` selects it",
            )
        passwords: set[str] = set()
        for key, credential in credentials_for(secret).items():
            if credential.username in wanted and (registry is None or serves(key, registry)):
                passwords.add(credential.password)
                if len(passwords) > _MAX_PASSWORDS:
                    break
                yield Holder(secret, key, credential, reason, selected)


Proof = Literal["current", "previous"]
_Login = tuple[str, str]


@dataclass
class PasswordProofs:
    """
    Which passwords open an auth file; each is verified once, since that is slow on purpose.

    *accepts* asks the registry, for hashes that cannot be verified here.
    """

    accepts: Callable[[Credential], bool]
    _verified: dict[tuple[str, str, str], bool] = field(default_factory=dict, repr=False)

    def of(self, logins: Collection[_Login], users: HtpasswdFile) -> dict[_Login, Proof]:
        """Return for each login that works, or worked before a rotation, by which hash it does."""
        known = {name: (users.hashes(name), users.previous(name)) for name, _ in logins}
        wanted = {
            (name, password, hash_)
            for name, password in logins
            for hash_ in (*known[name][0], *known[name][1])
        }
        unknown = sorted(wanted - self._verified.keys())
        for trial, works in parallel.run(lambda trial: self._verify(*trial), unknown):
            if isinstance(works, bool):
                self._verified[trial] = works
        found: dict[_Login, Proof] = {}
        for name, password in logins:
            proofs: tuple[Proof, Proof] = ("previous", "current")
            for proof, present in zip(proofs, reversed(known[name]), strict=True):
                if any(self._verified[name, password, hash_] for hash_ in present):
                    found[name, password] = proof
        return found

    def _verify(self, name: str, password: str, hash_: str) -> bool:
        try:
            return hashes.verify(password, hash_)
        except UnreadableHashError:
            return self.accepts(Credential(name, password))


def proven_holders(names: Iterable[str], seen: Survey, users: HtpasswdFile) -> list[Holder]:
    """
    Return the entries whose password opens the auth file for one of the users *names*.

    A name alone proves nothing: it may be another registry's.
    """
    found = list(holders_of(names, None, seen))
    # A hash that cannot be verified here cannot be ruled out.
    proofs = PasswordProofs(lambda _credential: True)
    proven = proofs.of({one.credential.login for one in found}, users)
    return [one for one in found if one.credential.login in proven]
