"""One response of a registry, read to its end, and the errors that its body names."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class ErrorEntry:
    """
    One error of a response's body.

    *code* is empty if the registry sends none. *text* is what a message quotes: the message, else
    the code, else the detail, else the word `error`.
    """

    code: str
    text: str
    detail: object = None


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
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def errors(self) -> tuple[ErrorEntry, ...]:
        """
        The errors that the body names, in their order.

        Reads the distribution specification's `errors`, and a single object in its place, as zot,
        Docker Hub and Quay send it.
        """
        document = self.document
        if not isinstance(document, dict):
            return ()
        listed = document.get("errors")
        return tuple(_entries(listed if isinstance(listed, list) else [document]))

    @property
    def codes(self) -> frozenset[str]:
        """The error codes that the body names, such as `DENIED`."""
        return frozenset(error.code for error in self.errors)


# The first three are the specification's, the others those of Docker Hub and Quay.
_TEXTS = ("message", "code", "detail", "details", "error")


def _entries(listed: list[Any]) -> Iterator[ErrorEntry]:
    for entry in listed:
        if isinstance(entry, dict) and entry.keys() & set(_TEXTS):
            texts = (entry[name] for name in _TEXTS if isinstance(entry.get(name), str))
            code = entry.get("code")
            yield ErrorEntry(
                code if isinstance(code, str) else "", next(texts, "error"), entry.get("detail")
            )
