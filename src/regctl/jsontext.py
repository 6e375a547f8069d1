"""JSON in: what a file, a server or a Secret holds. The standard library's parser, and no more."""

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from regctl.errors import MalformedError


def parse_json(text: bytes | str, *, source: str, **options: Any) -> Any:
    """
    Return the value of a JSON document; *source* names it in errors, *options* are `json.loads`'s.

    Raises MalformedError with the line. The error is not chained and never quotes the document,
    which may hold passwords.
    """
    try:
        return json.loads(text, **options)
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


# As Go's encoding/json reads it


class GoObject(dict[str, Any]):
    """A JSON object; its *members* are in order, with each value of a double name."""

    def __init__(self, members: Iterable[tuple[str, Any]]) -> None:
        self.members = list(members)
        super().__init__(self.members)

    def values_of(self, field: str) -> list[Any]:
        """Return the values of a field, whose name is in any case, in order."""
        return [value for name, value in self.members if _folded(name) == field]

    def without(self, field: str) -> dict[str, Any]:
        """Return the members but those of a field, whose name is in any case."""
        return {name: value for name, value in self.items() if _folded(name) != field}


def parse_go_json(text: bytes | str, *, source: str) -> Any:
    """
    Return the value of a JSON document as Go reads it: docker, the kubelet and kubectl do.

    Objects are GoObjects. A byte that is not UTF-8, and half a surrogate pair, become U+FFFD.
    Raises MalformedError as `parse_json` does.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="surrogateescape")
    text = _ESCAPE.sub(lambda found: r"\ufffd" if found[1] else found[0], text)
    return parse_json(
        _SURROGATE.sub("\ufffd", text),
        source=source,
        object_pairs_hook=GoObject,
        parse_constant=_no_number,
    )


_SURROGATE = re.compile("[\ud800-\udfff]")
_HIGH, _LOW = "u[dD][89abAB][0-9a-fA-F]{2}", "u[dD][c-fC-F][0-9a-fA-F]{2}"
# A pair of surrogates, half of one, or any other escape.
_ESCAPE = re.compile(rf"\\(?:{_HIGH}\\{_LOW}|({_HIGH}|{_LOW})|.)", re.DOTALL)


def _folded(name: str) -> str:
    # The long s is the only other letter that Go folds to one of ASCII, next to the Kelvin sign.
    return name.lower().replace("\u017f", "s")


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
