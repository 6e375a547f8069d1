"""
Check a document against a JSON schema, and report the line of a fault.

Implements the part of JSON Schema (draft 2020-12) that the schemas of regctl use. Another keyword
raises NotImplementedError, so a schema cannot have a rule that is not checked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from regctl.documents import Located
from regctl.errors import MalformedError

Path = tuple[str | int, ...]

_TYPES: dict[str, tuple[type, str]] = {
    "object": (dict, "a mapping"),
    "array": (list, "a list"),
    "string": (str, "text"),
    "boolean": (bool, "true or false"),
}
_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description"})
_KEYWORDS = frozenset(
    {
        "type",
        "required",
        "additionalProperties",
        "properties",
        "items",
        "minItems",
        "minProperties",
        "maxProperties",
        "pattern",
        "$ref",
    }
)


def check(schema: Mapping[str, Any], document: Located, *, source: str) -> None:
    """Raise MalformedError for the first fault in *document*, with its line in *source*."""
    for path, fault in _faults(schema, schema, document.value, ()):
        where = ".".join(str(part) for part in path) or "the document"
        line = document.line(path)
        raise MalformedError(f"cannot use {source}, line {line}: {where}: {fault}")


def _faults(
    root: Mapping[str, Any], schema: Mapping[str, Any], value: Any, path: Path
) -> Iterator[tuple[Path, str]]:
    unknown = set(schema) - _KEYWORDS - _ANNOTATIONS
    if unknown:
        raise NotImplementedError(f"schema keywords: {sorted(unknown)}")
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        yield from _faults(root, target, value, path)
        return
    kind, name = _TYPES[schema["type"]]
    if not isinstance(value, kind):
        yield path, f"must be {name}"
    elif isinstance(value, dict):
        yield from _object_faults(root, schema, value, path)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield path, "must not be empty"
        for index, item in enumerate(value):
            yield from _faults(root, schema["items"], item, (*path, index))
    elif isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield path, f"{value!r} does not match {schema['pattern']}"


def _object_faults(
    root: Mapping[str, Any], schema: Mapping[str, Any], value: dict[Any, Any], path: Path
) -> Iterator[tuple[Path, str]]:
    properties = schema.get("properties", {})
    known = ", ".join(properties)
    for key in value:
        if key not in properties:
            yield (*path, key), f"is not a known key; known are {known}"
    for key in schema.get("required", ()):
        if key not in value:
            yield path, f"{key} is missing"
    if len(value) < schema.get("minProperties", 0):
        yield path, f"must have one of {known}"
    if len(value) > schema.get("maxProperties", len(value)):
        yield path, f"must have only one of {known}"
    for key, item in value.items():
        if key in properties:
            yield from _faults(root, properties[key], item, (*path, key))
