"""
The registry's HTTP API, as a client.

What is asked, and how answers are read, follows the OCI distribution specification and what
distribution 2.8 and 3, Harbor, Quay, zot and others do beyond it. Credentials are sent to the
registry's own origin and to the token server that it names, and nowhere else.
"""

import contextlib
import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from regctl.credentials.credential import Credential
from regctl.errors import (
    AccessError,
    ConnectionLostError,
    DigestMismatchError,
    IncompleteListError,
    InvalidReferenceError,
    NotARegistryError,
    NotAuthenticatedError,
    NotInRegistryError,
    NotPermittedError,
    RegctlError,
    RegistryError,
    RegistryUnreachableError,
)
from regctl.reference import Registry
from regctl.registry import products as harbor
from regctl.registry.authentication import PRIVATE, Authenticator, Want, closer
from regctl.registry.error_responses import catalog_error, deletion_error, error_for
from regctl.registry.pagination import each_once, next_page, on_page
from regctl.registry.response import Response
from regctl.registry.transport import (
    MAX_ANSWER_BYTES,
    Body,
    ConnectionSettings,
    HttpTransport,
    same_origin,
)
from regctl.retry import RETRIED_STATUSES, Backoff, OnRequest, ignore_request, retry_after

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
# A digest is of the bytes as they are stored.
_VERBATIM = {"Accept-Encoding": "identity"}
# With which a registry says that it does not give so many at once.
_N_REFUSED = frozenset({400, 405, 422})
_MAX_NOTICES = 20
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
_MAX_REDIRECTS = 5
_MAX_PAUSE = 120.0
_SAFE = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPOSITORY_PATH = re.compile(r"/v2/(?P<name>.+)/(?:manifests|blobs|tags|referrers)/")


