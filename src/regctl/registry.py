"""
The registry's HTTP API, as a client.

What is asked, and how answers are read, follows the OCI distribution specification and what
distribution 2.8 and 3, Harbor, Quay, zot and others do beyond it. Credentials are sent to the
registry's own origin and to the token server that it names, and nowhere else.
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote, urljoin, urlsplit

from regctl import harbor
from regctl.authentication import Authenticator, Want
from regctl.credentials import Credential
from regctl.errors import (
    AccessError,
    BrokenOffError,
    DigestMismatchError,
    NotARegistryError,
    NotFoundError,
    RegctlError,
    RegistryError,
    UnfinishedListError,
)
from regctl.exchange import RETRIED_STATUSES, Backoff, Observer, retry_after
from regctl.reference import Registry
from regctl.refusals import no_catalog, refusal
from regctl.transport import MAX_ANSWER_BYTES, Body, Reply, Transport, Wire, ignore

PAGE_SIZE = 1000
"""Names asked for at once: the most that distribution gives."""

# Asked for by their types, for without them distribution 2.8 converts what it has.
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MAX_REDIRECTS = 5
_MAX_PAUSE = 60.0
_SAFE = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LINK = re.compile(r"<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:\"[^\"]*\"|[^\s\",;]+))*)")
_LINK_PARAMETER = re.compile(r"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+))")
_REPOSITORY_PATH = re.compile(r"/v2/(?P<name>.+)/(?:manifests|blobs|tags|referrers)/")


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as it is stored: its *digest* is that of the bytes in *body*."""

    digest: str
    media_type: str
    body: bytes = field(repr=False)


def _no_wait(_seconds: float) -> None:
    """Say nothing of a pause."""


