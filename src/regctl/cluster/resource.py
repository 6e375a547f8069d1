"""Kinds of Kubernetes objects, their paths at the API server, and the names it accepts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from regctl.errors import InvalidNamespaceError, InvalidObjectNameError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def check_namespace(name: str) -> str:
    """Return *name*; raise InvalidNamespaceError if it is not an RFC 1123 label."""
    if _LABEL.fullmatch(name) is None:
        raise InvalidNamespaceError(
            f"not a namespace: {name!r}",
            hint="at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends (RFC 1123)",
        )
    return name


def is_object_name(name: str) -> bool:
    """Return whether *name* is an RFC 1123 subdomain. No other text is part of a path."""
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def check_object_name(name: str, kind: str) -> str:
    """Return *name*; raise InvalidObjectNameError if it is not an RFC 1123 subdomain."""
    if not is_object_name(name):
        raise InvalidObjectNameError(
            f"not a name for a {kind}: {name!r}",
            hint="at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends",
        )
    return name


@dataclass(frozen=True)
class Resource:
    """A kind of object and its path at the API server."""

    kind: str
    plural: str
    prefix: str = "/api/v1"

    @property
    def noun(self) -> str:
        """The kind in a sentence and in the line of a result."""
        return self.kind.lower()

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of one object, of all in a namespace, or of all in the cluster."""
        parts = [self.prefix]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        return "/".join(parts)


NAMESPACES = Resource("Namespace", "namespaces")
SECRETS = Resource("Secret", "secrets")
SERVICE_ACCOUNTS = Resource("ServiceAccount", "serviceaccounts")
PODS = Resource("Pod", "pods")


@dataclass(frozen=True)
class Namespace:
    """A namespace. Unless *seen* it may not exist; if *terminating* it accepts no new objects."""

    name: str
    terminating: bool = False
    seen: bool = False


def read_namespace(item: Mapping[str, Any]) -> Namespace:
    """Return the Namespace that the API server's object describes."""
    metadata = item["metadata"]
    phase = (item.get("status") or {}).get("phase")
    return Namespace(
        metadata["name"],
        terminating=phase == "Terminating" or "deletionTimestamp" in metadata,
        seen=True,
    )
