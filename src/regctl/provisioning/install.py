"""Plan what creates or updates a registry in a namespace."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from regctl.cluster import drift
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import read_ownership
from regctl.cluster.resource import NAMESPACES, SECRETS, Resource
from regctl.credentials.credential import Credential
from regctl.errors import NamespaceMissingError, NotPermittedError, UnknownKindError
from regctl.provisioning import objects
from regctl.provisioning.objects import CLAIMS, DEFINED_BY, INSTANCE, RESOURCES
from regctl.provisioning.plan import Change, Plan, refusal
from regctl.provisioning.spec import RegistrySpec
from regctl.provisioning.users import AuthUsers


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
    and ImmutableError if the registry needs another volume than the existing one.
    """
    spec, push = users.spec, None
    if first_user is not None:
        push = users.push_with(cluster, first_user, adopt=adopt)
    else:
        users.check()
    namespace = _namespace(cluster, spec, create=create_namespace)
    claim = cluster.get(CLAIMS, spec.namespace, spec.name)
    if claim is not None and refusal(CLAIMS, claim, adopt=adopt) is None:
        spec = spec.with_volume(claim, owns_class=drift.owns(claim, "spec", "storageClassName"))
    changes = [
        *_http_secret(cluster, spec),
        *(_change(cluster, manifest, adopt=adopt) for manifest in objects.manifests(spec)),
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


def _http_secret(cluster: Cluster, spec: RegistrySpec) -> Iterator[Change]:
    """Yield the Secret that replicas share, which is created once with random content."""
    if (name := spec.http_secret) is None:
        return
    if cluster.get(SECRETS, spec.namespace, name) is not None:
        yield Change(SECRETS, spec.namespace, name, "unchanged")
    else:
        manifest = objects.http_secret(spec, name, secrets.token_hex(32))
        yield Change(SECRETS, spec.namespace, name, "create", manifest=manifest)


def _change(cluster: Cluster, manifest: Mapping[str, Any], *, adopt: bool) -> Change:
    resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    change = Change(resource, namespace, name, "create", manifest=manifest)
    observed = _get(cluster, resource, namespace, name)
    if observed is None:
        return change
    if error := refusal(resource, observed, adopt=adopt):
        return replace(change, action="refuse", error=error)
    ownership = read_ownership(observed["metadata"])
    return replace(
        change,
        action="update" if drift.changes(manifest, observed) else "unchanged",
        note=None if ownership.managed else f"adopted from {ownership.owner}",
        observed=observed["metadata"],
    )


def _get(cluster: Cluster, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
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
