"""One response of a registry, read to its end, and the errors that its body names."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from regctl.errors import MalformedError
from regctl.jsontext import parse_json

# Where an error has its text. The first three are the specification's, the others those of Docker
# Hub and Quay.
_TEXTS = ("message", "code", "detail", "details", "error")


def whole_number(text: str) -> int | None:
    """Return the number in a header, or None if it is not one of at most 18 digits."""
    return int(text) if len(text) <= 18 and text.isdecimal() else None


@dataclass(frozen=True)
class Response:
    """
    A response, read to its end.

    Names of *headers* compare without case. *challenges* are its `WWW-Authenticate` headers.
    *with_token* is True for a 401 that rejects a bearer token.
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    challenges: tuple[str, ...] = ()
    with_token: bool = False

    @cached_property
    def document(self) -> Any:
        """The body as JSON, or None if it is not JSON."""
        with suppress(MalformedError):
            return parse_json(self.body, source="the response")
        return None

    @cached_property
    def errors(self) -> list[dict[str, Any]]:
        """
        The errors that the body names, in their order.

        Reads the distribution specification's `errors`, and a single object in its place, as zot,
        Docker Hub and Quay send it.
        """
        document = self.document
        if not isinstance(document, dict):
            return []
        listed = document.get("errors")
        entries = listed if isinstance(listed, list) else [document]
        return [one for one in entries if isinstance(one, dict) and one.keys() & set(_TEXTS)]

    @property
    def codes(self) -> frozenset[str]:
        """The error codes that the body names, such as `DENIED`."""
        codes = (error.get("code") for error in self.errors)
        return frozenset(code for code in codes if isinstance(code, str))

    @property
    def error_texts(self) -> list[str]:
        """What a message quotes of each error: the message, else the code, else the detail."""
        texts = ([error.get(name) for name in _TEXTS] for error in self.errors)
        return [next((it for it in found if isinstance(it, str)), "error") for found in texts]
