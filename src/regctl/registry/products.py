"""
Harbor's own list of repositories: what a user may see, where the registry's catalog is refused.

Harbor gives `/v2/_catalog` to administrators only, and says 401 to all others whatever their
password (goharbor/harbor, src/server/middleware/v2auth). Its API lists what a user may pull.
"""

import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from regctl.errors import NotAuthenticatedError, RegistryError
from regctl.registry.pagination import on_page
from regctl.registry.response import Response

PAGE_SIZE = 100
"""The most that Harbor gives at once."""

Request = Callable[[str, str, str], Response]


def is_harbor(request: Request, attempt: str) -> bool:
    """Tell whether Harbor answers here; it says so to everybody."""
    reply = request("GET", "/api/v2.0/ping", attempt)
    return reply.status == HTTPStatus.OK and reply.body.strip(b'"\n ') == b"Pong"


def pages(request: Request, attempt: str) -> Iterator[list[str]]:
    """
    Yield PROJECT/REPOSITORY of all that the user may see, by name, a page at a time.

    Raises NotAuthenticatedError, RegistryError.
    """
    page, given = 1, 0
    while True:
        target = f"/api/v2.0/repositories?page={page}&page_size={PAGE_SIZE}&sort=name"
        reply = request("GET", target, on_page(attempt, page))
        names = list(_names(reply, on_page(attempt, page)))
        yield names
        given += len(names)
        total = reply.headers.get("X-Total-Count", "")
        if not names or (total.isdecimal() and given >= int(total)):
            return
        page += 1


def _names(reply: Response, attempt: str) -> Iterator[str]:
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise NotAuthenticatedError(
            f"{attempt}: Harbor refuses the user or the password",
            hint="a robot's name has a $ in it: put it in single quotes",
        )
    if reply.status != HTTPStatus.OK:
        raise RegistryError(f"{attempt}: Harbor's API answers {reply.status}")
    try:
        document: Any = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{attempt}: the answer of Harbor's API is not JSON") from error
    if not isinstance(document, list):
        raise RegistryError(f"{attempt}: the answer of Harbor's API is no list")
    for entry in document:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            yield entry["name"]
