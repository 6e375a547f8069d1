"""
Bring pull secrets to namespaces: look, plan, and carry the plan out in parallel.

With the right to list, one request finds all namespaces and one all Secrets of the name, so that a
run with nothing to do is two requests for any number of namespaces up to a page. Without it there
is one request for each namespace that was named.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import PART_OF
from regctl.cluster.resource import (
    NAMESPACES,
    SECRETS,
    Namespace,
    check_namespace,
    check_object_name,
)
from regctl.cluster.secret import Secret, read_secret
from regctl.cluster.serviceaccounts import ServiceAccount, attach, service_accounts
from regctl.credentials.credential import Credential
from regctl.errors import (
    ConflictError,
    FieldOwnedError,
    ForeignObjectError,
    ImmutableError,
    NotPermittedError,
    NotStartedError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.outcome import DryRun
from regctl.pullsecrets.plan import (
    LEAVE_FOREIGN,
    Change,
    Difference,
    Observed,
    PullSecret,
    TakeoverPolicy,
    copied_credentials,
    plan,
    plan_one,
)

# From here on one LIST of the whole cluster costs less than a GET for each.
_FEW = 8
_CONFLICT_TRIES = 5


Result = Literal["created", "configured", "unchanged", "deleted", "skipped", "refused", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one object in one namespace."""

    kind: Literal["secret", "serviceaccount"]
    namespace: str
    name: str
    result: Result
    note: str | None = None
    error: RegctlError | None = None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Accounts:
    """Which service accounts shall use the Secret: those *named*, or *every* one."""

    named: tuple[str, ...] = ()
    every: bool = False

    def __bool__(self) -> bool:
        return bool(self.named) or self.every


NO_ACCOUNTS = Accounts()


