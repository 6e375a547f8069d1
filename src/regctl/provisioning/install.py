"""
A library on its way into a cluster, and out of it again: look, plan, and carry the plan out.

Whatever is refused is known before anything is sent: half a registry helps nobody.
"""

import base64
import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret import plan as authsecret
from regctl.authsecret import secret as auth_secret
from regctl.authsecret.push import Push
from regctl.authsecret.secret import AuthSecret
from regctl.cluster import drift as applied
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import read_ownership
from regctl.cluster.resource import NAMESPACES, SECRETS, Resource
from regctl.cluster.secret import Secret, read_secret
from regctl.errors import (
    ClusterError,
    ConflictError,
    ForeignObjectError,
    MalformedError,
    NamespaceMissingError,
    NotPermittedError,
    RegctlError,
    UnknownKindError,
)
from regctl.provisioning.objects import (
    AUTH_SECRET,
    CLAIMS,
    DEFINED_BY,
    DEPLOYMENTS,
    INSTANCE,
    RESOURCES,
    SELECTOR,
    SERVICES,
    RegistrySpec,
    entry_objects,
)

if TYPE_CHECKING:
    from regctl.outcome import Outcome as AuthOutcome

Action = Literal["create", "update", "unchanged", "delete", "keep", "refuse"]
Result = Literal["created", "configured", "unchanged", "deleted", "skipped", "refused", "failed"]
DryRun = Literal["client", "server"]

_RESULTS: Mapping[Action, Result] = {
    "create": "created",
    "update": "configured",
    "unchanged": "unchanged",
    "delete": "deleted",
    "keep": "skipped",
    "refuse": "refused",
}
_GROWTH = "a volume grows once it is in use, where its storage class has allowVolumeExpansion"
_NO_LONGER = "no longer wanted"


