"""Changes to the objects of one registry, which are carried out together or not at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from regctl.authsecret.push import Push
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import foreign_object, read_ownership
from regctl.cluster.resource import NAMESPACES, Resource
from regctl.errors import (
    ClusterError,
    ConflictError,
    ForeignObjectError,
    NotPermittedError,
    RegctlError,
)
from regctl.outcome import RESULTS, Action, DryRun, Outcome, Result, result_of_error
from regctl.provisioning.objects import CLAIMS


@dataclass(frozen=True)
class Change:
    """
    What one object needs.

    *namespace* is None for a namespace itself. *manifest* is what to apply. *observed* is the
    metadata of the object that the decision was based on; empty if it did not exist.
    """

    resource: Resource
    namespace: str | None
    name: str
    action: Action
    note: str | None = None
    error: RegctlError | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)
    observed: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def outcome(self, result: Result | None = None, error: RegctlError | None = None) -> Outcome:
        """Return the outcome: *result* if given, else the one of the action, or of *error*."""
        if error is not None:
            result = result_of_error(error)
        return Outcome(
            self.resource.noun,
            self.name,
            result or RESULTS[self.action],
            namespace=self.namespace,
            note=self.note if error is None else None,
            error=error,
            differences=(self.note,) if self.note else (),
        )

    def carry_out(self, cluster: Cluster, *, adopt: bool, dry_run: DryRun | None) -> Outcome:
        """Send the change; return what became of the object."""
        try:
            if self.error is not None:
                raise self.error
            if dry_run == "client" or self.action not in {"create", "update", "delete"}:
                return self.outcome()
            if self.action != "delete":
                return self.outcome(self._apply(cluster, adopt=adopt, dry_run=dry_run == "server"))
            self._delete(cluster, dry_run=dry_run == "server")
        except RegctlError as error:
            return self.outcome(error=error)
        return self.outcome()

    def _apply(self, cluster: Cluster, *, adopt: bool, dry_run: bool) -> Result:
        if self.resource is NAMESPACES:
            return self._create_namespace(cluster, dry_run=dry_run)
        manifest, observed = self.manifest, self.observed
        if observed:
            # Refused by the API server if the object was recreated in the meantime.
            metadata = {**manifest["metadata"], "uid": observed["uid"]}
            manifest = {**manifest, "metadata": metadata}
        try:
            answer = cluster.apply(self.resource, manifest, force=adopt, dry_run=dry_run)
        except (NotPermittedError, ClusterError) as error:
            if self.resource is CLAIMS and self.action == "update":
                error.hint = (
                    "leave out `--storage` to keep the size; a volume can grow only if its "
                    "storage class has allowVolumeExpansion"
                )
            raise
        if answer.status == 201:
            return "created"
        # The API server knows best: it may take two ways to write a value for the same.
        same = answer.body["metadata"].get("resourceVersion") == observed.get("resourceVersion")
        return "unchanged" if same and not dry_run else "configured"

    def _create_namespace(self, cluster: Cluster, *, dry_run: bool) -> Result:
        """Create the namespace by a POST, which needs no right but that to create namespaces."""
        path = NAMESPACES.path() + ("?dryRun=All" if dry_run else "")
        try:
            cluster.create(path, self.manifest, f"cannot create namespace {self.name}")
        except NotPermittedError as error:
            raise NotPermittedError(
                error.message,
                hint="leave out `--create-namespace` if it exists; `regctl rbac registry apply "
                "--create-namespace` prints the right to create it",
            ) from error
        except ConflictError:
            return "unchanged"  # it exists, and this user may not read it
        return "created"

    def _delete(self, cluster: Cluster, *, dry_run: bool) -> None:
        uid = self.observed.get("uid")
        try:
            cluster.delete(self.resource, self.namespace, self.name, uid=uid, dry_run=dry_run)
        except ConflictError as error:
            raise ConflictError(
                f"cannot delete {self.resource.noun} {self.name} in namespace "
                f"{self.namespace}: it was recreated in the meantime",
                hint="run the same command again",
            ) from error


def refusal(
    resource: Resource,
    observed: Mapping[str, Any],
    *,
    adopt: bool,
    verb: Literal["change", "delete"] = "change",
) -> ForeignObjectError | None:
    """Return the error that refuses to change, or delete, an object of another owner, or None."""
    metadata = observed["metadata"]
    return foreign_object(
        f"{resource.noun} {metadata['name']} in namespace {metadata['namespace']}",
        read_ownership(metadata),
        verb=verb,
        adopt=adopt,
        instead=None if verb == "delete" else "give the registry another name",
    )


@dataclass(frozen=True)
class Plan:
    """
    The changes to one registry: its *namespace*, its *users*, then its objects.

    If one change is refused, none is carried out: half a registry is of no use.
    """

    cluster: Cluster
    changes: tuple[Change, ...]
    namespace: Change | None = None
    users: Push | None = None
    adopt: bool = False

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """The changes that are refused."""
        users = self.users.changes if self.users is not None else ()
        return (
            *(one.outcome(one.error) for one in users if one.error is not None),
            *(one.outcome(error=one.error) for one in self.changes if one.error is not None),
        )

    def run(self, dry_run: DryRun | None = None) -> Iterator[Outcome]:
        """
        Carry the changes out; yield what became of each object.

        Yields only what regctl refuses, if anything, or what the API server rejects in a dry run
        of all changes. Stops if the namespace cannot be created.
        """
        if self.refused:
            yield from self.refused
            return
        if self.namespace is not None:
            outcome = self.namespace.carry_out(self.cluster, adopt=False, dry_run=dry_run)
            yield outcome
            if outcome.error is not None:
                return
            # In a namespace that does not exist, the API server rejects even a dry run.
            dry_run = "client" if dry_run else None
        tried = self._carry_out("server") if dry_run is None else ()
        rejected = [outcome for outcome in tried if outcome.error is not None]
        yield from rejected or self._carry_out(dry_run)

    def _carry_out(self, dry_run: DryRun | None) -> Iterator[Outcome]:
        if self.users is not None:
            yield from self.users.run(dry_run)
        for change in self.changes:
            yield change.carry_out(self.cluster, adopt=self.adopt, dry_run=dry_run)
