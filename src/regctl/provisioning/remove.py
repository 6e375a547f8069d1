"""Plan how to delete a registry from a namespace."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from regctl.authsecret.secret import is_auth_secret
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import require_namespace
from regctl.cluster.resource import SECRETS, Resource
from regctl.cluster.secret import get_secret
from regctl.errors import ObjectNotFoundError, UnknownKindError
from regctl.provisioning.objects import (
    CLAIMS,
    DEPLOYMENTS,
    SELECTOR,
    SERVICES,
    auth_secret_of,
    entry_objects,
)
from regctl.provisioning.plan import Change, Plan, refusal
from regctl.provisioning.spec import check_name
from regctl.provisioning.takeover import claim_of, kept_claims


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
    candidates += [(SECRETS, f"{name}-http")]
    found = list(_found(cluster, namespace, candidates))
    deployment = next((observed for resource, observed in found if resource is DEPLOYMENTS), None)
    if deployment is not None:
        claims = [claim_of(deployment) or name]
    else:
        claims = sorted({name, *kept_claims(cluster, namespace, name)})
    found += _found(cluster, namespace, [(CLAIMS, claim) for claim in claims])
    if not found:
        raise ObjectNotFoundError(
            f"{attempt}: it does not exist", hint="`regctl registry list -A` lists all registries"
        )
    changes = [
        _deletion(resource, observed, with_data=with_data, adopt=adopt)
        for resource, observed in found
    ]
    # The Deployment and the volume claim name the auth Secret.
    auth_secret = next(filter(None, (auth_secret_of(observed) for _, observed in found)), None)
    if auth_secret is not None:
        changes += _users_deletion(cluster, namespace, name, auth_secret, with_data=with_data)
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
    resource: Resource, observed: Mapping[str, Any], *, with_data: bool, adopt: bool
) -> Change:
    metadata = observed["metadata"]
    change = Change(resource, metadata["namespace"], metadata["name"], "delete", observed=metadata)
    if error := refusal(resource, observed, adopt=adopt, verb="delete"):
        return replace(change, action="refuse", error=error)
    if resource is CLAIMS and not with_data:
        return replace(change, action="keep", note="images kept; --with-data deletes them")
    return change


def _users_deletion(
    cluster: Cluster, namespace: str, name: str, secret: str, *, with_data: bool
) -> Iterator[Change]:
    """Yield what becomes of the auth Secret, which is kept if it is somebody else's or shared."""
    observed = get_secret(cluster, namespace, secret)
    if observed is None:
        return
    ownership = observed.ownership
    if not with_data:
        note = "users kept; --with-data deletes them"
    elif not is_auth_secret(observed):
        note = "kept: it is not an auth Secret, although the registry is annotated with it"
    elif not ownership.managed or ownership.controller is not None:
        note = f"kept: it is managed by {ownership.owner}"
    elif others := [
        item["metadata"]["name"]
        for item in cluster.list(DEPLOYMENTS, namespace=namespace, label_selector=SELECTOR)
        if auth_secret_of(item) == secret and item["metadata"]["name"] != name
    ]:
        note = f"kept: also used by registry {', '.join(sorted(others))}"
    else:
        yield Change(SECRETS, namespace, secret, "delete", observed={"uid": observed.uid})
        return
    yield Change(SECRETS, namespace, secret, "keep", note)
