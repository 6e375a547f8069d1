"""
The registry's HTTP API, as a client.

Requests and responses follow the OCI distribution specification, and what distribution 2.8 and 3,
Harbor, Quay, zot and others do beyond it.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from regctl.errors import (
    AccessError,
    DigestMismatchError,
    IncompleteListError,
    InvalidReferenceError,
    NotAuthenticatedError,
    NotInRegistryError,
    NotPermittedError,
    RegctlError,
    RegistryError,
)
from regctl.registry import products
from regctl.registry.error_responses import deletion_error, require_registry
from regctl.registry.pagination import ListQuery, each_once, fetch_pages
from regctl.registry.request import Request
from regctl.registry.response import Response, whole_number
from regctl.registry.session import Session
from regctl.registry.urls import host_of, same_origin

# Without these types in `Accept`, distribution 2.8 converts what it has.
MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
# A digest is of the bytes as they are stored.
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
_OK = frozenset({HTTPStatus.OK})
_CREATED = frozenset({HTTPStatus.CREATED})
_DELETED = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.OK, HTTPStatus.NO_CONTENT})


@dataclass(frozen=True)
class ManifestHead:
    """The digest and type of a manifest; *size* is that of its content, in bytes."""

    digest: str
    media_type: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as it is stored: *digest* is that of the bytes in *body*."""

    digest: str
    media_type: str
    body: bytes = field(repr=False)


class StoredManifest(NamedTuple):
    """
    The *digest* of a manifest that was uploaded.

    *lists_referrers* is whether the registry lists it as a referrer of its subject.
    """

    digest: str
    lists_referrers: bool


