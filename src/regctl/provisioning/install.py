"""Plan what creates or updates a registry in a namespace."""

import functools
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from regctl.cluster import drift
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import read_ownership
from regctl.cluster.resource import NAMESPACES, SECRETS, Resource
from regctl.credentials.credential import Credential
from regctl.errors import (
    ClusterError,
    ForeignObjectError,
    ImmutableError,
    LockoutError,
    NamespaceMissingError,
    NotPermittedError,
    ObjectNotFoundError,
    UnknownKindError,
)
from regctl.provisioning import objects
from regctl.provisioning.objects import (
    CLAIMS,
    DEFINED_BY,
    DEPLOYMENTS,
    INGRESSES,
    INSTANCE,
    NAMESPACE_LABEL,
    RESOURCES,
)
from regctl.provisioning.plan import Change, Plan, refusal
from regctl.provisioning.spec import RegistrySpec
from regctl.provisioning.takeover import (
    asks_for_password,
    keep_existing,
    kept_claims,
    reads_users,
)
from regctl.provisioning.users import AuthUsers

# Returns an object, or None if it does not exist; asks the API server once.
_Find = Callable[[Resource, str], dict[str, Any] | None]


def prepare(
    cluster: Cluster,
    users: AuthUsers,
    first_user: Credential | None = None,
    *,
    adopt: bool = False,
    create_namespace: bool = False,
) -> Plan:
    """
    Read what exists and plan what the registry of *users* needs, without changing anything.

    *first_user* is added to them. Raises UnsuitableAuthFileError if the reader would reject the
    users, NamespaceMissingError, UnknownKindError if Traefik or the Gateway API is not installed,
    ImmutableError if the registry needs another volume than the existing one, and LockoutError or
    ForeignObjectError if an existing registry cannot be taken over.
    """
    spec, push = users.spec, None
    namespace = _namespace(cluster, spec, create=create_namespace)
    _check_admitted(cluster, spec)
    find = functools.cache(functools.partial(_get, cluster, spec.namespace))

    def find_ours(resource: Resource) -> dict[str, Any] | None:
        observed = find(resource, spec.name)
        permitted = observed and refusal(resource, observed, adopt=adopt) is None
        return observed if permitted else None

    if first_user is not None:
        push = users.push_with(cluster, first_user, adopt=adopt)
    else:
        _check_users(users, find_ours)
    spec = _with_volume(cluster, keep_existing(spec, find_ours), find, adopt=adopt)
    changes = [
        *_http_secret(cluster, spec),
        *(_change(find, manifest, adopt=adopt) for manifest in objects.manifests(spec)),
        *_obsolete(cluster, spec),
    ]
    return Plan(cluster, tuple(changes), namespace, push, adopt)


def _namespace(cluster: Cluster, spec: RegistrySpec, *, create: bool) -> Change | None:
    """Return the change that creates the namespace, or None if it exists."""
    name = spec.namespace
    try:
        cluster.get(NAMESPACES, None, name)
    except NamespaceMissingError as error:
        if not create:
            raise NamespaceMissingError(
                f"cannot create registry {spec.name} in namespace {name}: no such namespace",
                hint="`--create-namespace` creates it",
            ) from error
    except NotPermittedError:
        # Who may not read namespaces may create one. Without that, the next request decides.
        if not create:
            return None
    else:
        return None
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    return Change(NAMESPACES, None, name, "create", manifest=manifest)


def _check_admitted(cluster: Cluster, spec: RegistrySpec) -> None:
    """Raise NamespaceMissingError or ClusterError if the network policy would admit nobody."""
    for name in spec.network_policy:
        if name == spec.namespace:
            continue
        try:
            found = cluster.get(NAMESPACES, None, name)
        except NotPermittedError:
            continue
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        if labels.get(NAMESPACE_LABEL) != name:
            raise ClusterError(
                f"cannot admit namespace {name}: it has no label {NAMESPACE_LABEL}={name}",
                hint=f"`kubectl label namespace {name} {NAMESPACE_LABEL}={name}` adds it",
            )


def _http_secret(cluster: Cluster, spec: RegistrySpec) -> Iterator[Change]:
    """Yield the Secret that replicas share, which is created once with random content."""
    if (name := spec.http_secret) is None:
        return
    if cluster.get(SECRETS, spec.namespace, name) is not None:
        yield Change(SECRETS, spec.namespace, name, "unchanged")
    else:
        manifest = objects.http_secret(spec, name, secrets.token_hex(32))
        yield Change(SECRETS, spec.namespace, name, "create", manifest=manifest)


