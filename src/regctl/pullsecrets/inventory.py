"""The pull secrets that are in the cluster, who uses them, and their removal."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import foreign_object
from regctl.cluster.resource import SECRETS, Namespace
from regctl.cluster.secret import Secret, read_secret
from regctl.cluster.serviceaccounts import ServiceAccount, detach, service_accounts
from regctl.errors import (
    ConflictError,
    ForeignObjectError,
    MalformedError,
    NotPermittedError,
    NotStartedError,
    RegctlError,
)
from regctl.outcome import DryRun
from regctl.pullsecrets.content import PULL_SECRET_TYPES, credentials_of
from regctl.pullsecrets.rollout import Outcome


@dataclass(frozen=True)
class Item:
    """One pull secret and the accounts that use it; *accounts* None where they can't be listed."""

    secret: Secret
    accounts: tuple[ServiceAccount, ...] | None = field(default=None, repr=False)

    @cached_property
    def broken(self) -> str | None:
        """Why the kubelet can't read it, or None."""
        try:
            _ = credentials_of(self.secret)
        except MalformedError as error:
            return error.message
        return None

    @property
    def registries(self) -> tuple[str, ...]:
        """The registry keys in it."""
        return () if self.broken else tuple(sorted(credentials_of(self.secret)))

    @property
    def users(self) -> tuple[str, ...]:
        """The users in it, each once."""
        if self.broken:
            return ()
        named = (credentials_of(self.secret)[key].username for key in self.registries)
        return tuple(dict.fromkeys(named))

    @property
    def account_names(self) -> tuple[str, ...] | None:
        """The names of the accounts that use it."""
        if self.accounts is None:
            return None
        return tuple(account.name for account in self.accounts)

    @property
    def state(self) -> str:
        """`broken`, `ours`, or whose it is."""
        if self.broken:
            return "broken"
        ownership = self.secret.ownership
        return "ours" if ownership.owner == "regctl" else f"of {ownership.owner}"


@dataclass(frozen=True)
class Inventory:
    """What was found, sorted by namespace and name, and the namespaces that can't be looked at."""

    items: tuple[Item, ...] = ()
    errors: Mapping[str, RegctlError] = field(default_factory=dict)
    accounts: tuple[ServiceAccount, ...] | None = None


