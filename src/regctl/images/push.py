"""
Upload saved images to a registry.

Blobs that the registry already has are skipped; the others are uploaded several at a time. The
steps are those of the OCI distribution specification, "Pushing manifests" and "Pushing a blob in
chunks". Manifests are uploaded last and the tag with the last of them, so an upload that fails
leaves no tag behind.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from http import HTTPStatus
from typing import IO, Literal, NamedTuple
from urllib.parse import urlencode

from regctl import parallel
from regctl.errors import BodyTooLargeError, DiskFullError, RegctlError, RegistryUnreachableError
from regctl.images.archive import SavedManifest
from regctl.images.files import PIECE_BYTES
from regctl.images.layers import Blob, algorithm_of, check_digest
from regctl.images.manifests import Descriptor
from regctl.images.referrers import add_to_referrers_tag
from regctl.registry.client import RegistryClient
from regctl.registry.request import BUSY, Request
from regctl.registry.response import Response, whole_number
from regctl.registry.urls import resolve_location
from regctl.retry import Backoff

BlobResult = Literal["uploaded", "mounted", "unchanged"]
OnProgress = Callable[[int], object]

WORKERS = 4

_MIB = 1024 * 1024
# The sizes to try if a proxy limits request bodies: nginx allows 1 MiB by default.
_CHUNK_SIZES = (64 * _MIB, 16 * _MIB, 4 * _MIB, _MIB, _MIB // 4)
# After a lost connection, chunks are small enough to lose little with the next one: the registry
# keeps those that it received whole.
_CHUNK_SIZE_AFTER_LOSS = 16 * _MIB
# The registry no longer accepts the upload as it is: BLOB_UPLOAD_INVALID and others.
_LOST_UPLOAD_CODES = ("_UPLOAD_", "DIGEST_INVALID", "SIZE_INVALID")
_RECEIVED = frozenset({HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT})
_BACKOFF = Backoff(tries=12, base=0.2, cap=10.0)


class PushedBlob(NamedTuple):
    """A blob that the registry has, and whether it had to be uploaded."""

    descriptor: Descriptor
    result: BlobResult


@dataclass(frozen=True)
class PushedImage:
    """An image that the registry has: the *digest* of its manifest, and its *blobs*."""

    digest: str
    media_type: str
    blobs: tuple[PushedBlob, ...]

    def count(self, result: BlobResult) -> int:
        """Return the number of blobs with this result."""
        return sum(blob.result == result for blob in self.blobs)

    @property
    def sent_bytes(self) -> int:
        """Return the size of the uploaded blobs, in bytes."""
        return sum(blob.descriptor.size for blob in self.blobs if blob.result == "uploaded")


@dataclass
class ImagePusher:
    """
    Uploads saved images to one *repository* of a registry.

    *mount_from* are repositories of the same registry to mount blobs from. With *dry_run* it only
    finds out what the registry has. Memory is bounded by *workers*, not by the size of layers:
    docker's layers are compressed into temporary files. *chunk_size* is how many bytes of a blob
    are sent at a time: all, until a proxy rejects that or a connection is lost.
    """

    client: RegistryClient
    repository: str
    _: KW_ONLY
    mount_from: Sequence[str] = ()
    workers: int = WORKERS
    dry_run: bool = False
    backoff: Backoff = _BACKOFF
    chunk_size: int | None = None

    def push(
        self,
        image: SavedManifest,
        references: Sequence[str],
        *,
        on_progress: OnProgress = lambda _count: None,
    ) -> PushedImage:
        """
        Upload *image* and give it the *references*: tags, or its digest.

        *on_progress* gets each number of bytes that was uploaded or skipped, from several threads.
        Raises DigestMismatchError if the saved image is damaged, BodyTooLargeError if a proxy
        rejects even the smallest chunk, and what RegistryClient raises.
        """
        parts = image.unique_parts
        ensure = partial(self._ensure_blob, on_progress)
        results = parallel.run(ensure, parts, workers=self.workers, stop=self.client.close)
        stored = {part.digest: one for part, one in results if isinstance(one, PushedBlob)}
        # An index after its children.
        for child in tuple(image.walk())[:0:-1]:
            self._put_manifest(child, (), stored)
        digest = self._put_manifest(image, references, stored)
        return PushedImage(digest, image.media_type, tuple(stored[part.digest] for part in parts))

    def reduce_chunks(self, size: int) -> None:
        """Send at most *size* bytes of a blob at a time from now on."""
        self.chunk_size = min(size, self.chunk_size or size)

    def _put_manifest(
        self, image: SavedManifest, references: Sequence[str], stored: Mapping[str, PushedBlob]
    ) -> str:
        """Upload the manifest of *image*; return its digest."""
        body = image.content([stored[part.digest].descriptor for part in image.parts])
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for reference in () if self.dry_run else references or (image.digest or digest,):
            put = self.client.put_manifest(self.repository, reference, body, image.media_type)
            if image.subject is not None and not put.lists_referrers:
                found = Descriptor(image.digest or digest, len(body), image.media_type)
                add_to_referrers_tag(self.client, self.repository, found, body)
        return digest

    def _ensure_blob(self, on_progress: OnProgress, part: Blob) -> PushedBlob:
        """Upload *part* unless the repository has it or can mount it."""
        with part.stored() as blob:
            result: BlobResult = "uploaded"
            if self.client.has_blob(self.repository, blob.digest):
                result = "unchanged"
            elif self._mount(blob.digest):
                result = "mounted"
            if result == "uploaded" and not self.dry_run:
                # Progress is in bytes of the saved image, which may be uncompressed.
                ratio = part.size / blob.size if blob.size else 0
                _BlobUpload(self, blob, lambda count: on_progress(round(count * ratio))).run()
            else:
                on_progress(part.size)
            return PushedBlob(blob.descriptor, result)

    def _mount(self, digest: str) -> bool:
        """Mount the blob from another repository; return False if none has it or shares it."""
        for source in self.mount_from:
            if source == self.repository or not self.client.has_blob(source, digest):
                continue
            if self.dry_run:
                return True
            query = urlencode({"mount": digest, "from": source})
            attempt = f"cannot mount {digest} from {source} in {self.repository}"
            request = Request("POST", f"{self.uploads}?{query}", attempt)
            reply = self.client.send(request)
            if reply.status == HTTPStatus.CREATED:
                return True
            if reply.status == HTTPStatus.ACCEPTED and reply.headers.get("Location"):
                # The registry did not mount it and began an upload instead.
                upload = resolve_location(reply.headers["Location"], reply.url, attempt)
                self.client.send(Request("DELETE", upload, attempt))
        return False

    @property
    def uploads(self) -> str:
        """Return the path that an upload begins at."""
        return f"/v2/{self.repository}/blobs/uploads/"


class _Chunk:
    """
    A request body: *count* bytes of a blob from the offset *start*.

    *on_read* gets each piece and its offset in the blob.
    """

    def __init__(
        self, stream: IO[bytes], start: int, count: int, on_read: Callable[[int, bytes], None]
    ) -> None:
        self._stream, self._start, self._count, self._on_read = stream, start, count, on_read
        self._position = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        self._stream.seek(self._start + self._position)
        while piece := self._stream.read(min(PIECE_BYTES, self._count - self._position)):
            self._on_read(self._start + self._position, piece)
            self._position += len(piece)
            yield piece

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, /) -> int:
        self._position = offset
        return offset


class _UploadLostError(RegistryUnreachableError):
    """The registry no longer knows the upload: it has to start again."""


class _WrongOffsetError(RegistryUnreachableError):
    """
    The registry rejects the offset that it reported before.

    distribution 3 may still be writing what a broken connection carried.
    """


class _BlobUpload:
    """
    One blob on its way to the registry: begun, sent in one chunk or several, committed.

    After a failure it continues where the registry says, or starts again.
    """

    def __init__(self, pusher: ImagePusher, blob: Blob, on_progress: OnProgress) -> None:
        self._pusher, self._blob, self._on_progress = pusher, blob, on_progress
        self._client = pusher.client
        self._attempt = (
            f"cannot upload {blob.digest} to {pusher.client.registry}/{pusher.repository}"
        )
        self._hash = hashlib.new(algorithm_of(blob.digest))
        self._hashed_bytes = 0
        self._location = ""
        self._offset = 0
        self._committing = False
        self._interrupted = False

    def run(self) -> None:
        """Upload the blob; try again as long as the tries get further by the smallest chunk."""
        pauses = self._pusher.backoff.pauses()
        furthest = 0
        with self._blob.open() as stream:
            while True:
                try:
                    return self._send_rest(stream)
                except RegistryUnreachableError as error:
                    self._interrupted = True
                    self._pusher.reduce_chunks(_CHUNK_SIZE_AFTER_LOSS)
                    if self._offset >= furthest + _CHUNK_SIZES[-1]:
                        furthest, pauses = self._offset, self._pusher.backoff.pauses()
                    pause = next(pauses, None)
                    if pause is None:
                        raise
                    self._client.pause(pause)
                    if self._is_committed():
                        return None
                    self._find_offset(error)
                except RegctlError:
                    self._cancel()
                    raise

    def _send_rest(self, stream: IO[bytes]) -> None:
        if not self._location:
            begin = Request("POST", self._pusher.uploads, self._attempt, repeatable=True)
            self._keep_location(self._send(begin, {HTTPStatus.ACCEPTED}))
        while self._offset < self._blob.size:
            self._send_chunk(stream)
        subject = f"the saved blob {self._blob.digest}"
        check_digest(self._blob.digest, self._hash.hexdigest(), subject)
        self._committing = True
        joiner = "&" if "?" in self._location else "?"
        target = f"{self._location}{joiner}{urlencode({'digest': self._blob.digest})}"
        self._send(Request("PUT", target, self._attempt, body=b""), _RECEIVED)

    def _keep_location(self, reply: Response) -> None:
        """Keep where to send the next request to: each response may name another location."""
        if location := reply.headers.get("Location"):
            self._location = resolve_location(location, reply.url, self._attempt)
        if not self._location:
            raise _UploadLostError(f"{self._attempt}: the registry returned no upload location")

    def _send_chunk(self, stream: IO[bytes]) -> None:
        rest = self._blob.size - self._offset
        count = min(rest, self._pusher.chunk_size or rest)
        headers = {"Content-Type": "application/octet-stream"}
        if count < self._blob.size or self._interrupted:
            headers["Content-Range"] = f"{self._offset}-{self._offset + count - 1}"
        body = _Chunk(stream, self._offset, count, self._hash_piece)
        request = Request("PATCH", self._location, self._attempt, headers, body)
        try:
            reply = self._send(request, _RECEIVED)
        except BodyTooLargeError:
            smaller = next((size for size in _CHUNK_SIZES if size < count), None)
            if smaller is None:
                raise
            self._pusher.reduce_chunks(smaller)
        else:
            end = self._offset + count
            # distribution answers 0-0 for one byte and for none.
            self._offset = min(_received_bytes(reply, default=end), end) if end > 1 else end
            self._keep_location(reply)
            if self._offset < end:
                raise RegistryUnreachableError(
                    f"{self._attempt}: the registry received {self._offset} of {end} bytes"
                )

    def _hash_piece(self, start: int, piece: bytes) -> None:
        """Hash what is new in *piece*, which is at the offset *start*: some is sent repeatedly."""
        if new := piece[max(0, self._hashed_bytes - start) :]:
            self._hash.update(new)
            self._hashed_bytes += len(new)
            self._on_progress(len(new))

    def _is_committed(self) -> bool:
        """Tell whether a commit succeeded although its response was lost."""
        client, repository = self._client, self._pusher.repository
        return self._committing and client.has_blob(repository, self._blob.digest)

    def _find_offset(self, error: RegistryUnreachableError) -> None:
        """
        Ask the registry how much it received.

        Cancel the upload if that is unknown, or if it is what the registry rejected before.
        """
        self._committing = False
        if self._location and not isinstance(error, _UploadLostError):
            try:
                reply = self._client.send(Request("GET", self._location, self._attempt))
            except RegistryUnreachableError:
                return
            if reply.status in {HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED, HTTPStatus.OK}:
                rejected = self._offset if isinstance(error, _WrongOffsetError) else None
                self._offset = min(_received_bytes(reply, default=0), self._hashed_bytes)
                self._keep_location(reply)
                if self._offset != rejected:
                    return
        # distribution 2.8 drops an upload if a chunk was cut off.
        self._cancel()

    def _cancel(self) -> None:
        """Delete the upload in the registry, if that still works, and start again from zero."""
        location, self._location, self._offset = self._location, "", 0
        if location:
            with suppress(RegctlError):
                self._client.send(Request("DELETE", location, self._attempt))

    def _send(self, request: Request, accepted: Collection[int]) -> Response:
        """Return the response; raise RegistryUnreachableError if `run` is to try again."""
        reply = self._client.send(request)
        if reply.status in accepted:
            return reply
        error = self._client.error_for(reply, self._attempt)
        if isinstance(error, BodyTooLargeError | DiskFullError):
            raise error
        if reply.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _WrongOffsetError(error.message, hint=error.hint)
        if reply.status == HTTPStatus.NOT_FOUND or (
            reply.status == HTTPStatus.BAD_REQUEST
            and any(mark in code for code in reply.codes for mark in _LOST_UPLOAD_CODES)
        ):
            raise _UploadLostError(error.message, hint=error.hint)
        if reply.status in BUSY:
            raise RegistryUnreachableError(error.message)
        raise error


def _received_bytes(reply: Response, *, default: int) -> int:
    """Return how many bytes the registry received: `Range` is `0-LAST`, without a unit."""
    _, dash, text = reply.headers.get("Range", "").rpartition("-")
    if not dash or (last := whole_number(text)) is None:
        return default
    # distribution answers 0-0 for one byte and for none.
    return last + 1 if last else 0
