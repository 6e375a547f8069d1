"""
Decide without a request whether a server-side apply would change an object.

Where this says yes and the API server disagrees, the apply leaves the `resourceVersion` as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

from regctl.cluster.ownership import FIELD_MANAGER


def changes(manifest: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether applying *manifest* would change or remove a field of the object *there*."""
    owned = owned_fields(there)
    return not _holds(there, manifest, owned) or _drops(owned, manifest)


def owned_fields(there: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields that regctl applied, in the form of `managedFields`."""
    for entry in (there.get("metadata") or {}).get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return {}


def owns(there: Mapping[str, Any], *path: str) -> bool:
    """Whether regctl applied the field at *path*."""
    fields = owned_fields(there)
    for name in path:
        if f"f:{name}" not in fields:
            return False
        fields = fields[f"f:{name}"]
    return True


def _holds(there: Any, wanted: Any, owned: Mapping[str, Any]) -> bool:
    """
    Whether *there* has everything *wanted*; it may have more, such as defaults.

    A list whose elements are *owned* one by one may have elements of others.
    """
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            _holds(there.get(key), value, owned.get(f"f:{key}") or {})
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(there, list):
            return False
        if any(key.startswith("k:") for key in owned):
            return all(
                any(_holds(element, one, _fields_of(one, owned)) for element in there)
                for one in wanted
            )
        return len(there) == len(wanted) and all(
            _holds(element, one, {}) for element, one in zip(there, wanted, strict=True)
        )
    return bool(there == wanted)


def _fields_of(element: Any, owned: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of one element of a list of *owned* elements."""
    keys = (key for key in owned if key.startswith("k:") and _part([element], key) is element)
    return owned.get(next(keys, "")) or {}


def _drops(fields: Mapping[str, Any], manifest: Any) -> bool:
    """Whether the manifest lacks a field that was applied before."""
    for key, below in fields.items():
        if key[:2] in {"f:", "k:", "v:"}:
            part = _part(manifest, key)
            if part is None or (below and _drops(below, part)):
                return True
    return False


def _part(manifest: Any, key: str) -> Any:
    """
    Return the field, the element with these keys, or the value that *key* means, or None.

    An element of the manifest may omit a key with a default.
    """
    kind, _, text = key.partition(":")
    if kind == "f":
        return manifest.get(text) if isinstance(manifest, Mapping) else None
    wanted = json.loads(text)
    elements = manifest if isinstance(manifest, list) else []
    if kind == "v":
        return wanted if wanted in elements else None
    matching = (one for one in elements if all(one.get(k, v) == v for k, v in wanted.items()))
    return next(matching, None)
