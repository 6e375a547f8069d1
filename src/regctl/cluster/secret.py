"""A Secret in the cluster: its bytes, labels and owner, but not what the bytes mean."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.ownership import LAST_APPLIED, Ownership, read_ownership
from regctl.cluster.resource import SECRETS, is_object_name
from regctl.retry import parse_time


@dataclass(frozen=True)
class Secret:
    """A Secret in the cluster."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    type: str
    data: Mapping[str, bytes] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    ownership: Ownership = field(default=Ownership(managed=False, controller=None), repr=False)
    immutable: bool = False
    created: datetime | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def subject(self) -> str:
        """The Secret's name and namespace, in a sentence."""
        return f"secret {self.name} in namespace {self.namespace}"

    @property
    def keeps_last_applied(self) -> bool:
        """Whether `kubectl apply` keeps a copy of its data in an annotation."""
        return LAST_APPLIED in self.annotations


def get_secret(cluster: Cluster, namespace: str, name: str) -> Secret | None:
    """
    Return a Secret of the cluster, or None if it or its namespace does not exist.

    The API server lets Pods and service accounts list any text. One that is no name has no Secret.
    """
    item = cluster.get(SECRETS, namespace, name) if is_object_name(name) else None
    return None if item is None else read_secret(item)


def read_secret(item: Mapping[str, Any]) -> Secret:
    """Return the Secret that the API server's object describes."""
    metadata = item["metadata"]
    return Secret(
        metadata["namespace"],
        metadata["name"],
        metadata.get("uid", ""),
        metadata.get("resourceVersion", ""),
        item.get("type", ""),
        {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()},
        metadata.get("labels") or {},
        read_ownership(metadata),
        immutable=bool(item.get("immutable")),
        created=parse_time(metadata.get("creationTimestamp")),
        annotations=metadata.get("annotations") or {},
    )


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """Return *data* in base64, as the API server keeps it."""
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def manifest_of(secret: Secret) -> dict[str, Any]:
    """Return what creates *secret* as it was read."""
    metadata = {
        "name": secret.name,
        "namespace": secret.namespace,
        "labels": dict(secret.labels),
        "annotations": dict(secret.annotations),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": secret.type,
        "data": {key: base64.b64encode(value).decode() for key, value in secret.data.items()},
        **({"immutable": True} if secret.immutable else {}),
    }
