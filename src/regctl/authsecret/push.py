"""
Upload an auth Secret to one or several namespaces.

An existing Secret is updated in place, under its `resourceVersion`. It is never deleted and
recreated: without it ingress-nginx answers every request with 503. A new one is created by
server-side apply, whose rights can be bound to its name. Updates are merge patches, because they
can also remove the keys of users who are gone.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from regctl.authfile import audit
from regctl.authsecret.plan import Change, patch, plan
from regctl.authsecret.secret import AuthSecret, check_names, check_suitable
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import require_namespace
from regctl.cluster.ownership import OUR_LABELS
from regctl.cluster.resource import SECRETS
from regctl.cluster.secret import get_secret
from regctl.errors import ConflictError, RegctlError
from regctl.outcome import DryRun, Outcome
from regctl.wording import some_of


@dataclass(frozen=True)
class Push:
    """One Change for each Secret that *desired* is uploaded to, ready to run."""

    cluster: Cluster
    desired: AuthSecret
    changes: tuple[Change, ...]
    adopt: bool = False

    def check_empty_passwords(self, progress: Callable[[], None] = lambda: None) -> None:
        """
        Try the empty password on every hash that is new to one of the Secrets.

        Calls *progress* after each. Raises UnsuitableAuthFileError if a hash accepts it.
        """
        desired, known = self.desired, self.desired.hashes
        for change in self.changes:
            if change.action != "unchanged":
                old = change.observed
                values = b"\n".join(old.data.values()) if old is not None else b""
                known &= {one for one in known if one.encode(errors="surrogateescape") in values}
        empty = audit.empty_passwords(desired.users, progress, known=known)
        check_suitable(desired.users, desired.reader, empty)

    def run(self, dry_run: DryRun | None = None) -> Iterator[Outcome]:
        """Carry the changes out, one after the other; yield what became of each Secret."""
        return (self._carry_out(change, dry_run) for change in self.changes)

    def _carry_out(self, change: Change, dry_run: DryRun | None) -> Outcome:
        """Send *change*, and plan it again after each conflict; return what was sent."""
        try:
            return self.cluster.retry_on_conflict(
                lambda planned: self.send(planned, dry_run), change, lambda: self._replan(change)
            ).outcome()
        except RegctlError as error:
            return change.outcome(error)

    def send(self, change: Change, dry_run: DryRun | None = None) -> Change:
        """Send *change* once. Raises ConflictError if the Secret has changed since it was read."""
        if change.error is not None:
            raise change.error
        if change.action == "unchanged" or dry_run == "client":
            return change
        server_only, old = dry_run == "server", change.observed
        if old is None:
            manifest = self.desired.manifest(change.namespace, change.name)
            self.cluster.apply(SECRETS, manifest, dry_run=server_only)
            return change
        body = patch(self.desired, old)
        body["metadata"] = {
            **body.get("metadata", {}),
            "labels": dict(OUR_LABELS),
            "uid": old.uid,
            "resourceVersion": old.resource_version,
        }
        self.cluster.merge_patch(SECRETS, old.namespace, old.name, body, dry_run=server_only)
        return change

    def _replan(self, change: Change) -> Change:
        """Plan again. Raises ConflictError if that removes more users than *change* did."""
        again = _observe(
            self.cluster, self.desired, change.namespace, change.name, adopt=self.adopt
        )
        added = set(again.removed) - set(change.removed)
        if again.error is None and added:
            raise ConflictError(
                f"cannot update secret {change.name} in namespace {change.namespace}: somebody "
                f"else added {some_of(sorted(added))} at the same time",
                hint=f"`regctl auth push --auth-secret {change.namespace}/{change.name} --check` "
                "shows the difference; then run the command again",
            )
        return again


def prepare(
    cluster: Cluster,
    desired: AuthSecret,
    secrets: Collection[tuple[str, str]],
    *,
    adopt: bool = False,
) -> Push:
    """
    Plan what each of *secrets* needs; they are pairs of namespace and name.

    A Secret that cannot be read is a change with an error. Raises InvalidNamespaceError and
    InvalidObjectNameError.
    """
    changes = []
    for namespace, name in secrets:
        check_names(namespace, name)
    for namespace, name in secrets:
        try:
            changes.append(_observe(cluster, desired, namespace, name, adopt=adopt))
        except RegctlError as error:
            changes.append(Change(namespace, name, "refuse", error=error))
    return Push(cluster, desired, tuple(changes), adopt)


def _observe(
    cluster: Cluster, desired: AuthSecret, namespace: str, name: str, *, adopt: bool
) -> Change:
    secret = get_secret(cluster, namespace, name)
    if secret is None:
        attempt = f"cannot create secret {name} in namespace {namespace}"
        require_namespace(cluster, namespace, attempt)
    return plan(desired, namespace, name, secret, adopt=adopt)