@dataclass(frozen=True)
class ManifestHead:
    """What names a manifest; *size* is that of its content, in bytes."""

    digest: str
    media_type: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as it is stored: its *digest* is that of the bytes in *body*."""

    digest: str
    media_type: str
    body: bytes = field(repr=False)


def _no_wait(_seconds: object) -> None:
    """Say nothing."""


class RegistryClient:
    """
    One registry, as one user or as nobody.

    Every method raises RegistryUnreachableError, CertificateError, NotARegistryError,
    NotAuthenticatedError, NotPermittedError, UntrustedRealmError or RegistryError; what it raises
    beyond them it says. May be used by several threads. *waiting* is called with the seconds of
    each pause that the registry asks for, *notice* once with each thing that is to be said of an
    answer that is used none the less.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        credential: Credential | None = None,
        transport: ConnectionSettings | None = None,
        on_request: OnRequest = ignore_request,
        backoff: Backoff | None = None,
        waiting: Callable[[float], None] = _no_wait,
        notice: Callable[[str], None] = _no_wait,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self.credential = credential
        transport = transport or ConnectionSettings()
        scheme = "http" if transport.plain_http else "https"
        self.origin = f"{scheme}://{registry.endpoint}"
        self._wire = HttpTransport(
            self.origin, transport, name=str(registry), on_request=on_request
        )
        self._authenticator = Authenticator(
            self.origin, str(registry), credential, self._wire.send, clock
        )
        self._backoff = backoff or Backoff(tries=4)
        self._waiting = waiting
        self._notice = notice
        self._noticed: set[str] = set()
        self._stopped = threading.Event()

    def close(self) -> None:
        """End every pause, with RegistryUnreachableError: for whoever is interrupted."""
        self._stopped.set()

    # What a registry knows

    def ping(self) -> None:
        """Return where the registry answers and lets us in."""
        attempt = f"cannot reach the registry {self.registry}"
        reply = self.request("GET", "/v2/", attempt)
        if reply.status != HTTPStatus.OK:
            raise self.refused(reply, attempt)

    def knock(self) -> Response:
        """Return what the registry says to nobody, 401 and its challenges included."""
        attempt = f"cannot reach the registry {self.registry}"
        return self._wire.send("GET", f"{self.origin}/v2/", attempt, headers={})

    def repositories(self, *, last: str | None = None, limit: int | None = None) -> Iterator[str]:
        """
        Yield every repository, however many pages there are, each once.

        In the registry's order, mostly by name. A page is asked for when the one before it is used
        up. *last* goes on after that name, *limit* gives so many at most.
        Harbor, which refuses the catalog to most, is asked by its own API for what one may see.
        Raises NoCatalogError where the registry has no such list for us; IncompleteListError, with
        the last name, where it breaks off after the first page.
        """
        attempt = f"cannot list the repositories of {self.registry}"
        try:
            empty = True
            pages = self._pages("/v2/_catalog", "repositories", attempt, last, limit)
            for name in each_once(pages, attempt, last=last, limit=limit):
                empty = False
                yield name
            if empty and self.credential is None:
                self._tell(f"{self.registry} shows nothing to nobody: a user may see more")
        except (NotInRegistryError, AccessError) as error:
            if known := catalog_error(self.registry, error):
                raise known from error
            if not isinstance(error, AccessError) or self.credential is None:
                raise
            # Harbor says 401 to a right password too: what opens the rest tells them apart.
            self._check_password(error)
            if not harbor.is_harbor(self.request, attempt):
                if isinstance(error, NotAuthenticatedError):
                    raise self._not_listed(attempt) from error
                raise
            self._tell("Harbor refuses its catalog: these are the repositories this user may see")
            pages = harbor.pages(self.request, attempt)
            yield from each_once(pages, attempt, last=last, limit=limit)

    def _not_listed(self, attempt: str) -> NotPermittedError:
        whom = (self.credential and self.credential.username) or "the token's user"
        return NotPermittedError(
            f"{attempt}: the password of {whom} is right, and the list is refused to it",
            hint="name a repository: its tags need less",
        )

    def _check_password(self, error: AccessError) -> None:
        """Raise *error* unless the password opens the rest: then it is the list that is refused."""
        try:
            self.ping()
        except AccessError:
            raise error from None

    def tags(
        self, repository: str, *, last: str | None = None, limit: int | None = None
    ) -> list[str]:
        """
        Return the tags of *repository*, sorted.

        None for one that the catalog keeps after its last tag is gone. *last* goes on after that
        tag, *limit* gives so many at most. Raises NotInRegistryError for a repository that is not there.
        """
        attempt = f"cannot list the tags of {self.registry}/{repository}"
        path = f"{_path(repository)}/tags/list"
        try:
            # Artifactory lists digests among the tags; a tag has no colon.
            pages = self._pages(path, "tags", attempt, last, limit)
            names = each_once(pages, attempt, last=last, limit=limit)
            return sorted(name for name in names if ":" not in name)
        except IncompleteListError as error:
            raise RegistryError(error.message) from error

    def manifest(
        self, repository: str, reference: str, *, accept: Sequence[str] = MANIFEST_TYPES
    ) -> Manifest:
        """
        Return what a tag or a digest stands for.

        Raises NotInRegistryError, DigestMismatchError where the content is not what its digest says.
        """
        attempt = f"cannot get {_image(self.registry, repository, reference)}"
        reply = self.request(
            "GET",
            f"{_path(repository)}/manifests/{quote(reference, safe=':')}",
            attempt,
            headers={**_VERBATIM, "Accept": ", ".join(accept)},
            limit=MAX_MANIFEST_BYTES,
        )
        if reply.status != HTTPStatus.OK:
            raise self.refused(reply, attempt)
        digest = f"sha256:{hashlib.sha256(reply.body).hexdigest()}"
        said = reply.headers.get("Docker-Content-Digest", digest)
        named = reference if ":" in reference else said
        for promised in {said, named} & {it for it in (said, named) if ":" in it}:
            _check(promised, reply.body, attempt)
        return Manifest(named if ":" in reference else digest, _media_type(reply), reply.body)

    def manifest_head(self, repository: str, reference: str) -> ManifestHead:
        """
        Return what names a manifest, without its content where the registry can do that.

        Raises NotInRegistryError, DigestMismatchError.
        """
        attempt = f"cannot get {_image(self.registry, repository, reference)}"
        target = f"{_path(repository)}/manifests/{quote(reference, safe=':')}"
        reply = self.request("HEAD", target, attempt, headers={"Accept": ", ".join(MANIFEST_TYPES)})
        if reply.status != HTTPStatus.OK:
            raise self.refused(reply, attempt)
        digest = reply.headers.get("Docker-Content-Digest", "")
        size = reply.headers.get("Content-Length", "")
        if ":" not in digest or not size.isdecimal():
            whole = self.manifest(repository, reference)
            return ManifestHead(whole.digest, whole.media_type, len(whole.body))
        if ":" in reference and digest != reference:
            raise DigestMismatchError(f"{attempt}: its content has the digest {digest}")
        return ManifestHead(digest, _media_type(reply), int(size))

    def blob(self, repository: str, digest: str, *, limit: int = MAX_MANIFEST_BYTES) -> bytes:
        """Return a blob of *limit* bytes at most. Raises NotInRegistryError, DigestMismatchError."""
        attempt = f"cannot get the blob {digest} of {self.registry}/{repository}"
        target = f"{_path(repository)}/blobs/{quote(digest, safe=':')}"
        reply = self.request("GET", target, attempt, headers=_VERBATIM, limit=limit)
        if reply.status != HTTPStatus.OK:
            raise self.refused(reply, attempt)
        _check(digest, reply.body, attempt)
        return reply.body

    # What is put into it and taken out of it

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether the repository has a blob."""
        attempt = f"cannot look for the blob {digest} in {self.registry}/{repository}"
        target = f"{_path(repository)}/blobs/{quote(digest, safe=':')}"
        reply = self.request("HEAD", target, attempt)
        if reply.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
            raise self.refused(reply, attempt)
        return reply.status == HTTPStatus.OK

    def put_manifest(self, repository: str, reference: str, body: bytes, media_type: str) -> str:
        """
        Put a manifest in under a tag or its digest; return its digest.

        Raises DigestMismatchError where the registry made something else of it.
        """
        attempt = f"cannot put {_image(self.registry, repository, reference)} in"
        reply = self.request(
            "PUT",
            f"{_path(repository)}/manifests/{quote(reference, safe=':')}",
            attempt,
            headers={"Content-Type": media_type},
            body=body,
            repeatable=True,
        )
        if reply.status != HTTPStatus.CREATED:
            raise self.refused(reply, attempt)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        made = reply.headers.get("Docker-Content-Digest", digest)
        if made != digest and made.startswith("sha256:"):
            raise DigestMismatchError(f"{attempt}: the registry made {made} of {digest}")
        return digest

    def delete_manifest(self, repository: str, reference: str) -> None:
        """
        Delete a manifest by its digest, with all tags on it; or one tag, where that can be done.

        Raises NotInRegistryError, DeletionRefusedError where the registry deletes nothing, or no tags.
        """
        attempt = f"cannot delete {_image(self.registry, repository, reference)}"
        target = f"{_path(repository)}/manifests/{quote(reference, safe=':')}"
        reply = self.request("DELETE", target, attempt)
        if reply.status in {HTTPStatus.ACCEPTED, HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            return
        raise deletion_error(reply, attempt, reference) or self.refused(reply, attempt)

    # Lists

    def _pages(
        self, path: str, key: str, attempt: str, last: str | None, limit: int | None
    ) -> Iterator[list[str]]:
        size = PAGE_SIZE if limit is None else max(1, min(limit, PAGE_SIZE))
        after = [("last", last)] if last else []
        target = f"{path}?{urlencode([('n', str(size)), *after])}"
        reply = self.request("GET", target, attempt)
        if reply.status in _N_REFUSED and reply.body:
            # A registry may allow fewer, and says so rather than give fewer.
            target = f"{path}?{urlencode(after)}" if after else path
            reply = self.request("GET", target, attempt)
        asked = set[str]()
        for number in itertools.count(1):
            asked.add(target)
            yield list(self._page(reply, key, on_page(attempt, number)))
            following = next_page(reply.headers.get("Link", ""), reply.url, target)
            if following is None:
                return
            target, attempt_of_page = following, on_page(attempt, number + 1)
            if target in asked:
                raise RegistryError(
                    f"{attempt_of_page}: the registry's pages link in a circle back to {target}"
                )
            reply = self.request("GET", target, attempt_of_page)

    def _page(self, reply: Response, key: str, attempt: str) -> Iterator[str]:
        if reply.status != HTTPStatus.OK:
            raise self.refused(reply, attempt)
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

    # One request

    def target_of(self, location: str, reply: Response) -> str:
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
        actions: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        limit: int = MAX_ANSWER_BYTES,
        repeatable: bool = False,
    ) -> Response:
        """
        Send a request for *target*, a path with its query, authenticated as it asks for.

        Any status comes back, but for redirects of GET and HEAD, which are followed: to another
        origin without credentials. GET, HEAD and what is *repeatable* are tried again where that
        may help, and whatever is too much (429). A *body* that is a file is sent from where it
        stands, and again from there. *actions* ("pull,push") are the rights to ask a token server
        for, where they are not what the method needs. *attempt* begins the message of every error:
        "cannot list …".
        """
        return self._again(
            _Request(
                method,
                target,
                attempt,
                headers or {},
                body,
                _place(body),
                limit,
                actions=actions,
                repeatable=repeatable or method in _SAFE,
            )
        )

    def refused(self, reply: Response, attempt: str) -> RegctlError:
        """Return the error for an answer that is no success: the caller raises it."""
        return error_for(reply, attempt, self.registry, self.credential)

    def _again(self, asked: "_Request") -> Response:
        attempt = asked.attempt
        pauses = self._backoff.pauses()
        while True:
            try:
                reply = self._authenticated(asked)
            except ConnectionLostError:
                pause = next(pauses, None) if asked.repeatable else None
                if pause is None:
                    raise
                self.pause(pause)
                continue
            if reply.status not in RETRIED_STATUSES:
                return reply
            if not asked.repeatable and reply.status != HTTPStatus.TOO_MANY_REQUESTS:
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
            self.pause(pause)

    def pause(self, seconds: float) -> None:
        """Wait before something is tried again; raises RegistryUnreachableError after `close`."""
        if self._stopped.wait(seconds):
            raise RegistryUnreachableError(f"interrupted while waiting for {self.registry}")

    def _tell(self, text: str) -> None:
        if text not in self._noticed and len(self._noticed) < _MAX_NOTICES:
            self._noticed.add(text)
            self._notice(text)

    def _authenticated(self, asked: "_Request") -> Response:
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
            if not same_origin(reply.url, self.origin):
                host = urlsplit(reply.url).netloc
                raise NotAuthenticatedError(
                    f"{asked.attempt}: it sends us to {host}, which asks for a password of its own"
                )
            answer = self._authenticator.after(reply, tried, want)
            if answer is None:
                return replace(reply, with_token=(authorization or "").startswith("Bearer "))
            authorization = answer

    def _followed(self, asked: "_Request", authorization: str | None) -> Response:
        """Send a request and follow redirects; to another origin they go without credentials."""
        url = self.origin + asked.target
        for _ in range(_MAX_REDIRECTS):
            headers = dict(asked.headers)
            if authorization is not None and same_origin(url, self.origin):
                headers["Authorization"] = authorization
            reply = self._sent(asked, url, headers)
            for text in _WARNING.findall(reply.headers.get("Warning", "")):
                # The distribution specification, "Warnings".
                self._tell(f"{self.registry} says: {text}")
            location = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or asked.method not in _SAFE or not location:
                return reply
            url = _redirected(self.origin, url, location, asked.attempt)
        raise RegistryError(f"{asked.attempt}: it redirects more than {_MAX_REDIRECTS} times")

    def _sent(self, asked: "_Request", url: str, headers: Mapping[str, str]) -> Response:
        """Send a request once."""
        return self._wire.send(
            asked.method,
            url,
            asked.attempt,
            headers=headers,
            body=asked.rewound(),
            limit=asked.limit,
        )


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
    actions: str | None = None
    repeatable: bool = False

    def rewound(self) -> Body | None:
        """Return the body, from its beginning."""
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.seek(self.place)
        return self.body


def _path(repository: str) -> str:
    if any(part in {"", ".", ".."} for part in repository.split("/")):
        raise InvalidReferenceError(f"not a repository: {repository!r}")
    return f"/v2/{quote(repository)}"


def _check(digest: str, content: bytes, attempt: str) -> None:
    """Raise DigestMismatchError where *content* is not what *digest* names."""
    algorithm, _, promised = digest.partition(":")
    if algorithm not in {"sha256", "sha384", "sha512"}:
        raise DigestMismatchError(f"{attempt}: a digest by {algorithm} can't be checked")
    found = hashlib.new(algorithm, content).hexdigest()
    if found != promised.lower():
        raise DigestMismatchError(f"{attempt}: its content has the digest {algorithm}:{found}")


def _media_type(reply: Response) -> str:
    """Return what a manifest is: by its header, or where that is too general by itself."""
    named = reply.headers.get("Content-Type", "").partition(";")[0].strip()
    if named in MANIFEST_TYPES:
        return named
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(reply.body)
        inside = document.get("mediaType") if isinstance(document, dict) else None
        return inside if isinstance(inside, str) else named
    return named


def _image(registry: Registry, repository: str, reference: str) -> str:
    return f"{registry}/{repository}{'@' if ':' in reference else ':'}{reference}"


def _place(body: Body | None) -> int:
    return 0 if body is None or isinstance(body, bytes) else body.tell()


def _want(asked: _Request) -> Want:
    """Return the part of the API that a request is for, and the scope that it takes."""
    path = asked.target.partition("?")[0]
    if match := _REPOSITORY_PATH.match(path):
        actions = {"GET": "pull", "HEAD": "pull", "DELETE": "pull,delete"}
        scope = f"repository:{match['name']}:"
        scope += asked.actions or actions.get(asked.method, "pull,push")
        # A blob that is mounted is read in another repository.
        for source in parse_qs(urlsplit(asked.target).query).get("from", ()):
            scope += f" repository:{source}:pull"
        return Want("repository", scope, asked.attempt)
    if path == "/v2/_catalog":
        return Want("catalog", "registry:catalog:*", asked.attempt)
    return Want(path, "", asked.attempt)


def _redirected(origin: str, url: str, location: str, attempt: str) -> str:
    to = urljoin(url, location)
    parts = urlsplit(to)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise RegistryError(f"{attempt}: it redirects to what is no address")
    if parts.scheme == "http" and url.startswith("https:"):
        raise RegistryError(f"{attempt}: it redirects to {parts.netloc} without TLS")
    if parts.scheme == "https" and same_origin(to, origin.replace("http:", "https:", 1)):
        if same_origin(to, origin):
            return to
        raise NotARegistryError(f"{attempt}: it redirects to HTTPS", hint="leave out --plain-http")
    # Storage on a private network is common behind a public name.
    if where := closer(origin, to, beyond=PRIVATE):
        raise RegistryError(f"{attempt}: it redirects to {parts.netloc}, {where}: not followed")
    return to