@dataclass(frozen=True)
class Change:
    """What one object needs; *uid* and *version* are those of the object it was decided by."""

    resource: Resource
    namespace: str
    name: str
    action: Action
    note: str | None = None
    error: RegctlError | None = None
    uid: str | None = None
    version: str | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of one object."""

    resource: Resource
    namespace: str
    name: str
    result: Result
    note: str | None = None
    error: RegctlError | None = None


# Users


@dataclass(frozen=True)
class Access:
    """Whom the auth Secret of *library* lets in; *secret* None where there is none yet."""

    library: RegistrySpec
    secret: Secret | None = field(repr=False)

    @cached_property
    def file(self) -> HtpasswdFile:
        """The list of users. Raises MalformedError where it is not where its reader looks."""
        if self.secret is None:
            return HtpasswdFile()
        reader = self.library.consumer
        if "auth" not in self.secret.data and reader.name != "traefik":
            there = ", ".join(sorted(self.secret.data)) or "none"
            raise MalformedError(
                f"cannot use {self.secret.subject}: it has no key auth, which {reader.name} "
                f"reads; it has {there}",
                hint="--secret names another one",
            )
        return auth_secret.read(self.secret, reader)

    @property
    def users(self) -> tuple[str, ...]:
        """The names of those who are let in."""
        return tuple(user.name for user in self.file.users())

    def check(self) -> None:
        """Raise UnsuitableAuthFileError where those who are in the Secret would not be let in."""
        if self.secret is not None:
            AuthSecret.of(self.file, self.library.consumer)

    def admit(self, name: str, value: str, *, adopt: bool = False) -> "Admission":
        """Plan to let one user more in, with the hash *value*; everybody else stays."""
        library = self.library
        file = HtpasswdFile(self.file.content)
        file.set(name, value)
        desired = AuthSecret.of(file, library.consumer)
        change = authsecret.plan(
            desired, library.namespace, library.auth_secret, self.secret, adopt=adopt
        )
        return Admission(desired, change)


@dataclass(frozen=True)
class Admission:
    """The auth Secret with one user more."""

    desired: AuthSecret
    change: authsecret.Change


def access(cluster: Cluster, library: RegistrySpec) -> Access:
    """Return whom the auth Secret of *library* lets in."""
    item = cluster.get(SECRETS, library.namespace, library.auth_secret)
    return Access(library, None if item is None else read_secret(item))


# Into the cluster


@dataclass(frozen=True)
class Plan:
    """What *library* needs in the cluster: its namespace, its users, and its objects."""

    library: RegistrySpec
    namespace: Change | None
    admission: Admission | None
    changes: tuple[Change, ...]
    adopt: bool = False

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """What must be left alone: nothing may be sent while there is any."""
        refused = [_outcome(one, "refused") for one in self.changes if one.error is not None]
        if self.admission is not None and self.admission.change.error is not None:
            refused.insert(0, self._admitted(self.admission.change, "refused"))
        return tuple(refused)

    def run(self, cluster: Cluster, dry_run: DryRun | None = None) -> Iterator[Outcome]:
        """Carry it out; yield what became of each object. Without its namespace nothing goes on."""
        ask = dry_run
        if self.namespace is not None:
            outcome = _carried_out(cluster, self.namespace, dry_run=dry_run, adopt=False)
            yield outcome
            if outcome.error is not None:
                return
            # The API server takes nothing for a namespace that is not there, be it in earnest or
            # not.
            ask = "client" if dry_run else None
        if self.admission is not None:
            yield from self._admit(cluster, self.admission, ask)
        for change in self.changes:
            yield _carried_out(cluster, change, dry_run=ask, adopt=self.adopt)

    def _admit(
        self, cluster: Cluster, admission: Admission, dry_run: DryRun | None
    ) -> Iterator[Outcome]:
        push = Push(cluster, admission.desired, (admission.change,), self.adopt)
        for outcome in push.run(dry_run):
            yield self._admitted(outcome, outcome.result)

    def _admitted(self, settled: "authsecret.Change | AuthOutcome", result: Result) -> Outcome:
        return Outcome(
            SECRETS,
            self.library.namespace,
            self.library.auth_secret,
            result,
            settled.note,
            settled.error,
        )


def observe(
    cluster: Cluster,
    library: RegistrySpec,
    admission: Admission | None = None,
    *,
    adopt: bool = False,
    create_namespace: bool = False,
) -> Plan:
    """
    Look at what is there and plan, without changing anything.

    Raises NamespaceMissingError, UnknownKindError where something must be installed first, and
    ImmutableError where the volume that is there is not the one that is asked for.
    """
    missing = _namespace_missing(cluster, library.namespace)
    if missing is not None and not create_namespace:
        raise missing
    claim = cluster.get(CLAIMS, library.namespace, library.name)
    if claim is not None and _refusal(CLAIMS, claim, adopt=adopt) is None:
        owns_class = applied.owns(claim, "spec", "storageClassName")
        library = library.keeping(claim, owns_class=owns_class)
    changes = [*_http_secret(cluster, library)]
    changes += [_change(cluster, manifest, adopt=adopt) for manifest in library.manifests()]
    changes += _unwanted(cluster, library)
    namespace = _new_namespace(library.namespace) if missing is not None else None
    return Plan(library, namespace, admission, tuple(changes), adopt)


def _namespace_missing(cluster: Cluster, namespace: str) -> NamespaceMissingError | None:
    try:
        with contextlib.suppress(NotPermittedError):
            cluster.get(NAMESPACES, None, namespace)
    except NamespaceMissingError:
        return NamespaceMissingError(
            f"there is no namespace {namespace}", hint="--create-namespace makes it"
        )
    return None


def _new_namespace(name: str) -> Change:
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return Change(NAMESPACES, name, name, "create", manifest=manifest)


def _http_secret(cluster: Cluster, library: RegistrySpec) -> Iterator[Change]:
    """Make the Secret that replicas share, once: what is in it is nobody's business."""
    name = library.http_secret
    if name is None:
        return
    if cluster.get(SECRETS, library.namespace, name) is not None:
        yield Change(SECRETS, library.namespace, name, "unchanged")
        return
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": library.namespace, "labels": library.labels},
        "type": "Opaque",
        "data": {"secret": base64.b64encode(secrets.token_hex(32).encode()).decode()},
    }
    yield Change(SECRETS, library.namespace, name, "create", manifest=manifest)