class RegistryClient:
    """
    One registry, as one user or as nobody.

    Every method raises UnreachableError, CertificateError, NotARegistryError,
    NotAuthenticatedError, NotPermittedError, UntrustedRealmError or RegistryError; what it raises
    beyond them it says. May be used by several threads. *waiting* is called with the seconds of
    each pause that the registry asks for.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        credential: Credential | None = None,
        transport: Transport | None = None,
        observer: Observer = ignore,
        backoff: Backoff | None = None,
        waiting: Callable[[float], None] = _no_wait,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self.credential = credential
        transport = transport or Transport()
        scheme = "http" if transport.plain_http else "https"
        self.origin = f"{scheme}://{registry.endpoint}"
        self._wire = Wire(self.origin, transport, name=str(registry), observer=observer)
        self._authenticator = Authenticator(
            self.origin, str(registry), credential, self._wire.send, clock
        )
        self._backoff = backoff or Backoff(tries=4)
        self._waiting = waiting

    # What a registry knows

    def ping(self) -> None:
        """Return where the registry answers and lets us in."""
        attempt = f"cannot reach the registry {self.registry}"
        reply = self.request("GET", "/v2/", attempt)
        if reply.status != HTTPStatus.OK:
            raise refusal(reply, attempt, self.registry, self.credential)

    def repositories(self, *, last: str | None = None) -> Iterator[str]:
        """
        Yield every repository, however many pages there are, each once.

        A page is asked for when the one before it is used up. *last* goes on after that name.
        Harbor, which refuses the catalog to most, is asked by its own API for what one may see.
        Raises NoCatalogError where the registry has no such list for us; UnfinishedListError, with
        the last name, where it breaks off after the first page.
        """
        attempt = f"cannot list the repositories of {self.registry}"
        try:
            yield from self._names("/v2/_catalog", "repositories", attempt, last)
        except (NotFoundError, AccessError) as error:
            if known := no_catalog(self.registry, error):
                raise known from error
            if not isinstance(error, AccessError) or not harbor.is_harbor(self.request, attempt):
                raise
            names = harbor.repositories(self.request, attempt)
            yield from (name for name in names if last is None or name > last)

    def tags(self, repository: str) -> list[str]:
        """
        Return the tags of *repository*, sorted.

        None for one that the catalog keeps after its last tag is gone. Raises NotFoundError for a
        repository that is not there.
        """
        attempt = f"cannot list the tags of {self.registry}/{repository}"
        path = f"/v2/{quote(repository)}/tags/list"
        try:
            # Artifactory lists digests among the tags; a tag has no colon.
            return sorted(t for t in self._names(path, "tags", attempt, None) if ":" not in t)
        except UnfinishedListError as error:
            raise RegistryError(str(error)) from error

    def manifest(self, repository: str, reference: str) -> Manifest:
        """
        Return what a tag or a digest stands for.

        Raises NotFoundError, DigestMismatchError where the content is not what its digest says.
        """
        attempt = f"cannot get {_image(self.registry, repository, reference)}"
        reply = self.request(
            "GET",
            f"/v2/{quote(repository)}/manifests/{quote(reference, safe=':')}",
            attempt,
            headers={"Accept": ", ".join(MANIFEST_TYPES)},
            limit=MAX_MANIFEST_BYTES,
        )
        if reply.status != HTTPStatus.OK:
            raise refusal(reply, attempt, self.registry, self.credential)
        digest = f"sha256:{hashlib.sha256(reply.body).hexdigest()}"
        said = reply.headers.get("Docker-Content-Digest", digest)
        named = reference if ":" in reference else said
        for promised in (said, named):
            if promised.startswith("sha256:") and promised != digest:
                raise DigestMismatchError(f"{attempt}: its content has the digest {digest}")
        kind = reply.headers.get("Content-Type", "").partition(";")[0].strip()
        return Manifest(named if ":" in reference else digest, kind, reply.body)

    def blob(self, repository: str, digest: str, *, limit: int = MAX_MANIFEST_BYTES) -> bytes:
        """Return a blob of *limit* bytes at most. Raises NotFoundError, DigestMismatchError."""
        attempt = f"cannot get the blob {digest} of {self.registry}/{repository}"
        target = f"/v2/{quote(repository)}/blobs/{quote(digest, safe=':')}"
        reply = self.request("GET", target, attempt, limit=limit)
        if reply.status != HTTPStatus.OK:
            raise refusal(reply, attempt, self.registry, self.credential)
        algorithm, _, promised = digest.partition(":")
        with contextlib.suppress(ValueError):
            if hashlib.new(algorithm, reply.body).hexdigest() != promised:
                raise DigestMismatchError(f"{attempt}: its content has another digest")
        return reply.body

    # Lists

    def _names(self, path: str, key: str, attempt: str, last: str | None) -> Iterator[str]:
        after = f"&last={quote(last, safe='')}" if last else ""
        target: str | None = f"{path}?n={PAGE_SIZE}{after}"
        reply = self.request("GET", f"{path}?n={PAGE_SIZE}{after}", attempt)
        if reply.status == HTTPStatus.BAD_REQUEST and reply.body:
            # A registry may allow fewer, and says so rather than give fewer.
            target = path + after.replace("&", "?", 1)
            reply = self.request("GET", target, attempt)
        fresh, asked, newest = _Fresh(), {target}, last
        try:
            while True:
                for name in self._page(reply, key, attempt):
                    if fresh(name):
                        newest = name
                        yield name
                fresh.turn()
                target = self._next(reply)
                if target is None:
                    return
                if target in asked:
                    raise RegistryError(
                        f"{attempt}: its pages go in a circle: {target} came before"
                    )
                asked.add(target)
                reply = self.request("GET", target, attempt)
        except RegctlError as error:
            if newest is None or newest == last:
                raise
            raise UnfinishedListError(str(error), last=newest) from error

    def _page(self, reply: Reply, key: str, attempt: str) -> Iterator[str]:
        if reply.status != HTTPStatus.OK:
            raise refusal(reply, attempt, self.registry, self.credential)
        try:
            document = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise NotARegistryError(
                f"{attempt}: what answers at {reply.url} is not a registry: its answer is not JSON"
            ) from error
        names = document.get(key) if isinstance(document, dict) else document
        if names is None and isinstance(document, dict) and key in document:
            return
        if not isinstance(names, list):
            raise NotARegistryError(f"{attempt}: the answer of {reply.url} has no list of {key}")
        yield from (name for name in names if isinstance(name, str) and name)

    def _next(self, reply: Reply) -> str | None:
        """Return the path and query of the next page; its host is not asked, ours is."""
        for url, parameters in _links(reply.headers.get("Link", "")):
            if parameters.get("rel", "").lower() == "next":
                return self.target_of(url, reply)
        return None

    # One request

    def target_of(self, location: str, reply: Reply) -> str:
        """
        Return the path and query of a `Link` or `Location` in *reply*: for our own origin.

        A registry behind a proxy may name another host or scheme for itself; a hostile one may
        name another server. Neither is asked.
        """
        parts = urlsplit(urljoin(reply.url, location))
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"

    def request(
        self,
        method: str,
        target: str,
        attempt: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        limit: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """
        Send a request for *target*, a path with its query, authenticated as it asks for.

        Any status comes back, but for redirects of GET and HEAD, which are followed: to another
        origin without credentials. GET and HEAD are tried again where that may help. A *body* that
        is a file is sent from where it stands, and again from there. *attempt* begins the message
        of every error: "cannot list …".
        """
        asked = _Request(method, target, attempt, headers or {}, body, _place(body), limit)
        pauses = self._backoff.pauses()
        while True:
            try:
                reply = self._authenticated(asked)
            except BrokenOffError:
                pause = next(pauses, None) if method in _SAFE else None
                if pause is None:
                    raise
                time.sleep(pause)
                continue
            if reply.status not in RETRIED_STATUSES or method not in _SAFE:
                return reply
            pause = next(pauses, None)
            if pause is None:
                return reply
            wished = retry_after(reply.headers.get("Retry-After"))
            if wished is not None and wished > _MAX_PAUSE:
                raise RegistryError(
                    f"{attempt}: it answers {reply.status} and asks to come back in {wished:.0f} s"
                )
            pause = pause if wished is None else wished
            self._waiting(pause)
            time.sleep(pause)

    def _authenticated(self, asked: "_Request") -> Reply:
        """Send a request as whoever its answers ask for, until that is settled."""
        want = _want(asked)
        authorization = self._authenticator.first(want)
        tried: list[str] = []
        while True:
            reply = self._followed(asked, authorization)
            if authorization is not None:
                tried.append(authorization)
            if reply.status != HTTPStatus.UNAUTHORIZED:
                return reply
            authorization = self._authenticator.after(reply, tried, want)
            if authorization is None:
                return reply

    def _followed(self, asked: "_Request", authorization: str | None) -> Reply:
        """Send a request and follow redirects; to another origin they go without credentials."""
        url = self.origin + asked.target
        for _ in range(_MAX_REDIRECTS):
            headers = dict(asked.headers)
            if authorization is not None and url.startswith(f"{self.origin}/"):
                headers["Authorization"] = authorization
            reply = self._wire.send(
                asked.method,
                url,
                asked.attempt,
                headers=headers,
                body=asked.rewound(),
                limit=asked.limit,
            )
            location = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or asked.method not in _SAFE or not location:
                return reply
            url = _redirected(url, location, asked.attempt)
        raise RegistryError(f"{asked.attempt}: it redirects more than {_MAX_REDIRECTS} times")


@dataclass(frozen=True)
class _Request:
    """A request, which may have to be sent several times; *place* is where its body begins."""

    method: str
    target: str
    attempt: str
    headers: Mapping[str, str] = field(repr=False)
    body: Body | None = field(repr=False)
    place: int
    limit: int

    def rewound(self) -> Body | None:
        """Return the body, from its beginning."""
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.seek(self.place)
        return self.body


class _Fresh:
    """
    Whether a name comes for the first time.

    In a list that is sorted only the names of this page and the one before are kept, so that a
    long list takes no more memory than a short one. From the first name out of order on, all are.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._before: set[str] = set()
        self._newest = ""
        self._sorted = True

    def __call__(self, name: str) -> bool:
        if name in self._seen or name in self._before:
            return False
        self._sorted = self._sorted and name > self._newest
        self._newest = name
        self._seen.add(name)
        return True

    def turn(self) -> None:
        """Begin another page."""
        if self._sorted:
            self._before, self._seen = self._seen, set()


