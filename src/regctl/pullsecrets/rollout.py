"""
The rollout of a pull secret into namespaces: read, plan, and change in parallel.

A user who may list needs one request for all namespaces and one for all Secrets of the name. Then a
run that changes nothing is two requests for up to a page of namespaces. Otherwise there is one
request for each named namespace.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import require_namespace
from regctl.cluster.ownership import PART_OF
from regctl.cluster.resource import SECRETS, Namespace
from regctl.cluster.secret import Secret, get_secret, manifest_of, read_secret
from regctl.cluster.serviceaccounts import Accounts, ServiceAccount, attach, list_service_accounts
from regctl.credentials.credential import Credential
from regctl.errors import ConflictError, NotPermittedError, NotStartedError, RegctlError
from regctl.outcome import RESULTS, DryRun, Outcome, Result, result_of_error
from regctl.pullsecrets.plan import (
    LEAVE_FOREIGN,
    Change,
    Observed,
    PullSecret,
    TakeoverPolicy,
    plan,
    plan_one,
)

# For more namespaces one LIST of the whole cluster costs less than a GET for each.
_FEW = 8
NO_ACCOUNTS = Accounts()
_WRITING = frozenset({"create", "update", "replace"})


@dataclass(frozen=True)
class Rollout:
    """
    One pull secret, the namespaces it goes into, and what was found there.

    `changes` is the plan; `run` carries it out. Both name the same namespaces in the same words.
    """

    cluster: Cluster = field(repr=False)
    desired: PullSecret
    observed: Observed = field(repr=False)
    policy: TakeoverPolicy = LEAVE_FOREIGN
    accounts: Accounts = NO_ACCOUNTS
    known_accounts: Mapping[str, Sequence[ServiceAccount]] | None = field(default=None, repr=False)

    @cached_property
    def changes(self) -> list[Change]:
        """What each namespace needs, sorted by namespace."""
        return plan(self.desired, self.observed, self.policy)

    @property
    def credentials(self) -> Mapping[str, Credential]:
        """The credentials that `run` writes, by registry key; none if it writes no Secret."""
        writes = any(change.action in _WRITING for change in self.changes)
        return self.desired.credentials if writes else {}

    def run(self, dry_run: DryRun | None = None) -> Iterator[tuple[Outcome, ...]]:
        """
        Carry the plan out; yield the outcomes of each namespace, in the order they finish.

        An error in one namespace is its outcome and stops no other. On Ctrl-C every namespace
        still gets an outcome, NotStartedError if it was not started, before KeyboardInterrupt.
        """
        spaces = {namespace.name: namespace for namespace in self.observed}
        idle = {"skip", "refuse"} if self.accounts else {"skip", "refuse", "unchanged"}
        changes = self.changes
        work = [change for change in changes if change.action not in idle]
        yield from ((self._outcome(change),) for change in changes if change.action in idle)

        def carry_out(change: Change) -> tuple[Outcome, ...]:
            return self._carry_out(spaces[change.namespace], change, dry_run)

        for change, outcomes in self.cluster.run_parallel(carry_out, work):
            if isinstance(outcomes, parallel.Interrupted):
                yield (self._outcome(change, error=not_started(self._subject(change))),)
            else:
                yield outcomes

    def _subject(self, change: Change) -> str:
        return f"secret {self.desired.name} in namespace {change.namespace}"

    def _outcome(
        self, change: Change, result: Result | None = None, *, error: RegctlError | None = None
    ) -> Outcome:
        """Return the outcome of a change, by default the one that the plan expects."""
        error = error or change.error
        return Outcome(
            "secret",
            self.desired.name,
            result_of_error(error) if error else result or RESULTS[change.action],
            change.namespace,
            None if error else change.note,
            error,
            change.differences,
        )

    def _carry_out(
        self, namespace: Namespace, change: Change, dry_run: DryRun | None
    ) -> tuple[Outcome, ...]:
        try:
            outcome = self._change_secret(namespace, change, dry_run)
        except RegctlError as error:
            outcome = self._outcome(change, error=error)
        if outcome.error is not None or not self.accounts:
            return (outcome,)
        return (outcome, *self._attach(namespace.name, dry_run))

    def _change_secret(
        self, namespace: Namespace, change: Change, dry_run: DryRun | None
    ) -> Outcome:
        """Carry one change out; read and plan again if another client was faster."""
        if dry_run == "client":
            if change.action == "create" and not namespace.seen:
                require_namespace(
                    self.cluster, namespace.name, f"cannot create {self._subject(change)}"
                )
            return self._outcome(change)

        def replan() -> Change:
            secret = get_secret(self.cluster, namespace.name, self.desired.name)
            return plan_one(self.desired, namespace, secret, self.policy)

        return self.cluster.retry_on_conflict(
            lambda planned: self._send(planned, server_dry_run=dry_run == "server"), change, replan
        )

    def _send(self, change: Change, *, server_dry_run: bool) -> Outcome:
        if change.action in {"unchanged", "skip", "refuse"}:
            return self._outcome(change)
        old = change.observed
        part = old.labels.get(PART_OF) if old is not None else None
        manifest = self.desired.manifest(change.namespace, change.content, part)
        if old is not None and old.immutable:
            manifest["immutable"] = True
        if change.action == "replace" and old is not None:
            self._replace(old, manifest, server_dry_run=server_dry_run)
            return self._outcome(change)
        if old is not None:
            # Change only the object that was read, in the version that was read.
            manifest["metadata"] |= {"uid": old.uid, "resourceVersion": old.resource_version}
        response = self.cluster.apply(
            SECRETS, manifest, force=old is not None, dry_run=server_dry_run
        )
        return self._outcome(change, "created" if response.status == 201 else "configured")

    def _replace(self, old: Secret, manifest: Mapping[str, Any], *, server_dry_run: bool) -> None:
        """Delete and create a Secret; restore it if the API server rejects the new one."""
        self.cluster.delete(SECRETS, old.namespace, old.name, uid=old.uid, dry_run=server_dry_run)
        if server_dry_run:
            return
        try:
            self.cluster.apply(SECRETS, manifest)
        except ConflictError:
            # Somebody else created it, and the change is planned again.
            raise
        except RegctlError as error:
            try:
                self.cluster.apply(SECRETS, manifest_of(old))
                error.message += "; the old one was restored"
            except RegctlError as lost:
                error.message += f"; it was deleted and is not restored: {lost.message}"
            raise

    def _attach(self, namespace: str, dry_run: DryRun | None) -> Iterator[Outcome]:
        """Attach the Secret to the selected accounts of a namespace; yield each one's outcome."""
        try:
            accounts = self._accounts_in(namespace)
        except RegctlError as error:
            yield Outcome("serviceaccount", "*", "failed", namespace, error=error)
            return
        for account in accounts:
            outcome = Outcome("serviceaccount", account.name, "unchanged", namespace)
            try:
                if attach(self.cluster, account, self.desired.name, dry_run=dry_run):
                    outcome = replace(
                        outcome,
                        result="configured",
                        note="for new Pods",
                        differences=(f"does not use {self.desired.name}",),
                    )
            except RegctlError as error:
                outcome = replace(outcome, result="failed", error=error)
            yield outcome

    def _accounts_in(self, namespace: str) -> list[ServiceAccount]:
        """Return the selected accounts of a namespace; one that was not found is not read yet."""
        known: Iterable[ServiceAccount] = ()
        if self.known_accounts is not None:
            known = self.known_accounts.get(namespace, ())
        elif self.accounts.every:
            known = list_service_accounts(self.cluster, namespace=namespace)
        by_name = {account.name: account for account in known}
        names: Sequence[str] = self.accounts.named
        if self.accounts.every:
            names = sorted({*by_name, *names})
        return [by_name.get(name, ServiceAccount(namespace, name)) for name in names]


