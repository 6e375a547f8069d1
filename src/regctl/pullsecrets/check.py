"""Check whether pull secrets work: as the kubelet reads them, and at their registries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from regctl import parallel
from regctl.cluster.secret import Secret
from regctl.errors import MalformedError, RegctlError
from regctl.pullsecrets.content import entries_of
from regctl.pullsecrets.inventory import Inventory
from regctl.pullsecrets.trial import Login, Trial
from regctl.reference import Registry

Verdict = Literal["ok", "problem", "unknown"]
# Who may write one Secret must not keep the check busy for hours.
_MAX_TRIALS = 20
_Trials = Mapping[Login, RegctlError | None]


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
    findings = [*_blocked(found), *(_dangling(found) if complete else ())]
    inspected = [pair for item in found.items for pair in _inspect(item.secret)]
    logins = list(dict.fromkeys(login for _, login in inspected if login is not None))
    trials = _try_all(logins, trial, workers) if trial is not None else {}
    for finding, login in inspected:
        if login is None or login not in trials:
            findings.append(finding)
        elif error := trials[login]:
            findings.append(replace(finding, verdict="problem", message=error.message))
        else:
            findings.append(replace(finding, verdict="ok", message="accepted by the registry"))
    return sorted(findings, key=lambda f: (f.namespace, f.subject, f.key or "", f.message))


def _inspect(secret: Secret) -> Iterator[tuple[Finding, Login | None]]:
    """Yield each finding on a Secret, and the login whose trial at its registry decides it."""
    problem = Finding(secret.namespace, f"secret/{secret.name}", "problem", "has no registry")
    try:
        entries = entries_of(secret)
    except MalformedError as error:
        message = f"every Pod that lists it fails to pull: {error.message}"
        yield replace(problem, message=message), None
        return
    if entries is None:
        message = f"the kubelet ignores it: its type is {secret.type}"
        yield replace(problem, message=message), None
    elif not entries:
        yield problem, None
    for number, entry in enumerate(entries or ()):
        key, credential = entry.key, entry.credential
        if entry.fault:
            yield replace(problem, message=entry.fault, key=key), None
            continue
        registry = Registry.find(key)
        why = " at the registry" if registry else ", because a glob names no single registry"
        if number >= _MAX_TRIALS:
            registry, why = None, f": only the first {_MAX_TRIALS} entries of a Secret are"
        valid = replace(problem, verdict="unknown", message=f"valid; not tried{why}", key=key)
        login = (registry, credential) if registry else None
        yield replace(valid, username=credential.username), login


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


def _try_all(logins: Sequence[Login], trial: Trial, workers: int) -> _Trials:
    tried = parallel.run(lambda login: trial(*login), logins, workers=workers)
    return {login: it for login, it in tried if not isinstance(it, parallel.Interrupted)}
