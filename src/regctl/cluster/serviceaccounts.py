"""
The pull secrets of service accounts.

`imagePullSecrets` is one value to the API server: every way to add an entry but this one replaces
the list or doubles entries (kubernetes/kubernetes#72475). So the list is read, changed and written
whole, with the version that was read, and read again where somebody was faster.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.resource import SERVICE_ACCOUNTS
from regctl.errors import ObjectNotFoundError
from regctl.outcome import DryRun


@dataclass(frozen=True)
class ServiceAccount:
    """A service account and the names of its pull secrets, in its order."""

    namespace: str
    name: str
    resource_version: str
    entries: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def pull_secrets(self) -> tuple[str, ...]:
        """The names of its pull secrets."""
        return tuple(str(entry.get("name", "")) for entry in self.entries)


def read_service_account(item: Mapping[str, Any]) -> ServiceAccount:
    """Return the service account that the API server's object describes."""
    metadata = item["metadata"]
    return ServiceAccount(
        metadata["namespace"],
        metadata["name"],
        metadata.get("resourceVersion", ""),
        tuple(item.get("imagePullSecrets") or ()),
    )


def service_accounts(
    cluster: Cluster, *, namespace: str | None = None, name: str | None = None
) -> Iterator[ServiceAccount]:
    """Yield service accounts: of a namespace or of all, with this name or with any."""
    selector = f"metadata.name={name}" if name else None
    for item in cluster.objects(SERVICE_ACCOUNTS, namespace=namespace, field_selector=selector):
        yield read_service_account(item)


def attach(
    cluster: Cluster,
    namespace: str,
    name: str,
    secret: str,
    *,
    known: ServiceAccount | None = None,
    dry_run: DryRun | None = None,
) -> bool:
    """
    Add *secret* to an account's pull secrets; return False if it is in the list already.

    *known* saves the first read. Raises ObjectNotFoundError if the account does not exist: an
    account is never created.
    """

    def added(account: ServiceAccount) -> list[Mapping[str, Any]] | None:
        if secret in account.pull_secrets:
            return None
        return [*account.entries, {"name": secret}]

    return _change(cluster, namespace, name, added, known=known, dry_run=dry_run)


def detach(
    cluster: Cluster,
    namespace: str,
    name: str,
    secret: str,
    *,
    known: ServiceAccount | None = None,
    dry_run: DryRun | None = None,
) -> bool:
    """Remove *secret* from an account's pull secrets; return False if it is not in the list."""

    def removed(account: ServiceAccount) -> list[Mapping[str, Any]] | None:
        if secret not in account.pull_secrets:
            return None
        return [entry for entry in account.entries if entry.get("name") != secret]

    return _change(cluster, namespace, name, removed, known=known, dry_run=dry_run)


def _change(
    cluster: Cluster,
    namespace: str,
    name: str,
    changed: Callable[[ServiceAccount], list[Mapping[str, Any]] | None],
    *,
    known: ServiceAccount | None,
    dry_run: DryRun | None,
) -> bool:
    def read() -> ServiceAccount:
        item = cluster.get(SERVICE_ACCOUNTS, namespace, name)
        if item is None:
            raise ObjectNotFoundError(
                f"cannot change service account {name} in namespace {namespace}: it does not exist",
                hint="a new namespace gets its default account a moment later",
            )
        return read_service_account(item)

    def write(account: ServiceAccount) -> bool:
        entries = changed(account)
        if entries is None:
            return False
        if dry_run != "client":
            patch = {
                "metadata": {"resourceVersion": account.resource_version},
                "imagePullSecrets": entries,
            }
            cluster.merge(SERVICE_ACCOUNTS, namespace, name, patch, dry_run=dry_run == "server")
        return True

    return cluster.retry_on_conflict(write, known or read(), read)