class RegistryClient(Session):
    """
    A session with a method for each thing that the API can do.

    A method's docstring names the errors that it raises beyond those of Session.
    """

    # Access and lists

    def ping(self) -> None:
        """
        Return if the registry answers and accepts the credential.

        A server that the registry redirects to proves nothing: it does not get the credential.
        """
        attempt = f"cannot reach the registry {self.registry}"
        reply = self.send(Request("GET", "/v2/", attempt, expect=_OK))
        require_registry(reply, attempt)
        if self.credential is not None and not same_origin(reply.url, self.origin):
            raise RegistryError(
                f"{attempt}: it redirects to {host_of(reply.url)}, which checks no password for it"
            )

    def error_for(self, reply: Response, attempt: str) -> RegctlError:
        """
        Return the error for an unsuccessful response.

        A proxy that lets some users only pull answers 401 to a change. Whether `/v2/` accepts the
        password decides what that means.
        """
        error = super().error_for(reply, attempt)
        is_change = reply.method not in {"GET", "HEAD"}
        if is_change and self.credential and isinstance(error, NotAuthenticatedError):
            user = self.credential.user
            with contextlib.suppress(RegctlError):
                self.ping()
                return NotPermittedError(
                    f"{attempt}: the password of {user} is correct, but {user} may only pull"
                )
        return error

    def repositories(self, *, last: str | None = None, limit: int | None = None) -> Iterator[str]:
        """
        Yield every repository once, in the registry's order, which is mostly by name.

        A page is requested when the one before it is used up. The list begins after the name
        *last* and ends after *limit* names. Harbor refuses the catalog to most users: its own API
        is asked for the repositories that the user may see.
        Raises NoCatalogError if the registry has no such list for this user, IncompleteListError
        with the last name for an error after the first page.
        """
        attempt = f"cannot list the repositories of {self.registry}"
        query = ListQuery("/v2/_catalog", "repositories", attempt, last, limit)
        try:
            empty = True
            for name in each_once(fetch_pages(self, query), query):
                empty = False
                yield name
            if empty and self.credential is None:
                self.note_once(
                    f"{self.registry} shows no repository to anonymous clients: a user may see more"
                )
        except (NotInRegistryError, AccessError) as error:
            if known := products.catalog_error(self.registry, error):
                raise known from error
            if not isinstance(error, AccessError):
                raise
            yield from self._visible_repositories(query, error)

    def _visible_repositories(self, query: ListQuery, error: AccessError) -> Iterator[str]:
        """Yield what the product's own API lists after the catalog was refused with *error*."""
        credential = self.credential
        if credential is None:
            raise error
        # Harbor answers 401 to a correct password too. Whether `/v2/` accepts it decides.
        try:
            self.ping()
        except AccessError:
            raise error from None
        if products.is_harbor(self, query.attempt):
            self.note_once(
                "Harbor refuses its catalog: these are the repositories that this user may see"
            )
            yield from each_once(products.harbor_pages(self, query), query)
        elif isinstance(error, NotAuthenticatedError):
            raise NotPermittedError(
                f"{query.attempt}: the password of {credential.user} is correct, but the registry "
                "refuses the list",
                hint="name a repository: its tags need fewer rights",
            ) from error
        else:
            raise error

    def tags(
        self, repository: str, *, last: str | None = None, limit: int | None = None
    ) -> list[str]:
        """
        Return the tags of *repository*, sorted.

        The list is empty for a repository that stays in the catalog after its last tag is deleted.
        It begins after the tag *last* and has at most *limit* tags. Raises NotInRegistryError.
        """
        attempt = f"cannot list the tags of {self.registry}/{repository}"
        query = ListQuery(f"{_path(repository)}/tags/list", "tags", attempt, last, limit)
        try:
            names = list(each_once(fetch_pages(self, query), query))
        except IncompleteListError as error:
            raise RegistryError(error.message) from error
        # Artifactory lists digests among the tags; a tag has no colon.
        return sorted(name for name in names if ":" not in name)

    # Reading

    def manifest(
        self, repository: str, reference: str, *, accept: Sequence[str] = MANIFEST_TYPES
    ) -> Manifest:
        """
        Return the manifest of a tag or a digest.

        Raises NotInRegistryError, and DigestMismatchError if the content has another digest.
        """
        attempt = f"cannot get {self._image(repository, reference)}"
        path = _manifest_path(repository, reference)
        headers = {**_UNCOMPRESSED, "Accept": ", ".join(accept)}
        reply = self.send(
            Request("GET", path, attempt, headers, limit=MAX_MANIFEST_BYTES, expect=_OK)
        )
        for digest in (reference, reply.headers.get("Docker-Content-Digest", "")):
            if ":" in digest:
                _verify(digest, reply.body, attempt)
        digest = reference if ":" in reference else _sha256(reply.body)
        return Manifest(digest, _media_type(reply), reply.body)

    def manifest_head(self, repository: str, reference: str) -> ManifestHead:
        """
        Return digest, type and size of a manifest, without its content if the registry can do that.

        Raises NotInRegistryError, DigestMismatchError.
        """
        attempt = f"cannot get {self._image(repository, reference)}"
        path = _manifest_path(repository, reference)
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        reply = self.send(Request("HEAD", path, attempt, headers, expect=_OK))
        digest = reply.headers.get("Docker-Content-Digest", "")
        size = whole_number(reply.headers.get("Content-Length", ""))
        if ":" not in digest or size is None:
            whole = self.manifest(repository, reference)
            return ManifestHead(whole.digest, whole.media_type, len(whole.body))
        if ":" in reference and digest != reference:
            raise DigestMismatchError(f"{attempt}: its content has the digest {digest}")
        return ManifestHead(digest, _media_type(reply), size)

    def blob(self, repository: str, digest: str, *, limit: int = MAX_MANIFEST_BYTES) -> bytes:
        """
        Return a blob of at most *limit* bytes.

        Raises NotInRegistryError, DigestMismatchError.
        """
        attempt = f"cannot get the blob {digest} of {self.registry}/{repository}"
        path = _blob_path(repository, digest)
        reply = self.send(Request("GET", path, attempt, _UNCOMPRESSED, limit=limit, expect=_OK))
        _verify(digest, reply.body, attempt)
        return reply.body

    def has_blob(self, repository: str, digest: str) -> bool:
        """Return whether the repository has a blob."""
        attempt = f"cannot check for the blob {digest} in {self.registry}/{repository}"
        expect = {HTTPStatus.OK, HTTPStatus.NOT_FOUND}
        path = _blob_path(repository, digest)
        reply = self.send(Request("HEAD", path, attempt, expect=expect))
        return reply.status == HTTPStatus.OK

    # Changing

    def put_manifest(
        self, repository: str, reference: str, body: bytes, media_type: str
    ) -> StoredManifest:
        """
        Upload a manifest under a tag or its digest.

        Raises DigestMismatchError if *body* has another digest, or the registry stores something
        else.
        """
        attempt = f"cannot put {self._image(repository, reference)}"
        if ":" in reference:
            _verify(reference, body, attempt)
        path, headers = _manifest_path(repository, reference), {"Content-Type": media_type}
        reply = self.send(
            Request("PUT", path, attempt, headers, body, repeatable=True, expect=_CREATED)
        )
        digest = _sha256(body)
        stored = reply.headers.get("Docker-Content-Digest", digest)
        if stored != digest and stored.startswith("sha256:"):
            raise DigestMismatchError(f"{attempt}: the registry stores {stored} for {digest}")
        return StoredManifest(digest, "OCI-Subject" in reply.headers)

    def delete_manifest(self, repository: str, reference: str) -> None:
        """
        Delete a manifest by its digest, with all its tags; or one tag, if the registry can.

        Raises NotInRegistryError, DeletionRefusedError if the registry deletes nothing, and
        DeletionByDigestOnlyError if it deletes no single tag.
        """
        attempt = f"cannot delete {self._image(repository, reference)}"
        reply = self.send(Request("DELETE", _manifest_path(repository, reference), attempt))
        if reply.status not in _DELETED:
            error = deletion_error(reply, attempt, reference)
            raise error or self.error_for(reply, attempt)

    def _image(self, repository: str, reference: str) -> str:
        return f"{self.registry}/{repository}{'@' if ':' in reference else ':'}{reference}"


def _path(repository: str) -> str:
    if any(part in {"", ".", ".."} for part in repository.split("/")):
        raise InvalidReferenceError(f"not a repository: {repository!r}")
    return f"/v2/{quote(repository)}"


def _manifest_path(repository: str, reference: str) -> str:
    return f"{_path(repository)}/manifests/{quote(reference, safe=':')}"


def _blob_path(repository: str, digest: str) -> str:
    return f"{_path(repository)}/blobs/{quote(digest, safe=':')}"


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _verify(digest: str, content: bytes, attempt: str) -> None:
    """Raise DigestMismatchError if *content* does not have this digest."""
    algorithm, _, promised = digest.partition(":")
    if algorithm not in {"sha256", "sha384", "sha512"}:
        raise DigestMismatchError(f"{attempt}: cannot verify a digest of algorithm {algorithm}")
    found = hashlib.new(algorithm, content).hexdigest()
    if found != promised.lower():
        raise DigestMismatchError(f"{attempt}: its content has the digest {algorithm}:{found}")


def _media_type(reply: Response) -> str:
    """Return a manifest's type: by its header, or if that is too general by its own field."""
    named = reply.headers.get("Content-Type", "").partition(";")[0].strip()
    if named in MANIFEST_TYPES or not isinstance(reply.document, dict):
        return named
    own = reply.document.get("mediaType")
    return own if isinstance(own, str) else named
