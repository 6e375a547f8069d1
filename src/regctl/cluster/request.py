"""A request to the Kubernetes API server as data: its URL, headers and body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from regctl.cluster.resource import Resource

Query = dict[str, str | None]


@dataclass(frozen=True)
class Request:
    """One request, which may be sent several times. Messages of its errors begin with *attempt*."""

    method: str
    path: str
    attempt: str
    query: Mapping[str, str | None] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    content_type: str = "application/json"

    @property
    def target(self) -> str:
        """The path with the query, without its parameters that are None."""
        given = {key: value for key, value in self.query.items() if value}
        return f"{self.path}?{urlencode(given)}" if given else self.path

    @property
    def headers(self) -> dict[str, str]:
        """The headers, apart from authentication."""
        headers = {"Accept": "application/json", "User-Agent": "regctl"}
        if self.method == "PATCH":
            # Otherwise the response repeats the whole object.
            headers["Accept"] = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        if self.body is not None:
            headers["Content-Type"] = self.content_type
        return headers

    @property
    def data(self) -> bytes | None:
        """The body as JSON, or None."""
        return None if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()


def cannot(verb: str, resource: Resource, namespace: str | None, name: str) -> str:
    """Return the beginning of an error message: `cannot read secret x in namespace y`."""
    where = f" in namespace {namespace}" if namespace else ""
    return f"cannot {verb} {resource.noun} {name}{where}"
