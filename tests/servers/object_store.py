"""
The objects of the stand-in API server, and what a request does to them.

As in a real one, an object has a UID, a version that only a change raises, and the managers of its
fields. There are no rights and no schema, every namespace exists, and apply removes no field.
"""

import datetime as dt
import itertools
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Object = dict[str, Any]

_PATH = re.compile(
    r"(?P<group>/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)


class Key(NamedTuple):
    """An object's place in the URL; *name* None means all objects of this kind."""

    group: str
    plural: str
    namespace: str | None
    name: str | None

    def includes(self, other: "Key") -> bool:
        """Whether *other* is one of the objects that this one lists."""
        same_kind = (self.group, self.plural) == (other.group, other.plural)
        return same_kind and self.namespace in {None, other.namespace}


class StatusError(Exception):
    """A request that fails; it becomes the Status of the answer."""

    def __init__(self, code: int, reason: str, key: Key) -> None:
        super().__init__(reason)
        details = {"kind": key.plural, "name": key.name}
        self.code = code
        self.status: Object = {"kind": "Status", "reason": reason, "details": details}


@dataclass
class ObjectStore:
    """Objects of any kind; `answer` takes one request at a time."""

    objects: dict[Key, Object] = field(default_factory=dict)
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(
        self, method: str, path: str, query: Mapping[str, str], body: Object, content_type: str
    ) -> tuple[int, Object]:
        """Return the status and the body of the answer."""
        match = _PATH.fullmatch(path)
        if match is None:
            return 404, {}
        key = Key(**match.groupdict())
        try:
            if method == "GET":
                return 200, self._get(key) if key.name else self._list(key, query)
            if method == "DELETE":
                return 200, self._delete(key, body)
            if method == "POST":
                return self._create(key, query, body)
            return self._patch(key, query, body, apply="apply-patch" in content_type)
        except StatusError as error:
            return error.code, error.status

    def _get(self, key: Key) -> Object:
        if key not in self.objects:
            raise StatusError(404, "NotFound", key)
        return self.objects[key]

    def _list(self, wanted: Key, query: Mapping[str, str]) -> Object:
        if "labelSelector" in query:
            raise StatusError(400, "BadRequest", wanted)
        path, _, value = query.get("fieldSelector", "").partition("=")
        items = [
            item
            for key, item in self.objects.items()
            if wanted.includes(key) and (not path or _at(item, path) == value)
        ]
        return {"kind": "List", "metadata": {}, "items": items}

    def _delete(self, key: Key, options: Object) -> Object:
        _check_precondition(key, self._get(key), options.get("preconditions") or {})
        if not options.get("dryRun"):
            del self.objects[key]
        return {"kind": "Status", "status": "Success"}

    def _create(self, place: Key, query: Mapping[str, str], body: Object) -> tuple[int, Object]:
        key = place._replace(name=body["metadata"]["name"])
        if key in self.objects:
            raise StatusError(409, "AlreadyExists", key)
        return self._write(key, query, body, "Update")

    def _patch(
        self, key: Key, query: Mapping[str, str], body: Object, *, apply: bool
    ) -> tuple[int, Object]:
        if apply:
            return self._write(key, query, body, "Apply")
        self._get(key)
        return self._write(key, query, body, "Update")

    def _write(
        self, key: Key, query: Mapping[str, str], body: Object, operation: str
    ) -> tuple[int, Object]:
        """Change the fields of *body*, which then belong to the request's field manager."""
        status = 200 if key in self.objects else 201
        old = self.objects.get(key) or {"metadata": {"uid": str(uuid.uuid4())}}
        _check_precondition(key, old, body.get("metadata") or {})
        place = {"name": key.name, "namespace": key.namespace}
        new = _merged(_merged(old, body), {"metadata": place})
        if new != old:
            now = f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
            manager = query.get("fieldManager", "unknown")
            new["metadata"].setdefault("creationTimestamp", now)
            new["metadata"]["resourceVersion"] = str(next(self.versions))
            new["metadata"]["managedFields"] = _managers(
                old, _fields(body), manager, operation, now
            )
        if not query.get("dryRun"):
            self.objects[key] = new
        return status, new


def _check_precondition(key: Key, there: Object, wanted: Object) -> None:
    for name in ("uid", "resourceVersion"):
        if wanted.get(name) and wanted[name] != there["metadata"].get(name):
            raise StatusError(409, "Conflict", key)


def _at(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = item.get(name, {})
    return item


def _merged(old: Any, patch: Object) -> Object:
    """Return *old* changed by a merge patch (RFC 7396)."""
    new = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = _merged(new.get(name), value) if isinstance(value, dict) else value
    return new


def _managers(old: Object, written: Object, manager: str, operation: str, now: str) -> list[Object]:
    """Return `managedFields` after *manager* wrote fields: they leave all other managers."""
    entries = {
        (entry["manager"], entry["operation"]): entry
        for entry in old["metadata"].get("managedFields", ())
    }
    mine = entries.pop((manager, operation), {"fieldsV1": {}})
    left = [{**one, "fieldsV1": _without(one["fieldsV1"], written)} for one in entries.values()]
    entry = {
        "manager": manager,
        "operation": operation,
        "time": now,
        "fieldsV1": _merged(mine["fieldsV1"], written),
    }
    return [*(one for one in left if one["fieldsV1"]), entry]


def _fields(body: Object) -> Object:
    """Return the fields of an object in the form of `managedFields`."""
    metadata = {
        name: value
        for name, value in body.get("metadata", {}).items()
        if name in {"labels", "annotations"}
    }
    content = {name: value for name, value in body.items() if name not in {"apiVersion", "kind"}}
    return _names({**content, "metadata": metadata})


def _names(value: Any) -> Object:
    if not isinstance(value, dict):
        return {}
    return {f"f:{name}": _names(below) for name, below in value.items()}


def _without(fields: Object, taken: Object) -> Object:
    """Return *fields* without those that are *taken*."""
    left = {name: _without(below, taken.get(name, {})) for name, below in fields.items()}
    return {name: below for name, below in left.items() if below or name not in taken}