def _image(registry: Registry, repository: str, reference: str) -> str:
    return f"{registry}/{repository}{'@' if ':' in reference else ':'}{reference}"


def _place(body: Body | None) -> int:
    return 0 if body is None or isinstance(body, bytes) else body.tell()


def _want(asked: _Request) -> Want:
    """Return the part of the API that a request is for, and the scope that it takes."""
    path = asked.target.partition("?")[0]
    if match := _REPOSITORY_PATH.match(path):
        actions = {"GET": "pull", "HEAD": "pull", "DELETE": "pull,delete"}
        scope = f"repository:{match['name']}:{actions.get(asked.method, 'pull,push')}"
        return Want("repository", scope, asked.attempt)
    if path == "/v2/_catalog":
        return Want("catalog", "registry:catalog:*", asked.attempt)
    return Want(path, "", asked.attempt)


def _redirected(url: str, location: str, attempt: str) -> str:
    to = urljoin(url, location)
    parts = urlsplit(to)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise RegistryError(f"{attempt}: it redirects to what is no address")
    if parts.scheme == "http" and url.startswith("https:"):
        raise RegistryError(f"{attempt}: it redirects to {parts.netloc} without TLS")
    return to


def _links(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield each link of a `Link` header (RFC 8288) with its parameters."""
    for match in re.finditer(
        r"<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:\"[^\"]*\"|[^\s\",;]+))*)", header
    ):
        pairs = re.findall(r"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+))", match[2])
        yield match[1], {name.lower(): quoted or bare for name, quoted, bare in pairs}
