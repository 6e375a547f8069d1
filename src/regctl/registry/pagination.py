"""
Lists that come in pages: the link to the next page, and each name once.

The links are those of RFC 8288 as the distribution specification uses them.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urljoin, urlsplit

from regctl.errors import IncompleteListError, RegctlError, RegistryError

_BARREN_PAGES = 100

_LINK = re.compile(
    r'<([^<>]*)>((?:[ \t]*;[ \t]*[^\s;,="]+(?:[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)'
)
_REL = re.compile(r';[ \t]*rel[ \t]*=[ \t]*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)


def next_page(link: str, url: str, target: str) -> str | None:
    """
    Return path and query of the next page, or None at the end.

    *link* is the `Link` of the page that came from *url* when *target* was asked for. Its host is
    dropped: it may be a proxy's idea of itself, and ours is who we trust. So is what stands before
    our own path, which is where Nexus keeps the repository and its connector does not.
    """
    for address, parameters in _LINK.findall(link):
        if any("next" in (a or b).lower().split() for a, b in _REL.findall(parameters)):
            parts = urlsplit(urljoin(url, address))
            asked = urlsplit(target).path
            path = asked if parts.path.endswith(asked) else parts.path or asked
            return f"{path}?{parts.query}" if parts.query else path
    return None


def each_once(
    pages: Iterable[list[str]], attempt: str, *, last: str | None, limit: int | None
) -> Iterator[str]:
    """
    Yield the names of all *pages*, each once, those after *last*, at most *limit*.

    *attempt* begins the message of every error: "cannot list …". Raises IncompleteListError for
    an error after the first name, and if a hundred pages in a row bring no new name.
    """
    seen = set[str]()
    newest, barren = "", 0
    # A registry that ignores `last` sends the whole list.
    before_last = last is not None
    try:
        for number, page in enumerate(pages, 1):
            known = len(seen)
            for name in page:
                before_last = before_last and last is not None and newest < name <= last
                if before_last:
                    newest = name
                elif name not in seen:
                    seen.add(name)
                    newest = name
                    yield name
                    if len(seen) == limit:
                        return
            barren = 0 if len(seen) > known or before_last else barren + 1
            if barren > _BARREN_PAGES:
                raise RegistryError(
                    f"{on_page(attempt, number)}: no new name in the last {barren} pages"
                )
    except RegctlError as error:
        if not seen:
            raise
        raise IncompleteListError(error.message, last=newest) from error


def on_page(attempt: str, number: int) -> str:
    """Return how the message of an error begins that a list's page of this number raises."""
    return attempt if number == 1 else f"{attempt} to the end: page {number}"