@dataclass(frozen=True)
class Rollout:
    """
    One pull secret on its way into namespaces.

    `changes` is the plan; `run` carries it out. Both speak of the same namespaces in the same
    words.
    """

    cluster: Cluster = field(repr=False)
    desired: PullSecret
    observed: Observed = field(repr=False)
    policy: TakeoverPolicy = LEAVE_FOREIGN
    accounts: Accounts = NO_ACCOUNTS
    known_accounts: Mapping[str, tuple[ServiceAccount, ...]] | None = field(
        default=None, repr=False
    )
    workers: int = parallel.DEFAULT_WORKERS

    @property
    def changes(self) -> list[Change]:
        """What each namespace needs, sorted by namespace."""
        return plan(self.desired, self.observed, self.policy)

    def run(self, dry_run: DryRun | None = None) -> Iterator[tuple[Outcome, ...]]:
        """
        Carry the plan out; yield what became of each namespace, in the order they finish.

        An error in one namespace is its outcome and stops no other. On Ctrl-C every namespace is
        still answered for, those not begun with NotStartedError, before KeyboardInterrupt.
        """
        spaces = {namespace.name: namespace for namespace in self.observed.namespaces}
        changes = self.changes
        quick = [change for change in changes if not self._has_work(change, dry_run)]
        yield from ((self._told(change),) for change in quick)
        work = [change for change in changes if self._has_work(change, dry_run)]

        def carry_out(change: Change) -> tuple[Outcome, ...]:
            return self._carry_out(spaces[change.namespace], change, dry_run)

        for change, outcomes in parallel.run(
            carry_out, work, workers=self.workers, stop=self.cluster.stop
        ):
            if isinstance(outcomes, parallel.Interrupted):
                yield (self._outcome(change, "failed", error=_unfinished(self, change)),)
            else:
                yield outcomes

    def _has_work(self, change: Change, dry_run: DryRun | None) -> bool:
        if change.action in {"skip", "refuse"}:
            return False
        if self.accounts:
            return True
        if dry_run == "client":
            return change.action == "create"
        return change.action != "unchanged"

    def _told(self, change: Change) -> Outcome:
        """Return the outcome of a change for which nothing is to be sent."""
        results: dict[str, Result] = {
            "create": "created",
            "update": "configured",
            "replace": "configured",
            "unchanged": "unchanged",
            "skip": "skipped",
        }
        if change.error is not None:
            ours = not isinstance(change.error, ForeignObjectError | ImmutableError)
            result: Result = "failed" if ours else "refused"
            return self._outcome(change, result, error=change.error)
        return self._outcome(change, results[change.action], note=change.note)

    def _outcome(
        self,
        change: Change,
        result: Result,
        *,
        note: str | None = None,
        error: RegctlError | None = None,
    ) -> Outcome:
        return Outcome(
            "secret",
            change.namespace,
            self.desired.name,
            result,
            note,
            error,
            change.differences,
        )

    def _carry_out(
        self, namespace: Namespace, change: Change, dry_run: DryRun | None
    ) -> tuple[Outcome, ...]:
        try:
            outcome = self._settle(namespace, change, dry_run)
        except (ForeignObjectError, ImmutableError, FieldOwnedError) as error:
            outcome = self._outcome(change, "refused", error=error)
        except RegctlError as error:
            outcome = self._outcome(change, "failed", error=error)
        if outcome.error is not None or not self.accounts:
            return (outcome,)
        return (outcome, *self._attach_all(namespace.name, dry_run))

    def _settle(self, namespace: Namespace, change: Change, dry_run: DryRun | None) -> Outcome:
        """Carry one change out; look and plan anew where somebody was faster."""
        tries = 0
        while True:
            if change.action in {"unchanged", "skip", "refuse"}:
                return self._told(change)
            if dry_run == "client":
                if change.action == "create" and not namespace.seen:
                    self._must_exist(namespace.name)
                return self._told(change)
            try:
                return self._apply(change, dry_run)
            except ConflictError:
                tries += 1
                if tries == _CONFLICT_TRIES:
                    raise
            item = self.cluster.get(SECRETS, namespace.name, self.desired.name)
            secret = read_secret(item) if item is not None else None
            change = plan_one(self.desired, namespace, secret, self.policy)

    def _apply(self, change: Change, dry_run: DryRun | None) -> Outcome:
        server_only = dry_run == "server"
        old = change.observed
        part = old.labels.get(PART_OF) if old is not None else None
        manifest = self.desired.manifest(change.namespace, change.content, part)
        if change.action == "replace" and old is not None:
            self.cluster.delete(SECRETS, old.namespace, old.name, uid=old.uid, dry_run=server_only)
            if server_only:
                return self._told(change)
            self.cluster.apply(SECRETS, manifest)
            return self._told(change)
        if old is not None:
            # Only the very object that was looked at, as it was then.
            manifest["metadata"] |= {"uid": old.uid, "resourceVersion": old.resource_version}
        answer = self.cluster.apply(SECRETS, manifest, force=old is not None, dry_run=server_only)
        result: Result = "created" if answer.status == 201 else "configured"
        return self._outcome(change, result, note=change.note)

    def _must_exist(self, namespace: str) -> None:
        """Raise NamespaceMissingError where a namespace is known not to be there."""
        with contextlib.suppress(NotPermittedError):
            self.cluster.get(NAMESPACES, None, namespace)

    def _attach_all(self, namespace: str, dry_run: DryRun | None) -> Iterator[Outcome]:
        known = None if self.known_accounts is None else self.known_accounts.get(namespace, ())
        names = list(self.accounts.named)
        if self.accounts.every:
            try:
                if known is None:
                    known = tuple(service_accounts(self.cluster, namespace=namespace))
            except RegctlError as error:
                yield Outcome("serviceaccount", namespace, "*", "failed", error=error)
                return
            names = sorted({account.name for account in known} | set(names))
        by_name = {account.name: account for account in known or ()}
        for name in names:
            yield self._attach(namespace, name, by_name.get(name), dry_run)

    def _attach(
        self, namespace: str, name: str, known: ServiceAccount | None, dry_run: DryRun | None
    ) -> Outcome:
        try:
            changed = attach(
                self.cluster,
                namespace,
                name,
                self.desired.name,
                known=known,
                dry_run=dry_run,
            )
        except RegctlError as error:
            return Outcome("serviceaccount", namespace, name, "failed", error=error)
        if not changed:
            return Outcome("serviceaccount", namespace, name, "unchanged")
        difference = Difference(f"does not use {self.desired.name}")
        return Outcome("serviceaccount", namespace, name, "configured", differences=(difference,))


