"""The registries that are installed in the cluster, with their users and pull secrets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regctl.authfile.readers import READERS
from regctl.authsecret.secret import fetch, read
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.credentials.kubelet import key_matches, kubelet_key
from regctl.errors import NotPermittedError, RegctlError
from regctl.provisioning.objects import AUTH, AUTH_SECRET, DEPLOYMENTS, HOST, SELECTOR
from regctl.pullsecrets.inventory import PullSecretUse, list_pull_secrets


@dataclass(frozen=True)
class InstalledRegistry:
    """
    One registry in the cluster; *auth* says who checks passwords, by *auth_secret*.

    *users* is None if their Secret does not exist or cannot be read. *pull_secrets* are
    `NAMESPACE/NAME`; None if they cannot be listed.
    """

    namespace: str
    name: str
    host: str
    image: str
    auth: str
    auth_secret: str
    ready: int
    replicas: int
    users: tuple[str, ...] | None = None
    pull_secrets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class InstalledRegistries:
    """The registries found, by namespace and name, and an error for each unreadable namespace."""

    items: tuple[InstalledRegistry, ...] = ()
    errors: Mapping[str, RegctlError] = field(default_factory=dict)


def installed_registries(cluster: Cluster, targets: Targets) -> InstalledRegistries:
    """
    Return the registries in the namespaces that *targets* selects.

    Lists the whole cluster in one request if several namespaces may match, else each namespace.
    Pull secrets are searched in the whole cluster.
    """
    # Without the right to list namespaces, -A alone still works.
    every = targets.everywhere and not targets.exclude and targets.selector is None
    wanted = None if every else {namespace.name for namespace in targets.resolve(cluster)}
    errors: dict[str, RegctlError] = {}
    found: list[dict[str, Any]] = []
    for space in [None] if targets.listed or wanted is None else sorted(wanted):
        try:
            found += cluster.list(DEPLOYMENTS, namespace=space, label_selector=SELECTOR)
        except RegctlError as error:
            if space is None:
                raise
            errors[space] = error
    kept = [one for one in found if wanted is None or one["metadata"]["namespace"] in wanted]
    kept.sort(key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))
    pull_secrets = _pull_secrets(cluster) if kept else None
    return InstalledRegistries(
        tuple(_installed(cluster, one, pull_secrets) for one in kept), errors
    )


def _pull_secrets(cluster: Cluster) -> tuple[PullSecretUse, ...] | None:
    try:
        return list_pull_secrets(cluster, None, everywhere=True).items
    except NotPermittedError:
        return None


def _installed(
    cluster: Cluster, deployment: Mapping[str, Any], pull_secrets: Sequence[PullSecretUse] | None
) -> InstalledRegistry:
    metadata, spec = deployment["metadata"], deployment["spec"]
    annotations = metadata.get("annotations") or {}
    host, secret = annotations.get(HOST, ""), annotations.get(AUTH_SECRET, "")
    namespace = metadata["namespace"]
    return InstalledRegistry(
        namespace,
        metadata["name"],
        host,
        image=spec["template"]["spec"]["containers"][0]["image"],
        auth=annotations.get(AUTH, ""),
        auth_secret=secret,
        ready=(deployment.get("status") or {}).get("readyReplicas", 0),
        replicas=spec.get("replicas", 1),
        users=_users(cluster, namespace, secret) if secret else None,
        pull_secrets=None if pull_secrets is None else tuple(_for_host(pull_secrets, host)),
    )


def _users(cluster: Cluster, namespace: str, name: str) -> tuple[str, ...] | None:
    try:
        reader = READERS["distribution"]  # reads the only key, whatever its name
        return tuple(user.name for user in read(fetch(cluster, namespace, name), reader).users())
    except RegctlError:
        return None


def _for_host(items: Sequence[PullSecretUse], host: str) -> Iterator[str]:
    for item in items:
        keys = (kubelet_key(key) for key in item.registries)
        # A key with a path counts too: it is for some repositories of this registry.
        if any(key and key_matches(key.partition("/")[0], host) for key in keys):
            yield f"{item.secret.namespace}/{item.secret.name}"
