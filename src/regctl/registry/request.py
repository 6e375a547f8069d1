"""One request to a registry, or to a server that it names, without a password."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs

from regctl.retry import NOT_PROCESSED, UNAVAILABLE

# distribution answers 500 if its storage fails for a moment.
BUSY = UNAVAILABLE | {500}

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_REPOSITORY_PATH = re.compile(r"/v2/(?P<name>.+)/(?:manifests|blobs|tags|referrers)/")
_ACTIONS = {"GET": "pull", "HEAD": "pull", "DELETE": "pull,delete"}


class SeekableBody(Protocol):
    """A body that is sent in pieces, and again from the same position for another try."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield pieces from the current position."""

    def tell(self) -> int:
        """Return the current position."""

    def seek(self, offset: int, /) -> int:
        """Change the current position."""


@dataclass(frozen=True)
class Request:
    """
    A request for *target*: a path with its query at the registry, or the URL of another server.

    *attempt* begins the message of every error: "cannot list …". A *body* that is a file is sent
    from its current position. A response with more than *limit* bytes is an error; without a limit
    only the words at its beginning are read. *is_list* gives the response the time of a page of a
    list. *actions* ("pull,push") are the rights to ask a token server for; by default the method
    decides. *repeatable* allows retries of a method other than GET and HEAD. A status that is not
    in *expect* is an error, unless *expect* is empty.
    """

    method: str
    target: str
    attempt: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | SeekableBody | None = field(default=None, repr=False)
    limit: int | None = None
    is_list: bool = False
    actions: str | None = None
    repeatable: bool = False
    expect: Collection[int] = ()

    def may_repeat_after(self, status: int) -> bool:
        """Return whether another try may help, and does no harm if this one had an effect."""
        return status in NOT_PROCESSED or (status in BUSY and self.may_repeat)

    @property
    def may_repeat(self) -> bool:
        """Whether the request can be sent twice."""
        return self.repeatable or self.is_read

    @property
    def is_transfer(self) -> bool:
        """Whether it carries a blob, which takes as long as its size needs."""
        is_upload = self.body is not None and not isinstance(self.body, bytes)
        return is_upload or (self.method == "GET" and "/blobs/sha" in self.target)

    @property
    def is_read(self) -> bool:
        """Whether the request changes nothing: its redirects are followed."""
        return self.method in _SAFE_METHODS

    @property
    def scope(self) -> str:
        """The scope to ask a token server for, if its challenge names none."""
        path, _, query = self.target.partition("?")
        if match := _REPOSITORY_PATH.match(path):
            actions = self.actions or _ACTIONS.get(self.method, "pull,push")
            scopes = [f"repository:{match['name']}:{actions}"]
            # A blob that is mounted is read in another repository.
            scopes += [f"repository:{name}:pull" for name in parse_qs(query).get("from", ())]
            return " ".join(scopes)
        return "registry:catalog:*" if path == "/v2/_catalog" else ""

    @property
    def part(self) -> str:
        """The part of the API that authenticates alike: `repository`, `registry` or the path."""
        return self.scope.partition(":")[0] or self.target.partition("?")[0]
