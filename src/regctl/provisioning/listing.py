"""The libraries that are in the cluster: who is let in, and which pull secrets are for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regctl.authfile import readers as consumers
from regctl.authsecret import secret as authsecret
from regctl.cluster.client import Cluster
from regctl.cluster.resource import SECRETS, Namespace
from regctl.cluster.secret import read_secret
from regctl.credentials.kubelet import key_matches, kubelet_key
from regctl.errors import ClusterError, MalformedError, NotPermittedError, RegctlError
from regctl.provisioning.objects import AUTH, AUTH_SECRET, DEPLOYMENTS, HOST, SELECTOR
from regctl.pullsecrets.inventory import PullSecretUse, list_pull_secrets


@dataclass(frozen=True)
class Item:
    """
    One library; *auth* and *auth_secret* say who checks passwords, and by which Secret.

    *users* None: their Secret is not there or can't be read. *pull_secrets* are `NAMESPACE/NAME`;
    None where they can't be listed.
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
class Found:
    """What was found, sorted by namespace and name, and where one can't look."""

    items: tuple[Item, ...] = ()
    errors: Mapping[str, RegctlError] = field(default_factory=dict)


def libraries(
    cluster: Cluster, namespaces: Sequence[Namespace] | None, *, everywhere: bool
) -> Found:
    """
    Return the libraries in *namespaces*; None: in all.

    *everywhere* lists the whole cluster at once, else there is a LIST in each namespace. Pull
    secrets are looked for in the whole cluster.
    """
    wanted = None if namespaces is None else {namespace.name for namespace in namespaces}
    errors: dict[str, RegctlError] = {}
    objects: list[dict[str, Any]] = []
    for space in [None] if everywhere or wanted is None else sorted(wanted):
        try:
            objects += cluster.list(DEPLOYMENTS, namespace=space, label_selector=SELECTOR)
        except RegctlError as error:
            if space is None:
                raise
            errors[space] = error
    kept = [one for one in objects if wanted is None or one["metadata"]["namespace"] in wanted]
    kept.sort(key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))
    pulling = _pull_secrets(cluster) if kept else None
    return Found(tuple(_item(cluster, one, pulling) for one in kept), errors)


def _pull_secrets(cluster: Cluster) -> tuple[PullSecretUse, ...] | None:
    try:
        return list_pull_secrets(cluster, None, everywhere=True).items
    except NotPermittedError:
        return None


def _item(
    cluster: Cluster, there: Mapping[str, Any], pulling: Sequence[PullSecretUse] | None
) -> Item:
    metadata, spec = there["metadata"], there["spec"]
    annotations = metadata.get("annotations") or {}
    host, secret = annotations.get(HOST, ""), annotations.get(AUTH_SECRET, "")
    namespace = metadata["namespace"]
    return Item(
        namespace,
        metadata["name"],
        host,
        spec["template"]["spec"]["containers"][0]["image"],
        annotations.get(AUTH, ""),
        secret,
        ready=(there.get("status") or {}).get("readyReplicas", 0),
        replicas=spec.get("replicas", 1),
        users=_users(cluster, namespace, secret) if secret else None,
        pull_secrets=None if pulling is None else tuple(_for_host(pulling, host)),
    )


def _users(cluster: Cluster, namespace: str, name: str) -> tuple[str, ...] | None:
    try:
        item = cluster.get(SECRETS, namespace, name)
        if item is None:
            return None
        reader = consumers.READERS["distribution"]  # takes the only key, whatever its name
        return tuple(user.name for user in authsecret.read(read_secret(item), reader).users())
    except (NotPermittedError, ClusterError, MalformedError):
        return None


def _for_host(items: Sequence[PullSecretUse], host: str) -> Iterator[str]:
    for item in items:
        keys = (kubelet_key(key) for key in item.registries)
        # A key with a path is for this registry too: for some of its repositories.
        if any(key and key_matches(key.partition("/")[0], host) for key in keys):
            yield f"{item.secret.namespace}/{item.secret.name}"
