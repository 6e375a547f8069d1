"""Plan how to delete a registry from a namespace."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import require_namespace
from regctl.cluster.ownership import read_ownership
from regctl.cluster.resource import SECRETS, Resource
from regctl.errors import ObjectNotFoundError, UnknownKindError
from regctl.provisioning.objects import (
    AUTH_SECRET,
    CLAIMS,
    DEPLOYMENTS,
    SELECTOR,
    SERVICES,
    entry_objects,
)
from regctl.provisioning.plan import Change, Plan, refusal
from regctl.provisioning.spec import check_name


def prepare(
    cluster: Cluster, namespace: str, name: str, *, with_data: bool = False, adopt: bool = False
) -> Plan:
    """
    Find the objects of a registry and plan their deletion.

    Only *with_data* deletes the volume and the users, and it keeps the users if another registry
    in the namespace has the same. Raises InvalidObjectNameError, NamespaceMissingError, and
    ObjectNotFoundError if nothing is found.
    """
    attempt = f"cannot delete registry {check_name(name)} in namespace {namespace}"
    require_namespace(cluster, namespace, attempt)
    candidates = [*entry_objects(name), (SERVICES, name), (DEPLOYMENTS, name)]
    candidates += [(SECRETS, f"{name}-http"), (CLAIMS, name)]
    found = list(_found(cluster, namespace, candidates))
    if not found:
        raise ObjectNotFoundError(
            f"{attempt}: it does not exist", hint="`regctl registry list -A` lists all registries"
        )
    changes = [
        _deletion(resource, observed, adopt=adopt, keep=resource is CLAIMS and not with_data)
        for resource, observed in found
    ]
    changes += _users_deletion(cluster, namespace, name, _auth_secret(found), with_data=with_data)
    return Plan(cluster, tuple(changes))


def _found(
    cluster: Cluster, namespace: str, candidates: Sequence[tuple[Resource, str]]
) -> Iterator[tuple[Resource, dict[str, Any]]]:
    for resource, name in candidates:
        # A cluster without Traefik has no Middleware to delete.
        with contextlib.suppress(UnknownKindError):
            if (observed := cluster.get(resource, namespace, name)) is not None:
                yield resource, observed


def _deletion(
    resource: Resource, observed: Mapping[str, Any], *, adopt: bool, keep: bool
) -> Change:
    namespace, name = observed["metadata"]["namespace"], observed["metadata"]["name"]
    if error := refusal(resource, observed, adopt=adopt, delete=True):
        return Change(resource, namespace, name, "refuse", error=error)
    if keep:
        note = "images kept; --with-data deletes them"
        return Change(resource, namespace, name, "keep", note)
    return Change(resource, namespace, name, "delete", observed=observed)


def _auth_secret(found: Sequence[tuple[Resource, Mapping[str, Any]]]) -> str | None:
    """Return the name of the auth Secret, as the Deployment or the volume claim has it."""
    names = (
        (observed["metadata"].get("annotations") or {}).get(AUTH_SECRET)
        for resource, observed in found
        if resource in {DEPLOYMENTS, CLAIMS}
    )
    return next((name for name in names if name), None)


def _users_deletion(
    cluster: Cluster, namespace: str, name: str, secret: str | None, *, with_data: bool
) -> Iterator[Change]:
    """Yield what becomes of the auth Secret, which is kept if it is somebody else's or shared."""
    observed = cluster.get(SECRETS, namespace, secret) if secret else None
    if secret is None or observed is None:
        return
    ownership = read_ownership(observed["metadata"])
    if not with_data:
        note = "users kept; --with-data deletes them"
    elif not ownership.managed or ownership.controller is not None:
        note = f"kept: it is managed by {ownership.owner}"
    elif others := _registries_with(cluster, namespace, secret) - {name}:
        note = f"kept: registry {', '.join(sorted(others))} has the same users"
    else:
        yield Change(SECRETS, namespace, secret, "delete", observed=observed)
        return
    yield Change(SECRETS, namespace, secret, "keep", note)


def _registries_with(cluster: Cluster, namespace: str, secret: str) -> set[str]:
    """Return the names of the registries in the namespace that have the auth Secret *secret*."""
    return {
        item["metadata"]["name"]
        for item in cluster.list(DEPLOYMENTS, namespace=namespace, label_selector=SELECTOR)
        if (item["metadata"].get("annotations") or {}).get(AUTH_SECRET) == secret
    }
