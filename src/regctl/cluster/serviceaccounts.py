"""
The pull secrets of service accounts.

The API server treats `imagePullSecrets` as one value: a patch that adds an entry replaces the list
or duplicates entries (kubernetes/kubernetes#72475). So the list is read, changed and written as a
whole with the version that was read, and read again if another client was faster.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.resource import SERVICE_ACCOUNTS, check_object_name
from regctl.errors import InvalidInputError, ObjectNotFoundError
from regctl.outcome import DryRun

_EVERY = "all"
_NOT_AVAILABLE = ("used", "policy")
_NAME_PREFIX = "account/"


@dataclass(frozen=True)
class Accounts:
    """The service accounts to attach a Secret to: those *named*, or *every* one."""

    named: tuple[str, ...] = ()
    every: bool = False

    def __bool__(self) -> bool:
        return bool(self.named) or self.every

    @classmethod
    def parse(cls, words: Iterable[str]) -> "Accounts":
        """
        Return the accounts that the words of `--attach` select.

        A word is an account's name, `all`, or `account/NAME` for an account with a reserved name.
        Raises InvalidInputError for another word, also for the reserved `used` and `policy`.
        """
        named = dict.fromkeys(words)
        every = _EVERY in named
        for word in named:
            if word in _NOT_AVAILABLE:
                raise InvalidInputError(
                    f"cannot attach to {word!r}: this version does not support it",
                    hint=f"`{_NAME_PREFIX}{word}` means the service account with this name",
                )
        names = [word.removeprefix(_NAME_PREFIX) for word in named if word != _EVERY]
        for name in names:
            check_object_name(name, "service account")
        return cls(tuple(dict.fromkeys(names)), every)


@dataclass(frozen=True)
class ServiceAccount:
    """
    A service account and the *entries* of its imagePullSecrets, in its order.

    *resource_version* is None if the account has not been read, and its entries are unknown.
    """

    namespace: str
    name: str
    resource_version: str | None = None
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


def list_service_accounts(
    cluster: Cluster, *, namespace: str | None = None, name: str | None = None
) -> Iterator[ServiceAccount]:
    """Return the service accounts of a namespace or of all, with this name or with any."""
    selector = f"metadata.name={name}" if name else None
    items = cluster.list(SERVICE_ACCOUNTS, namespace=namespace, field_selector=selector)
    return map(read_service_account, items)


def attach(
    cluster: Cluster, account: ServiceAccount, secret: str, *, dry_run: DryRun | None = None
) -> bool:
    """
    Add *secret* to an account's pull secrets; return False if it is in the list already.

    Reads the account if it has not been read. Raises ObjectNotFoundError if it does not exist: an
    account is never created.
    """
    return _set_attached(True, cluster, account, secret, dry_run)


def detach(
    cluster: Cluster, account: ServiceAccount, secret: str, *, dry_run: DryRun | None = None
) -> bool:
    """
    Remove *secret* from an account's pull secrets; return False if it is not in the list.

    Reads the account and raises as `attach` does.
    """
    return _set_attached(False, cluster, account, secret, dry_run)


def _set_attached(
    wanted: bool,
    cluster: Cluster,
    account: ServiceAccount,
    secret: str,
    dry_run: DryRun | None,
) -> bool:
    def read() -> ServiceAccount:
        item = cluster.get(SERVICE_ACCOUNTS, account.namespace, account.name)
        if item is None:
            raise ObjectNotFoundError(
                f"cannot change service account {account.name} in namespace {account.namespace}: "
                "it does not exist",
                hint="a new namespace gets its default account a moment later",
            )
        return read_service_account(item)

    def write(current: ServiceAccount) -> bool:
        if (secret in current.pull_secrets) == wanted:
            return False
        if dry_run != "client":
            entries = [entry for entry in current.entries if entry.get("name") != secret]
            patch = {
                "metadata": {"resourceVersion": current.resource_version},
                "imagePullSecrets": [*entries, {"name": secret}] if wanted else entries,
            }
            space, server_only = account.namespace, dry_run == "server"
            cluster.merge_patch(SERVICE_ACCOUNTS, space, account.name, patch, dry_run=server_only)
        return True

    known = account if account.resource_version is not None else read()
    return cluster.retry_on_conflict(write, known, read)