def _change(cluster: Cluster, manifest: Mapping[str, Any], *, adopt: bool) -> Change:
    resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    there = _get(cluster, resource, namespace, name)
    if there is None:
        return Change(resource, namespace, name, "create", manifest=manifest)
    if refusal := _refusal(resource, there, adopt=adopt):
        return Change(resource, namespace, name, "refuse", error=refusal)
    action: Action = "update" if applied.changes(manifest, there) else "unchanged"
    ownership = read_ownership(there["metadata"])
    note = None if ownership.managed else f"adopted from {ownership.owner}"
    uid, version = (there["metadata"][key] for key in ("uid", "resourceVersion"))
    return Change(resource, namespace, name, action, note, None, uid, version, manifest)


def _get(cluster: Cluster, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
    try:
        return cluster.get(resource, namespace, name)
    except UnknownKindError as error:
        definer = DEFINED_BY.get(resource)
        if definer is None:
            raise
        raise UnknownKindError(
            f"the cluster knows no {resource.kind}: {definer} is not installed, or is of another "
            "version",
            hint=f"its definitions must be there first: {resource.prefix.removeprefix('/apis/')}",
        ) from error


def _refusal(resource: Resource, there: Mapping[str, Any], *, adopt: bool) -> RegctlError | None:
    """Say why an object must be left alone, or None where it may be changed or deleted."""
    metadata = there["metadata"]
    ownership = read_ownership(metadata)
    cannot = f"cannot touch {resource.noun} {metadata['name']} in namespace {metadata['namespace']}"
    if ownership.controller is not None:
        return ForeignObjectError(
            f"{cannot}: it belongs to {ownership.controller}, which would put its own back",
            hint="give the library another name",
        )
    if not ownership.managed and not adopt:
        return ForeignObjectError(
            f"{cannot}: it was not made by regctl but by {ownership.owner}",
            hint="give the library another name; --adopt takes it over",
        )
    return None


def _unwanted(cluster: Cluster, library: RegistrySpec) -> Iterator[Change]:
    """Find what other options made before: another way in would stay open."""
    for resource, name in library.unwanted():
        try:
            there = cluster.get(resource, library.namespace, name)
        except (UnknownKindError, NotPermittedError):
            continue
        if there is not None and _is_part(there, library.name):
            uid = there["metadata"]["uid"]
            yield Change(resource, library.namespace, name, "delete", _NO_LONGER, uid=uid)


def _is_part(there: Mapping[str, Any], name: str) -> bool:
    metadata = there["metadata"]
    ours = read_ownership(metadata)
    instance = (metadata.get("labels") or {}).get(INSTANCE)
    return ours.managed and ours.controller is None and instance == name


# Out of the cluster


def observe_removal(
    cluster: Cluster, namespace: str, name: str, *, with_data: bool = False, adopt: bool = False
) -> list[Change]:
    """
    Find what there is of a library, and plan its removal; nothing where there is nothing.

    The volume and the users go *with_data* only, and users never while another library in the
    namespace has them too.
    """
    if (missing := _namespace_missing(cluster, namespace)) is not None:
        raise NamespaceMissingError(missing.message)
    objects = [*entry_objects(name), (SERVICES, name), (DEPLOYMENTS, name)]
    objects += [(SECRETS, f"{name}-http"), (CLAIMS, name)]
    found = list(_found(cluster, namespace, objects))
    changes = [
        _removal(resource, there, adopt=adopt, keep=resource is CLAIMS and not with_data)
        for resource, there in found
    ]
    return changes + list(_users_removal(cluster, namespace, name, found, with_data=with_data))


def _found(
    cluster: Cluster, namespace: str, objects: Sequence[tuple[Resource, str]]
) -> Iterator[tuple[Resource, dict[str, Any]]]:
    for resource, name in objects:
        # A cluster without Traefik has nothing of Traefik's to delete.
        with contextlib.suppress(UnknownKindError):
            if (there := cluster.get(resource, namespace, name)) is not None:
                yield resource, there


def _removal(resource: Resource, there: Mapping[str, Any], *, adopt: bool, keep: bool) -> Change:
    metadata = there["metadata"]
    space, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    if refusal := _refusal(resource, there, adopt=adopt):
        return Change(resource, space, name, "refuse", error=refusal)
    if keep:
        return Change(resource, space, name, "keep", "its images stay; --with-data deletes them")
    return Change(resource, space, name, "delete", uid=uid)


def _users_removal(
    cluster: Cluster,
    namespace: str,
    name: str,
    found: Sequence[tuple[Resource, Mapping[str, Any]]],
    *,
    with_data: bool,
) -> Iterator[Change]:
    """Plan what becomes of the auth Secret that the library names; one of others is left alone."""
    named = [
        (there["metadata"].get("annotations") or {}).get(AUTH_SECRET)
        for resource, there in found
        if resource in {DEPLOYMENTS, CLAIMS}
    ]
    secret = next((one for one in named if one), None)
    there = cluster.get(SECRETS, namespace, secret) if secret else None
    if secret is None or there is None:
        return
    ownership = read_ownership(there["metadata"])
    sharing = [] if not with_data else _who_else(cluster, namespace, name, secret)
    if not with_data:
        note = "its users stay; --with-data deletes them"
    elif not ownership.managed or ownership.controller is not None:
        note = f"of {ownership.owner}: it stays"
    elif sharing:
        note = f"it stays: library {', '.join(sharing)} has the same users"
    else:
        yield Change(SECRETS, namespace, secret, "delete", uid=there["metadata"]["uid"])
        return
    yield Change(SECRETS, namespace, secret, "keep", note)


def _who_else(cluster: Cluster, namespace: str, name: str, secret: str) -> list[str]:
    return sorted(
        item["metadata"]["name"]
        for item in cluster.list(DEPLOYMENTS, namespace=namespace, label_selector=SELECTOR)
        if item["metadata"]["name"] != name
        and (item["metadata"].get("annotations") or {}).get(AUTH_SECRET) == secret
    )


def remove(
    cluster: Cluster, changes: Sequence[Change], *, dry_run: DryRun | None = None
) -> Iterator[Outcome]:
    """Carry a removal out; yield what became of each object."""
    for change in changes:
        yield _carried_out(cluster, change, dry_run=dry_run, adopt=False)


# One object


def _carried_out(
    cluster: Cluster, change: Change, *, dry_run: DryRun | None, adopt: bool
) -> Outcome:
    result = _RESULTS[change.action]
    try:
        if dry_run != "client" and change.action in {"create", "update"}:
            result = _applied(cluster, change, adopt=adopt, dry_run=dry_run == "server")
        elif dry_run != "client" and change.action == "delete":
            _delete(cluster, change, dry_run=dry_run == "server")
    except RegctlError as error:
        return Outcome(change.resource, change.namespace, change.name, "failed", error=error)
    return _outcome(change, result)


def _applied(cluster: Cluster, change: Change, *, adopt: bool, dry_run: bool) -> Result:
    manifest = dict(change.manifest)
    if change.uid is not None:
        # Only the very object that was looked at.
        manifest["metadata"] = {**manifest["metadata"], "uid": change.uid}
    try:
        answer = cluster.apply(change.resource, manifest, force=adopt, dry_run=dry_run)
    except (NotPermittedError, ClusterError) as error:
        if change.resource is CLAIMS and change.action == "update":
            error.hint = f"{_GROWTH}; leave --storage out to keep it as it is"
        raise
    if answer.status == 201:
        return "created"
    # Two ways to write one value are no change, which the API server knows best.
    same = answer.body["metadata"].get("resourceVersion") == change.version
    return "unchanged" if same and not dry_run else "configured"


def _delete(cluster: Cluster, change: Change, *, dry_run: bool) -> None:
    try:
        cluster.delete(
            change.resource, change.namespace, change.name, uid=change.uid, dry_run=dry_run
        )
    except ConflictError as error:
        raise ConflictError(
            f"cannot delete {change.resource.noun} {change.name} in namespace "
            f"{change.namespace}: it was made anew meanwhile",
            hint="run the same command again",
        ) from error


def _outcome(change: Change, result: Result) -> Outcome:
    return Outcome(
        change.resource, change.namespace, change.name, result, change.note, change.error
    )