def prepare(
    cluster: Cluster,
    desired: PullSecret,
    namespaces: Sequence[Namespace],
    *,
    policy: TakeoverPolicy = LEAVE_FOREIGN,
    accounts: Accounts = NO_ACCOUNTS,
) -> Rollout:
    """Read what is in the cluster and return the rollout of *desired* into *namespaces*."""
    observed = observe(cluster, desired.name, namespaces)
    known_accounts = _known_accounts(cluster, accounts, namespaces)
    return Rollout(cluster, desired, observed, policy, accounts, known_accounts)


def observe(
    cluster: Cluster, name: str, namespaces: Sequence[Namespace]
) -> dict[Namespace, Secret | RegctlError | None]:
    """
    Return the Secret *name* of each namespace, None if it does not exist, or the error of reading.

    One LIST of the cluster for many namespaces; one GET for each of a few, or if the user may not
    list. A terminating namespace is not read.
    """
    found: dict[Namespace, Secret | RegctlError | None] = dict.fromkeys(namespaces)
    wanted = [namespace for namespace in found if not namespace.terminating]
    if len(wanted) > _FEW:
        with contextlib.suppress(NotPermittedError):
            listed = cluster.list(SECRETS, field_selector=f"metadata.name={name}")
            secrets = {secret.namespace: secret for secret in map(read_secret, listed)}
            return found | {space: secrets.get(space.name) for space in wanted}

    def read(namespace: Namespace) -> Secret | RegctlError | None:
        try:
            return get_secret(cluster, namespace.name, name)
        except RegctlError as error:
            return error

    answers = cluster.run_parallel(read, wanted)
    found.update((space, it) for space, it in answers if not isinstance(it, parallel.Interrupted))
    return found


def not_started(subject: str) -> NotStartedError:
    """Return the error of an object that an interrupted run did not reach."""
    return NotStartedError(f"{subject} was not started", hint="run the same command again")


def _known_accounts(
    cluster: Cluster, accounts: Accounts, namespaces: Sequence[Namespace]
) -> dict[str, list[ServiceAccount]] | None:
    """Return the accounts by namespace from one LIST, or None if each is to be read."""
    if not accounts or len(namespaces) <= _FEW:
        return None
    only = accounts.named[0] if len(accounts.named) == 1 and not accounts.every else None
    with contextlib.suppress(NotPermittedError):
        found: dict[str, list[ServiceAccount]] = {}
        for account in list_service_accounts(cluster, name=only):
            found.setdefault(account.namespace, []).append(account)
        return found
    return None
