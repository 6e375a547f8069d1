"""JSON in: what a file, a server or a Secret holds. The standard library's parser, and no more."""

import json
from typing import Any

from regctl.errors import MalformedError


def parse_json(text: bytes | str, *, source: str) -> Any:
    """
    Return the value of a JSON document; *source* names it in errors.

    Raises MalformedError with the line. The error is not chained and never quotes the document,
    which may hold passwords.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"cannot read {source}, line {error.lineno}: not JSON: {error.msg}"
        ) from None
    except (ValueError, RecursionError):
        raise MalformedError(f"cannot read {source}: not JSON") from None


def parse_json_object(text: bytes | str, *, source: str) -> dict[str, Any]:
    """Return the JSON object in *text*. Raises MalformedError for any other value."""
    document = parse_json(text, source=source)
    if not isinstance(document, dict):
        raise MalformedError(f"cannot read {source}: not a JSON object")
    return document


def json_object_or_empty(text: bytes | str) -> dict[str, Any]:
    """Return the JSON object in *text*, or an empty one if it holds anything else."""
    try:
        return parse_json_object(text, source="the document")
    except MalformedError:
        return {}
