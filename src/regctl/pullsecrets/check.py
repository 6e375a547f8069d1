"""Whether pull secrets work: as the kubelet reads them, and at their registries."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.resource import SECRETS, SERVICE_ACCOUNTS
from regctl.cluster.secret import read_secret
from regctl.cluster.serviceaccounts import ServiceAccount, read_service_account
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import decode_secret
from regctl.credentials.kubelet import KubeletKeyring, Match, kubelet_key
from regctl.errors import (
    InvalidReferenceError,
    MalformedError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.pullsecrets.content import credentials_of, kubelet_data
from regctl.pullsecrets.inventory import Inventory, Item
from regctl.reference import ImageReference, Registry

Verdict = Literal["ok", "problem", "unknown"]
# Tries a credential at a registry: None where it is accepted, else why not.
Trial = Callable[[Registry, Credential], RegctlError | None]


@dataclass(frozen=True)
class Finding:
    """What is to be said of one entry of a Secret, of a Secret, or of an account."""

    namespace: str
    subject: str
    verdict: Verdict
    what: str
    key: str | None = None
    username: str | None = None


@dataclass(frozen=True)
class _Entry:
    """An entry that the kubelet would use, to be tried at its registry."""

    item: Item
    key: str
    credential: Credential = field(repr=False)

    @property
    def registry(self) -> Registry | None:
        """Where to try it; None for a glob, which is no single registry."""
        try:
            return Registry.parse(self.key)
        except InvalidReferenceError:
            return None


def check(
    found: Inventory,
    trial: Trial | None,
    *,
    whole: bool = True,
    workers: int = parallel.DEFAULT_WORKERS,
) -> list[Finding]:
    """
    Return what is to be said of every Secret in *found*, sorted.

    Each distinct credential goes to its registry once, by *trial* and in parallel; None tries
    none. *whole* says that *found* has all pull secrets of its namespaces, so that an account's
    list can be checked against it.
    """
    findings: list[Finding] = []
    entries: list[_Entry] = []
    for item in found.items:
        problems = list(_problems(item))
        findings += problems
        wrong = {problem.key for problem in problems}
        if None not in wrong:
            entries += (entry for entry in _entries(item) if entry.key not in wrong)
    findings += _shadowed(found)
    if whole:
        findings += _dangling(found)
    verdicts = _tried(entries, trial, workers)
    findings += (_told(entry, verdicts) for entry in entries)
    return sorted(findings, key=lambda f: (f.namespace, f.subject, f.key or "", f.what))


def _problems(item: Item) -> Iterator[Finding]:
    """Yield what is wrong with a Secret whatever the registry says."""
    secret = item.secret
    subject = f"secret/{secret.name}"

    def problem(what: str, key: str | None = None) -> Finding:
        return Finding(secret.namespace, subject, "problem", what, key)

    try:
        credentials = decode_secret(secret.type, secret.data, source=secret.name)
    except MalformedError as error:
        why = error.message.removeprefix("cannot read ")
        yield problem(f"cannot be decoded, and every pod that lists it fails to pull: {why}")
        return
    if credentials is None:
        yield problem(f"is no pull secret to the kubelet: its type is {secret.type}")
        return
    if not credentials:
        yield problem("holds no registry")
    for key, credential in sorted(credentials.items()):
        effective = kubelet_key(key)
        if effective is None:
            yield problem("the key is no address, and the kubelet ignores it", key)
        elif effective.partition("/")[2] in {"v1", "v2", "v2/_catalog", "_catalog"}:
            yield problem(
                "the kubelet takes the end of the key for a path, and no image has it", key
            )
        elif not credential.username or not credential.password:
            yield problem("holds no user or no password", key)


def _entries(item: Item) -> Iterator[_Entry]:
    for key, credential in sorted(credentials_of(item.secret).items()):
        yield _Entry(item, key, credential)


def _shadowed(found: Inventory) -> Iterator[Finding]:
    """Yield Secrets that an account lists beside a broken one: the kubelet reads all or none."""
    broken = {(i.secret.namespace, i.secret.name) for i in found.items if i.broken}
    for account in found.accounts or ():
        bad = [name for name in account.pull_secrets if (account.namespace, name) in broken]
        good = [name for name in account.pull_secrets if name not in bad]
        for name in good if bad else ():
            yield Finding(
                account.namespace,
                f"secret/{name}",
                "problem",
                f"is spoilt by {bad[0]}, which service account {account.name} lists beside it",
            )


def _dangling(found: Inventory) -> Iterator[Finding]:
    """Yield accounts that name a pull secret which is not there."""
    present = {(item.secret.namespace, item.secret.name) for item in found.items}
    for account in found.accounts or ():
        for name in account.pull_secrets:
            if (account.namespace, name) not in present:
                yield Finding(
                    account.namespace,
                    f"serviceaccount/{account.name}",
                    "problem",
                    f"lists {name}, and there is no pull secret of this name",
                )


def _tried(
    entries: Iterable[_Entry], trial: Trial | None, workers: int
) -> dict[tuple[Registry, Credential], RegctlError | None]:
    """Try each distinct credential once."""
    if trial is None:
        return {}
    distinct = list(
        dict.fromkeys((e.registry, e.credential) for e in entries if e.registry is not None)
    )

    def one(pair: tuple[Registry, Credential]) -> RegctlError | None:
        return trial(*pair)

    tried = parallel.run(one, distinct, workers=workers)
    return {pair: it for pair, it in tried if not isinstance(it, parallel.Interrupted)}


def _told(
    entry: _Entry, verdicts: dict[tuple[Registry, Credential], RegctlError | None]
) -> Finding:
    secret, registry = entry.item.secret, entry.registry
    verdict: Verdict = "unknown"
    what = "reads well; not tried at the registry"
    if registry is None:
        what = "reads well; a glob is no single registry to try it at"
    elif (registry, entry.credential) in verdicts:
        error = verdicts[registry, entry.credential]
        verdict = "ok" if error is None else "problem"
        what = "accepted by the registry" if error is None else error.message
    return Finding(
        secret.namespace,
        f"secret/{secret.name}",
        verdict,
        what,
        entry.key,
        entry.credential.username,
    )


# One image


@dataclass(frozen=True)
class Explanation:
    """What the kubelet would try for an image, in its order, and what it would stumble over."""

    image: ImageReference
    namespace: str
    account: str
    matches: tuple[Match, ...]
    problems: tuple[str, ...] = ()


def explain(
    cluster: Cluster, image: ImageReference, namespace: str, account: str = "default"
) -> Explanation:
    """
    Say which Secret and entry the kubelet would use for *image* in a pod of *account*.

    Of the account's own list, which a pod gets when it is made and lists none itself. Raises
    ObjectNotFoundError where there is no such account.
    """
    item = cluster.get(SERVICE_ACCOUNTS, namespace, account)
    if item is None:
        raise ObjectNotFoundError(f"there is no service account {account} in namespace {namespace}")
    listed: ServiceAccount = read_service_account(item)
    problems: list[str] = []
    contents = []
    for name in listed.pull_secrets:
        found = cluster.get(SECRETS, namespace, name)
        if found is None:
            problems.append(f"secret {name} is listed and not there")
            continue
        secret = read_secret(found)
        try:
            if decode_secret(secret.type, secret.data, source=secret.name) is None:
                problems.append(f"secret {name} is passed over: its type is {secret.type}")
        except MalformedError as error:
            why = error.message.removeprefix("cannot read ")
            problems.append(f"secret {name} spoils the pull: {why}")
        contents.append(kubelet_data(secret))
    matches: tuple[Match, ...] = ()
    try:
        matches = KubeletKeyring.of(contents).lookup(f"{image.registry}/{image.repository}")
    except MalformedError:
        # Told above, by name: with one that does not decode the kubelet uses none.
        matches = ()
    return Explanation(image, namespace, account, matches, tuple(problems))
