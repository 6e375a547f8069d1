"""
Lists in pages: the request for each page, the link to the next one, and each name once.

The links are those of RFC 8288 as the distribution specification uses them.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode

from regctl.errors import IncompleteListError, NotARegistryError, RegctlError, RegistryError
from regctl.registry.request import Request
from regctl.registry.response import Response
from regctl.registry.session import Session
from regctl.registry.urls import host_of, resolve_location

PAGE_SIZE = 1000
"""How many names to request at once: the most that distribution sends."""

_MAX_PAGE_BYTES = 4 * 1024 * 1024
# All names of a list are kept in memory, to name each once.
_MAX_NAMES = 1_000_000
_MAX_CHARACTERS = 64 * 1024 * 1024
_MAX_PAGES = 10_000
_MAX_PAGES_WITHOUT_A_NEW_NAME = 100
# The statuses of registries that reject a page of that size.
_PAGE_SIZE_REJECTED = frozenset({400, 405, 422})

_LINK = re.compile(
    r'<([^<>]*)>((?:[ \t]*;[ \t]*[^\s;,="]+(?:[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)'
)
_REL = re.compile(r';[ \t]*rel[ \t]*=[ \t]*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)


class ListQuery(NamedTuple):
    """
    What to list: the names under *key* in the responses for *path*.

    The list begins after the name *last* and ends after *limit* names. *attempt* begins the
    message of every error: "cannot list …".
    """

    path: str
    key: str
    attempt: str
    last: str | None = None
    limit: int | None = None

    def attempt_on(self, page: int) -> str:
        """Return how the message of an error on this page begins; the first page is 1."""
        return self.attempt if page == 1 else f"{self.attempt} to the end: page {page}"


def fetch_pages(session: Session, query: ListQuery) -> Iterator[list[str]]:
    """
    Yield the names of each page; a page is requested when the one before it is used up.

    Raises RegistryError if the pages link in a circle, and what `Session.send` raises.
    """
    last = {"last": query.last} if query.last else {}
    size = PAGE_SIZE if query.limit is None else max(1, min(query.limit, PAGE_SIZE))
    target = f"{query.path}?{urlencode({'n': size, **last})}"
    requested = set[int]()  # not the URLs, which a server may make long
    for page in itertools.count(1):
        attempt = query.attempt_on(page)
        if hash(target) in requested:
            raise RegistryError(
                f"{attempt}: the registry's pages link in a circle back to "
                f"{session.redacted(target)}"
            )
        requested.add(hash(target))
        reply = session.send(page_request(target, attempt))
        if page == 1 and reply.status in _PAGE_SIZE_REJECTED and reply.body:
            # Some registries reject a large page instead of sending a smaller one.
            target = f"{query.path}?{urlencode(last)}" if last else query.path
            reply = session.send(page_request(target, attempt))
        if reply.status != HTTPStatus.OK:
            raise session.error_for(reply, attempt)
        yield list(_names(reply, query, attempt))
        following = next_page(reply, target, query.attempt_on(page + 1))
        if following is None:
            return
        target = following


def page_request(target: str, attempt: str) -> Request:
    """Return the request for a page of a list, which may have 4 MiB of JSON."""
    return Request("GET", target, attempt, limit=_MAX_PAGE_BYTES, is_list=True)


def next_page(reply: Response, target: str, attempt: str) -> str | None:
    """
    Return path and query of the page after *reply*, the response for *target*, or None at the end.

    The host of the link is dropped: a proxy may have put its own there. The part of its path
    before our own path is dropped too: Nexus names its repository there, which its connector does
    not know. Raises RegistryError if the link is not a URL.
    """
    for address, parameters in _LINK.findall(reply.headers.get("Link", "")):
        if any("next" in (a or b).lower().split() for a, b in _REL.findall(parameters)):
            path, mark, query = resolve_location(address, reply.url, attempt).partition("?")
            own_path = target.partition("?")[0]
            if path == "/" or path.endswith(own_path):
                path = own_path
            return f"{path}{mark}{query}"
    return None


def _names(reply: Response, query: ListQuery, attempt: str) -> Iterator[str]:
    document = reply.document
    if not isinstance(document, dict | list):
        raise NotARegistryError(
            f"{attempt}: the server at {host_of(reply.url)} is not a registry: "
            "its response is not a JSON object"
        )
    key = query.key
    names = document.get(key) if isinstance(document, dict) else document
    if names is None and key in document:
        return
    if not isinstance(names, list):
        raise NotARegistryError(
            f"{attempt}: the response of {host_of(reply.url)}{query.path} has no list of {key}"
        )
    yield from (name for name in names if isinstance(name, str) and name)


def each_once(pages: Iterable[list[str]], query: ListQuery) -> Iterator[str]:
    """
    Yield the names of all *pages*, each once, those after `query.last`, at most `query.limit`.

    Raises IncompleteListError for an error after the first name, if a hundred pages in a row bring
    no new name, and for more than a million names or 64 MiB of them.
    """
    seen = set[str]()
    newest, stale_pages, characters = "", 0, 0
    last = query.last
    # A registry that ignores `last` sends the whole list.
    before_last = last is not None
    try:
        for number, page in enumerate(pages, 1):
            known = len(seen)
            if number > _MAX_PAGES or known >= _MAX_NAMES or characters > _MAX_CHARACTERS:
                raise RegistryError(
                    f"{query.attempt}: more than {known} names on {number - 1} pages"
                )
            for name in page:
                before_last = before_last and last is not None and newest < name <= last
                if before_last:
                    newest = name
                elif name not in seen:
                    seen.add(name)
                    newest = name
                    characters += len(name)
                    yield name
                    if len(seen) == query.limit:
                        return
            stale_pages = 0 if len(seen) > known or before_last else stale_pages + 1
            if stale_pages > _MAX_PAGES_WITHOUT_A_NEW_NAME:
                raise RegistryError(
                    f"{query.attempt_on(number)}: no new name in the last {stale_pages} pages"
                )
    except RegctlError as error:
        if not seen:
            raise
        raise IncompleteListError(error.message, last=newest) from error