def prepare(
    cluster: Cluster,
    desired: PullSecret,
    namespaces: Sequence[Namespace],
    *,
    policy: TakeoverPolicy = LEAVE_FOREIGN,
    accounts: Accounts = NO_ACCOUNTS,
    workers: int = parallel.DEFAULT_WORKERS,
) -> Rollout:
    """Look at what is there and return the rollout of *desired* into *namespaces*."""
    return Rollout(
        cluster,
        desired,
        Observed(tuple(namespaces), observe(cluster, desired.name, namespaces, workers=workers)),
        policy,
        accounts,
        _accounts(cluster, accounts, namespaces),
        workers,
    )


def observe(
    cluster: Cluster,
    name: str,
    namespaces: Sequence[Namespace],
    *,
    workers: int = parallel.DEFAULT_WORKERS,
) -> dict[str, Secret | RegctlError | None]:
    """
    Return the Secret *name* of each namespace: None where it is not there, an error where it can't
    be read.

    One LIST of the cluster for many namespaces; one GET each for few, or where listing is not
    permitted.
    """
    wanted = [namespace.name for namespace in namespaces if not namespace.terminating]
    found: dict[str, Secret | RegctlError | None] = dict.fromkeys(wanted)
    if len(wanted) > _FEW:
        try:
            for item in cluster.objects(SECRETS, field_selector=f"metadata.name={name}"):
                if item["metadata"]["namespace"] in found:
                    found[item["metadata"]["namespace"]] = read_secret(item)
        except NotPermittedError:
            pass
        else:
            return found

    def look(namespace: str) -> Secret | RegctlError | None:
        try:
            item = cluster.get(SECRETS, namespace, name)
        except RegctlError as error:
            return error
        return None if item is None else read_secret(item)

    looked = parallel.run(look, wanted, workers=workers, stop=cluster.stop)
    found.update((name, it) for name, it in looked if not isinstance(it, parallel.Interrupted))
    return found


def copied(
    cluster: Cluster, namespace: str, name: str, key: str | None = None
) -> Mapping[str, Credential]:
    """
    Return the credentials in an existing Secret, for the registry *key* or all.

    Raises ObjectNotFoundError, InvalidInputError where it holds nothing for *key*, MalformedError.
    """
    item = cluster.get(SECRETS, check_namespace(namespace), check_object_name(name, "Secret"))
    if item is None:
        raise ObjectNotFoundError(
            f"cannot copy secret {name} in namespace {namespace}: it is not there",
            hint=f"`regctl secret list -n {namespace}` shows what is",
        )
    return copied_credentials(read_secret(item), key)


def _accounts(
    cluster: Cluster, accounts: Accounts, namespaces: Sequence[Namespace]
) -> dict[str, tuple[ServiceAccount, ...]] | None:
    """Return the accounts by namespace from one LIST, or None where each is to be read."""
    if not accounts or len(namespaces) <= _FEW:
        return None
    only = accounts.named[0] if len(accounts.named) == 1 and not accounts.every else None
    found: dict[str, tuple[ServiceAccount, ...]] = {}
    try:
        for account in service_accounts(cluster, name=only):
            found[account.namespace] = (*found.get(account.namespace, ()), account)
    except NotPermittedError:
        return None
    return found


def _unfinished(rollout: Rollout, change: Change) -> NotStartedError:
    return NotStartedError(
        f"secret {rollout.desired.name} in namespace {change.namespace} was not begun",
        hint="run the same command again: it goes on where it stopped",
    )
