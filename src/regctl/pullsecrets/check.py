"""Check whether pull secrets work: as the kubelet reads them, and at their registries."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from regctl import parallel
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import decode_secret
from regctl.credentials.kubelet import kubelet_key
from regctl.errors import InvalidReferenceError, MalformedError, RegctlError
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.inventory import Inventory
from regctl.reference import Registry

Verdict = Literal["ok", "problem", "unknown"]
# Tries a credential at a registry; returns None if it is accepted, else the error.
Trial = Callable[[Registry, Credential], RegctlError | None]
_Trials = Mapping[tuple[Registry, Credential], RegctlError | None]

_PATHS_OF_NO_IMAGE = {"v1", "v2", "v2/_catalog", "_catalog"}


@dataclass(frozen=True)
class Finding:
    """
    The verdict on a Secret, on one of its entries, or on a service account.

    *subject* is `secret/NAME` or `serviceaccount/NAME`. *key* and *username* are those of an entry.
    """

    namespace: str
    subject: str
    verdict: Verdict
    message: str
    key: str | None = None
    username: str | None = None


@dataclass(frozen=True)
class _Entry:
    """An entry that the kubelet would use, to be tried at its registry."""

    secret: Secret
    key: str
    credential: Credential = field(repr=False)

    @property
    def registry(self) -> Registry | None:
        """The registry to try it at, or None for a glob."""
        try:
            return Registry.parse(self.key)
        except InvalidReferenceError:
            return None


def check(
    found: Inventory,
    trial: Trial | None,
    *,
    complete: bool = True,
    workers: int = parallel.DEFAULT_WORKERS,
) -> list[Finding]:
    """
    Return the findings for every Secret in *found*, sorted.

    *trial* is called once for each distinct credential, in parallel; None tries none. *complete*
    says that *found* has all pull secrets of its namespaces, so an account that lists another one
    is a problem.
    """
    findings: list[Finding] = []
    entries: list[_Entry] = []
    for item in found.items:
        problems = list(_problems(item.secret))
        findings += problems
        bad_keys = {problem.key for problem in problems}
        if None not in bad_keys:
            entries += (entry for entry in _entries(item.secret) if entry.key not in bad_keys)
    findings += _blocked(found)
    if complete:
        findings += _dangling(found)
    trials = _try_all(entries, trial, workers) if trial is not None else {}
    findings += (_entry_finding(entry, trials) for entry in entries)
    return sorted(findings, key=lambda f: (f.namespace, f.subject, f.key or "", f.message))


def _problems(secret: Secret) -> Iterator[Finding]:
    """Yield the problems of a Secret that need no registry to be found."""

    def problem(message: str, key: str | None = None) -> Finding:
        return Finding(secret.namespace, f"secret/{secret.name}", "problem", message, key)

    try:
        credentials = decode_secret(secret.type, secret.data, source=secret.name)
    except MalformedError as error:
        yield problem(f"every Pod that lists it fails to pull: {error.message}")
        return
    if credentials is None:
        yield problem(f"the kubelet ignores it: its type is {secret.type}")
        return
    if not credentials:
        yield problem("has no registry")
    for key, credential in sorted(credentials.items()):
        effective = kubelet_key(key)
        if effective is None:
            yield problem("the kubelet ignores the key: it is not an address", key)
        elif effective.partition("/")[2] in _PATHS_OF_NO_IMAGE:
            yield problem("the kubelet reads the end of the key as a path, which no image has", key)
        elif not credential.username or not credential.password:
            yield problem("has no user or no password", key)


def _entries(secret: Secret) -> Iterator[_Entry]:
    for key, credential in sorted(credentials_of(secret).items()):
        yield _Entry(secret, key, credential)


def _blocked(found: Inventory) -> Iterator[Finding]:
    """Yield good Secrets that an account lists with a broken one: then the kubelet reads none."""
    broken = {(i.secret.namespace, i.secret.name) for i in found.items if i.broken}
    for account in found.accounts or ():
        bad = [name for name in account.pull_secrets if (account.namespace, name) in broken]
        good = [name for name in account.pull_secrets if name not in bad]
        for name in good if bad else ():
            yield Finding(
                account.namespace,
                f"secret/{name}",
                "problem",
                f"service account {account.name} also lists {bad[0]}, which cannot be decoded",
            )


def _dangling(found: Inventory) -> Iterator[Finding]:
    """Yield accounts that list a pull secret which does not exist."""
    present = {(item.secret.namespace, item.secret.name) for item in found.items}
    for account in found.accounts or ():
        for name in account.pull_secrets:
            if (account.namespace, name) not in present:
                yield Finding(
                    account.namespace,
                    f"serviceaccount/{account.name}",
                    "problem",
                    f"lists {name}, but no pull secret has this name",
                )


def _try_all(entries: Sequence[_Entry], trial: Trial, workers: int) -> _Trials:
    """Try each distinct credential once."""
    pairs = ((entry.registry, entry.credential) for entry in entries)
    distinct = list(
        dict.fromkeys((registry, credential) for registry, credential in pairs if registry)
    )
    tried = parallel.run(lambda pair: trial(*pair), distinct, workers=workers)
    return {pair: it for pair, it in tried if not isinstance(it, parallel.Interrupted)}


def _entry_finding(entry: _Entry, trials: _Trials) -> Finding:
    registry = entry.registry
    verdict: Verdict = "unknown"
    message = "valid; not tried at the registry"
    if registry is None:
        message = "valid; not tried, because a glob names no single registry"
    elif (registry, entry.credential) in trials:
        error = trials[registry, entry.credential]
        verdict = "ok" if error is None else "problem"
        message = "accepted by the registry" if error is None else error.message
    return Finding(
        entry.secret.namespace,
        f"secret/{entry.secret.name}",
        verdict,
        message,
        entry.key,
        entry.credential.username,
    )