def _with_volume(cluster: Cluster, spec: RegistrySpec, find: _Find, *, adopt: bool) -> RegistrySpec:
    """Return *spec* with the present volume: the named one, the Deployment's, or the one kept."""
    if spec.claim is None and find(DEPLOYMENTS, spec.name) is None:
        spec = replace(spec, claim=_kept_claim(cluster, spec))
    claim = find(CLAIMS, spec.claim_name)
    attempt = f"cannot use volume claim {spec.claim_name} in namespace {spec.namespace}"
    if claim is None:
        if spec.claim is not None and find(DEPLOYMENTS, spec.name) is None:
            raise ObjectNotFoundError(
                f"{attempt}: it does not exist", hint="leave out `--claim` to create one"
            )
        return spec
    labels = claim["metadata"].get("labels") or {}
    owner = labels.get(INSTANCE, spec.name)
    if read_ownership(claim["metadata"]).managed and owner != spec.name:
        raise ForeignObjectError(f"{attempt}: it has the images of registry {owner}")
    if refusal(CLAIMS, claim, adopt=adopt) is not None:
        return spec
    return spec.with_volume(claim, owns_class=drift.owns(claim, "spec", "storageClassName"))


def _kept_claim(cluster: Cluster, spec: RegistrySpec) -> str | None:
    """Return the claim that a deleted registry of this name left, or None."""
    names = kept_claims(cluster, spec.namespace, spec.name)
    if len(names) > 1:
        raise ImmutableError(
            f"cannot create registry {spec.name} in namespace {spec.namespace}: it has several "
            f"volume claims: {', '.join(names)}",
            hint="`--claim NAME` chooses one",
        )
    return names[0] if names else None


def _check_users(users: AuthUsers, find: Callable[[Resource], dict[str, Any] | None]) -> None:
    """
    Raise UnsuitableAuthFileError if a new reader would reject the users.

    Raises LockoutError if an existing registry is taken over that has none.
    """
    spec, ingress = users.spec, find(INGRESSES)
    if ingress is None or not reads_users(spec, ingress):
        users.check()
    if users.file.users():
        return
    for observed in (find(DEPLOYMENTS), ingress):
        if observed is not None and not read_ownership(observed["metadata"]).managed:
            raise LockoutError(
                f"cannot take over registry {spec.name} in namespace {spec.namespace}: nobody "
                f"could log in, because secret {spec.auth_secret} has no users",
                hint="`--user NAME --generate` adds one",
            )


def _change(find: _Find, manifest: Mapping[str, Any], *, adopt: bool) -> Change:
    resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    change = Change(resource, namespace, name, "create", manifest=manifest)
    observed = find(resource, name)
    if observed is None:
        return change
    if error := refusal(resource, observed, adopt=adopt):
        return replace(change, action="refuse", error=error)
    ownership, note = read_ownership(observed["metadata"]), None
    if not ownership.managed:
        note = f"adopted from {ownership.owner}"
        if asks_for_password(manifest) and not asks_for_password(observed):
            note += "; now asks for a password"
    return replace(
        change,
        action="update" if drift.changes(manifest, observed) else "unchanged",
        note=note,
        observed=observed["metadata"],
    )


def _get(cluster: Cluster, namespace: str, resource: Resource, name: str) -> dict[str, Any] | None:
    try:
        return cluster.get(resource, namespace, name)
    except UnknownKindError as error:
        if resource not in DEFINED_BY:
            raise
        raise UnknownKindError(
            f"the cluster has no kind {resource.kind}: {DEFINED_BY[resource]} is not installed, or "
            "another version of it",
            hint=f"install the definitions of {resource.prefix.removeprefix('/apis/')} first",
        ) from error


def _obsolete(cluster: Cluster, spec: RegistrySpec) -> Iterator[Change]:
    """Yield deletions of what earlier options created: it would still give access."""
    for resource, name in objects.obsolete(spec):
        try:
            observed = cluster.get(resource, spec.namespace, name)
        except (UnknownKindError, NotPermittedError):
            continue
        if observed is None or refusal(resource, observed, adopt=False) is not None:
            continue
        metadata, note = observed["metadata"], "no longer needed"
        if metadata["labels"].get(INSTANCE) == spec.name:
            yield Change(resource, spec.namespace, name, "delete", note, observed=metadata)
