"""
Lists that come in pages: the link to the next page, and each name once.

The links are those of RFC 8288 as the distribution specification uses them.
"""

import re
from array import array
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
    what fails after the first name, and where the pages go on and on without a new one.
    """
    seen, given, newest, barren, number = Seen(), 0, "", 0, 0
    # A registry that does not know `last` begins at the beginning.
    behind = last is not None
    try:
        for number, page in enumerate(pages, 1):
            before = given
            for name in page:
                behind = behind and last is not None and newest < name <= last
                if behind:
                    newest = name
                elif seen.is_new(name):
                    given, newest = given + 1, name
                    yield name
                    if given == limit:
                        return
            barren = 0 if given > before or behind else barren + 1
            if barren > _BARREN_PAGES:
                raise RegistryError(
                    f"{attempt}: {barren} pages up to page {number} bring nothing new"
                )
    except RegctlError as error:
        if not given:
            raise
        why = error.message.removeprefix(f"{attempt}: ")
        raise IncompleteListError(
            f"{attempt} to the end: page {number + 1}: {why}", last=newest
        ) from error


class Seen:
    """
    Tells names that are new, at eight bytes for each in a list that comes in order.

    Until the order breaks a name beyond the last one is new, and of the others a fingerprint is
    kept; after that fingerprints are compared. Two of 100,000 names share one of 64 bits with a
    chance of 1 in 3,000 million.
    """

    def __init__(self) -> None:
        self._last = ""
        self._ordered: array[int] | None = array("q")
        self._prints: set[int] = set()

    def is_new(self, name: str) -> bool:
        """Tell whether *name* is asked about for the first time."""
        print_ = hash(name)
        if self._ordered is not None:
            if name > self._last:
                self._last = name
                self._ordered.append(print_)
                return True
            self._prints.update(self._ordered)
            self._ordered = None
        if print_ in self._prints:
            return False
        self._prints.add(print_)
        return True