def inventory(
    cluster: Cluster,
    namespaces: Sequence[Namespace] | None,
    *,
    everywhere: bool,
    name: str | None = None,
    label_selector: str | None = None,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Inventory:
    """
    Return the pull secrets in *namespaces*, and the accounts that use them.

    *everywhere* lists the whole cluster at once, and *namespaces* None then means all that is
    found; else there is a LIST in each namespace, or with a *name* a GET. A Secret of *name* is
    returned whatever its type.
    """
    wanted = {namespace.name for namespace in namespaces or ()}
    secrets: list[Secret] = []
    accounts: list[ServiceAccount] | None = []
    errors: dict[str, RegctlError] = {}
    if everywhere:
        found = _secrets(cluster, None, name, label_selector)
        secrets += (s for s in found if namespaces is None or s.namespace in wanted)
        accounts = _accounts(cluster, None)
    else:

        def look(namespace: str) -> "_Look | RegctlError":
            try:
                found = tuple(_secrets(cluster, namespace, name, label_selector))
                return _Look(found, _accounts(cluster, namespace))
            except RegctlError as error:
                return error

        for namespace, seen in parallel.run(
            look, sorted(wanted), workers=workers, stop=cluster.stop
        ):
            if isinstance(seen, RegctlError):
                errors[namespace] = seen
            elif isinstance(seen, _Look):
                secrets += seen.secrets
                known = accounts is not None and seen.accounts is not None
                accounts = [*(accounts or ()), *(seen.accounts or ())] if known else None
    used: dict[tuple[str, str], list[ServiceAccount]] = {}
    for account in accounts or ():
        for pull_secret in account.pull_secrets:
            used.setdefault((account.namespace, pull_secret), []).append(account)
    return Inventory(
        tuple(
            Item(
                secret,
                None if accounts is None else tuple(used.get((secret.namespace, secret.name), ())),
            )
            for secret in sorted(secrets, key=lambda secret: (secret.namespace, secret.name))
        ),
        errors,
        None
        if accounts is None
        else tuple(a for a in accounts if namespaces is None or a.namespace in wanted),
    )


@dataclass(frozen=True)
class _Look:
    secrets: tuple[Secret, ...]
    accounts: "list[ServiceAccount] | None"


def _secrets(
    cluster: Cluster, namespace: str | None, name: str | None, label_selector: str | None
) -> Iterator[Secret]:
    if namespace is not None and name is not None:
        # A GET needs a Role for this name alone.
        if (item := cluster.get(SECRETS, namespace, name)) is not None:
            yield read_secret(item)
        return
    fields = [f"metadata.name={name}"] if name else [f"type={kind}" for kind in PULL_SECRET_TYPES]
    for field_selector in fields:
        for item in cluster.objects(
            SECRETS,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
        ):
            yield read_secret(item)


def _accounts(cluster: Cluster, namespace: str | None) -> list[ServiceAccount] | None:
    with contextlib.suppress(NotPermittedError):
        return list(service_accounts(cluster, namespace=namespace))
    return None


def deletable(item: Item, *, adopt: bool) -> ForeignObjectError | None:
    """Return why the Secret must not be deleted, or None."""
    return foreign_object(item.secret.subject, item.secret.ownership, verb="delete", adopt=adopt)


def delete(
    cluster: Cluster,
    items: Iterable[Item],
    *,
    adopt: bool = False,
    dry_run: DryRun | None = None,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Iterator[tuple[Outcome, ...]]:
    """
    Delete Secrets, each detached first from the accounts that use it.

    A dangling name on an account has the kubelet complain at every pull. Only the very objects
    that were looked at are deleted. Yields what became of each, in the order they finish.
    """

    def remove(item: Item) -> tuple[Outcome, ...]:
        return tuple(_removed(cluster, item, adopt=adopt, dry_run=dry_run))

    listed = list(items)
    for item, outcomes in parallel.run(remove, listed, workers=workers, stop=cluster.stop):
        if isinstance(outcomes, parallel.Interrupted):
            error = NotStartedError(
                f"{item.secret.subject} was not begun", hint="run the same command again"
            )
            yield (_outcome(item, error),)
        else:
            yield outcomes


def _removed(
    cluster: Cluster, item: Item, *, adopt: bool, dry_run: DryRun | None
) -> Iterator[Outcome]:
    secret = item.secret
    if refusal := deletable(item, adopt=adopt):
        yield _outcome(item, refusal)
        return
    for account in item.accounts or ():
        try:
            changed = detach(
                cluster,
                account.namespace,
                account.name,
                secret.name,
                known=account,
                dry_run=dry_run,
            )
        except RegctlError as error:
            yield Outcome("serviceaccount", account.namespace, account.name, "failed", error=error)
            yield _outcome(
                item,
                NotStartedError(
                    f"{secret.subject} is still there: service account {account.name} uses it"
                ),
            )
            return
        yield Outcome(
            "serviceaccount",
            account.namespace,
            account.name,
            "configured" if changed else "unchanged",
            note=f"no longer uses {secret.name}",
        )
    try:
        if dry_run != "client":
            cluster.delete(
                SECRETS,
                secret.namespace,
                secret.name,
                uid=secret.uid,
                dry_run=dry_run == "server",
            )
    except ConflictError:
        anew = f"cannot delete {secret.subject}: it was made anew meanwhile"
        yield _outcome(item, ConflictError(anew, hint="run the same command again"))
    except RegctlError as error:
        yield _outcome(item, error)
    else:
        note = None if item.accounts is not None else "accounts could not be looked at"
        yield Outcome("secret", secret.namespace, secret.name, "deleted", note=note)


def _outcome(item: Item, error: RegctlError) -> Outcome:
    refused = isinstance(error, ForeignObjectError)
    return Outcome(
        "secret",
        item.secret.namespace,
        item.secret.name,
        "refused" if refused else "failed",
        error=error,
    )
