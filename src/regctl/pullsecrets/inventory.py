"""The pull secrets in the cluster, the service accounts that use them, and their deletion."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.ownership import foreign_object
from regctl.cluster.resource import SECRETS, Namespace
from regctl.cluster.secret import Secret, get_secret, read_secret
from regctl.cluster.serviceaccounts import ServiceAccount, detach, list_service_accounts
from regctl.credentials.credential import Credential
from regctl.credentials.kubelet import kubelet_key
from regctl.errors import (
    ConflictError,
    ForeignObjectError,
    MalformedError,
    NotPermittedError,
    NotStartedError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.outcome import DryRun, Outcome, result_of_error
from regctl.pullsecrets.content import PULL_SECRET_TYPES, credentials_of
from regctl.pullsecrets.rollout import not_started


@dataclass(frozen=True)
class PullSecretUse:
    """A pull secret and the accounts that use it; *accounts* None if they cannot be listed."""

    secret: Secret
    accounts: tuple[ServiceAccount, ...] | None = field(default=None, repr=False)

    @cached_property
    def _content(self) -> Mapping[str, Credential] | MalformedError:
        try:
            return dict(sorted(credentials_of(self.secret).items()))
        except MalformedError as error:
            return error

    @property
    def broken(self) -> str | None:
        """Why the kubelet cannot decode it, or None."""
        return self._content.message if isinstance(self._content, MalformedError) else None

    @property
    def credentials(self) -> Mapping[str, Credential]:
        """The credentials by registry key, sorted; none if the kubelet cannot decode it."""
        return {} if isinstance(self._content, MalformedError) else self._content

    @property
    def registries(self) -> tuple[str, ...]:
        """The registry keys in it."""
        return tuple(self.credentials)

    @property
    def users(self) -> tuple[str, ...]:
        """The users in it, each once."""
        return tuple(dict.fromkeys(one.username for one in self.credentials.values()))

    @property
    def state(self) -> str:
        """`broken`, or its owner: `regctl`, a controller, or the field managers of its data."""
        return "broken" if self.broken else self.secret.ownership.owner


@dataclass(frozen=True)
class Inventory:
    """
    The pull secrets that were found, sorted by namespace and name.

    *errors* has the namespaces that cannot be read. *accounts* are all service accounts of the
    namespaces, or None if they cannot be listed.
    """

    items: tuple[PullSecretUse, ...] = ()
    errors: Mapping[str, RegctlError] = field(default_factory=dict)
    accounts: tuple[ServiceAccount, ...] | None = None

    def for_registry(self, key: str) -> "Inventory":
        """Return only the Secrets with a key that the kubelet reads as *key*."""
        wanted = kubelet_key(key)
        items = tuple(item for item in self.items if wanted in map(kubelet_key, item.registries))
        return replace(self, items=items)

    def unread(self, name: str) -> tuple[Outcome, ...]:
        """Return the outcome of the Secret *name* in each namespace that cannot be read."""
        return tuple(
            Outcome("secret", name, "failed", namespace, error=error)
            for namespace, error in sorted(self.errors.items())
        )

    def missing(self, name: str, namespaces: Iterable[str]) -> tuple[Outcome, ...]:
        """Return the outcome of the Secret *name* in each of *namespaces* that does not have it."""
        known = {item.secret.namespace for item in self.items} | self.errors.keys()
        return tuple(
            Outcome(
                "secret",
                name,
                "failed",
                namespace,
                error=ObjectNotFoundError(f"there is no secret {name} in namespace {namespace}"),
            )
            for namespace in sorted(set(namespaces) - known)
        )


def find_pull_secrets(cluster: Cluster, targets: Targets, name: str | None = None) -> Inventory:
    """Return the pull secrets in the selected namespaces, as `list_pull_secrets` does."""
    spaces = targets.resolve(cluster)
    return list_pull_secrets(cluster, spaces, everywhere=targets.listed, name=name)


def list_pull_secrets(
    cluster: Cluster,
    namespaces: Sequence[Namespace] | None,
    *,
    everywhere: bool,
    name: str | None = None,
    label_selector: str | None = None,
) -> Inventory:
    """
    Return the pull secrets in *namespaces*, and the accounts that use them.

    *everywhere* lists the whole cluster at once, and *namespaces* None then means all. Otherwise
    each namespace gets a LIST, or a GET for a *name*. A Secret of *name* may have any type.
    """
    wanted = None if namespaces is None else {namespace.name for namespace in namespaces}

    def read(namespace: str | None) -> Inventory:
        try:
            return _read(cluster, namespace, name, label_selector)
        except RegctlError as error:
            if namespace is None:
                raise
            return Inventory(errors={namespace: error}, accounts=())

    def selected(namespace: str) -> bool:
        return wanted is None or namespace in wanted

    answers = cluster.run_parallel(read, [None] if everywhere else sorted(wanted or ()))
    parts = [part for _, part in answers if isinstance(part, Inventory)]
    items = [item for part in parts for item in part.items if selected(item.secret.namespace)]
    listed = [part.accounts for part in parts if part.accounts is not None]
    accounts = tuple(one for some in listed for one in some if selected(one.namespace))
    return Inventory(
        tuple(sorted(items, key=lambda item: (item.secret.namespace, item.secret.name))),
        {namespace: error for part in parts for namespace, error in part.errors.items()},
        accounts if len(listed) == len(parts) else None,
    )


def _read(
    cluster: Cluster, namespace: str | None, name: str | None, label_selector: str | None
) -> Inventory:
    secrets = list(_read_secrets(cluster, namespace, name, label_selector))
    accounts: tuple[ServiceAccount, ...] | None = None
    with contextlib.suppress(NotPermittedError):
        accounts = tuple(list_service_accounts(cluster, namespace=namespace))
    users: dict[tuple[str, str], tuple[ServiceAccount, ...]] = {}
    for account in accounts or ():
        for secret in account.pull_secrets:
            key = account.namespace, secret
            users[key] = (*users.get(key, ()), account)
    return Inventory(
        tuple(
            PullSecretUse(s, None if accounts is None else users.get((s.namespace, s.name), ()))
            for s in secrets
        ),
        accounts=accounts,
    )


def _read_secrets(
    cluster: Cluster, namespace: str | None, name: str | None, label_selector: str | None
) -> Iterator[Secret]:
    if namespace is not None and name is not None:
        # A Role for this name alone permits a GET, but no LIST.
        if (secret := get_secret(cluster, namespace, name)) is not None:
            yield secret
        return
    fields = [f"metadata.name={name}"] if name else [f"type={kind}" for kind in PULL_SECRET_TYPES]
    for selector in fields:
        items = cluster.list(
            SECRETS, namespace=namespace, label_selector=label_selector, field_selector=selector
        )
        yield from map(read_secret, items)


# Deletion


def deletable(uses: Iterable[PullSecretUse], *, adopt: bool) -> list[PullSecretUse]:
    """Return those that `delete` would delete, not refuse."""
    return [use for use in uses if _refusal(use, adopt=adopt) is None]


def _refusal(use: PullSecretUse, *, adopt: bool) -> ForeignObjectError | None:
    secret = use.secret
    if secret.type not in PULL_SECRET_TYPES:
        return ForeignObjectError(
            f"cannot delete {secret.subject}: its type is {secret.type}, so it is no pull secret",
            hint=f"`kubectl delete secret {secret.name} -n {secret.namespace}` deletes any Secret",
        )
    return foreign_object(use.secret.subject, use.secret.ownership, verb="delete", adopt=adopt)


def delete(
    cluster: Cluster,
    uses: Iterable[PullSecretUse],
    *,
    adopt: bool = False,
    dry_run: DryRun | None = None,
) -> Iterator[tuple[Outcome, ...]]:
    """
    Detach Secrets from the accounts that use them, then delete them.

    The kubelet would report an error at every pull for an account that lists a missing Secret. A
    Secret that was recreated since *uses* were read is kept. If the API server rejects a part of
    that in a dry run, the Secret and its accounts stay as they are. Yields the outcomes of each
    Secret, in the order they finish.
    """

    def remove(use: PullSecretUse) -> tuple[Outcome, ...]:
        carry_out = partial(_detach_and_delete, cluster, use, adopt=adopt)
        tried = carry_out(dry_run="server") if dry_run is None else ()
        rejected = tuple(outcome for outcome in tried if outcome.error is not None)
        return rejected or tuple(carry_out(dry_run=dry_run))

    for use, outcomes in cluster.run_parallel(remove, list(uses)):
        if isinstance(outcomes, parallel.Interrupted):
            yield (_failed(use, not_started(use.secret.subject)),)
        else:
            yield outcomes


def _detach_and_delete(
    cluster: Cluster, use: PullSecretUse, *, adopt: bool, dry_run: DryRun | None
) -> Iterator[Outcome]:
    secret = use.secret
    if refusal := _refusal(use, adopt=adopt):
        yield _failed(use, refusal)
        return
    for account in use.accounts or ():
        try:
            changed = detach(cluster, account, secret.name, dry_run=dry_run)
        except RegctlError as error:
            yield Outcome("serviceaccount", account.name, "failed", account.namespace, error=error)
            kept = f"{secret.subject} was not deleted: service account {account.name} still uses it"
            yield _failed(use, NotStartedError(kept))
            return
        yield Outcome(
            "serviceaccount",
            account.name,
            "configured" if changed else "unchanged",
            account.namespace,
            note=f"no longer uses {secret.name}",
        )
    try:
        if dry_run != "client":
            server_only = dry_run == "server"
            cluster.delete(
                SECRETS, secret.namespace, secret.name, uid=secret.uid, dry_run=server_only
            )
    except ConflictError:
        message = f"cannot delete {secret.subject}: it was recreated in the meantime"
        yield _failed(use, ConflictError(message, hint="run the same command again"))
    except RegctlError as error:
        yield _failed(use, error)
    else:
        note = None if use.accounts is not None else "service accounts could not be listed"
        yield Outcome("secret", secret.name, "deleted", secret.namespace, note=note)


def _failed(use: PullSecretUse, error: RegctlError) -> Outcome:
    secret, result = use.secret, result_of_error(error)
    return Outcome("secret", secret.name, result, secret.namespace, error=error)
