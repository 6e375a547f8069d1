"""A request to the Kubernetes API server as data: its URL, headers and body."""

import base64
import binascii
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from regctl.cluster.resource import Resource
from regctl.jsontext import json_object_or_empty

Query = dict[str, str | None]

# Those of a docker config's entry.
_SECRET_FIELDS = frozenset({"auth", "password", "identitytoken", "registrytoken"})


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

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What no message may repeat of the body: a Secret's data, passwords and hashes."""
        body = self.body or {}
        data = body.get("data") or {}
        annotations = (body.get("metadata") or {}).get("annotations") or {}
        return frozenset(
            itertools.chain(
                *map(_secrets_in, data.values()),
                # A rotation keeps the previous hashes in one.
                *(_hashes_in(value) for value in annotations.values() if value and "$" in value),
            )
        )


def _secrets_in(encoded: str) -> Iterator[str]:
    """Yield a value of a Secret's data, what it encodes, and what is secret in that."""
    yield from (encoded, encoded.rstrip("="))
    try:
        text = base64.b64decode(encoded).decode(errors="replace").strip()
    except (binascii.Error, ValueError):
        return
    if document := json_object_or_empty(text):
        for entry in (document.get("auths") or document).values():
            fields = entry if isinstance(entry, dict) else {}
            yield from (str(fields[name]) for name in _SECRET_FIELDS & fields.keys())
    else:
        yield text
        yield from _hashes_in(text)


def _hashes_in(text: str) -> Iterator[str]:
    """Yield the hashes in the lines of an auth file."""
    return (line.partition(":")[2].strip() for line in text.splitlines())


def cannot(verb: str, resource: Resource, namespace: str | None, name: str) -> str:
    """Return the beginning of an error message: `cannot read secret x in namespace y`."""
    where = f" in namespace {namespace}" if namespace else ""
    return f"cannot {verb} {resource.noun} {name}{where}"
