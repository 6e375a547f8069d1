"""
Saved images put into a registry: what it has is left alone, the rest goes up several at a time.

The steps are those of the OCI distribution specification, "Pushing manifests" and "Pushing a blob
in chunks". Manifests go last and the tag with the last of them, so that an upload that breaks off
leaves no tag behind.
"""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urlencode

from regctl import parallel
from regctl.errors import (
    BodyTooLargeError,
    DiskFullError,
    RegctlError,
    RegistryUnreachableError,
)
from regctl.images.archive import (
    PIECE_BYTES,
    Blob,
    Layer,
    SavedManifest,
    check_digest,
    key_of,
    unique_parts,
)
from regctl.images.manifests import Descriptor
from regctl.registry.client import RegistryClient
from regctl.registry.response import Response
from regctl.retry import RETRIED_STATUSES, Backoff

Result = Literal["uploaded", "mounted", "unchanged"]

WORKERS = 4

_MIB = 1024 * 1024
# What is tried in turn where a proxy limits a body: nginx allows 1 MiB unless told otherwise.
_CHUNKS = (64 * _MIB, 16 * _MIB, 4 * _MIB, _MIB, _MIB // 4)
# An upload that was interrupted may not be what it was: BLOB_UPLOAD_INVALID and others.
_SPOILT = ("_UPLOAD_", "DIGEST_INVALID", "SIZE_INVALID")
# The client has tried 429 again already.
_BUSY = frozenset({500, *RETRIED_STATUSES}) - {HTTPStatus.TOO_MANY_REQUESTS}
_PATIENCE = Backoff(tries=12, base=0.2, cap=10.0)
# Small enough to lose little, once a connection has broken.
_AFTER_A_BREAK = 16 * _MIB


@dataclass(frozen=True)
class Outcome:
    """What became of a blob; *size* is in bytes, as the registry has it."""

    digest: str
    size: int
    result: Result


@dataclass(frozen=True)
class Pushed:
    """An image that the registry has: the *digest* of its manifest, and its *blobs*."""

    digest: str
    media_type: str
    blobs: tuple[Outcome, ...]

    def count(self, result: Result) -> int:
        """How many blobs came to this."""
        return sum(blob.result == result for blob in self.blobs)

    @property
    def sent(self) -> int:
        """The bytes that were uploaded."""
        return sum(blob.size for blob in self.blobs if blob.result == "uploaded")


def _unheard(_count: int) -> None:
    """Tell nobody."""


class ChunkSize:
    """How much of a blob is sent at a time: all of it, until something between refuses that."""

    def __init__(self, most: int | None = None) -> None:
        self._lock = threading.Lock()
        self._most = most

    def broken(self) -> None:
        """Send no more than a little from now on: what is in full counts."""
        with self._lock:
            self._most = min(self._most or _AFTER_A_BREAK, _AFTER_A_BREAK)

    def of(self, rest: int) -> int:
        """Return how many of *rest* bytes to send next."""
        return rest if self._most is None else min(rest, self._most)

    def refused(self, count: int, error: RegctlError) -> None:
        """Send less than *count* from now on; raise *error* where there is no less."""
        with self._lock:
            smaller = [size for size in _CHUNKS if size < count]
            if not smaller:
                raise error
            self._most = min(smaller[0], self._most or smaller[0])


@dataclass
class ImagePusher:
    """
    Puts saved images into one *repository* of a registry.

    *mount_from* are repositories of the same registry to take blobs from. *told* is called with
    each number of bytes that is done with, from several threads. Memory is bounded by *workers*,
    whatever the size of the layers; docker's layers are compressed into temporary files.
    """

    client: RegistryClient
    repository: str
    mount_from: Sequence[str] = ()
    workers: int = WORKERS
    told: Callable[[int], None] = _unheard
    backoff: Backoff = _PATIENCE
    part_size: ChunkSize = field(default_factory=ChunkSize)

    def push(self, image: SavedManifest, references: Sequence[str]) -> Pushed:
        """
        Put *image* in and name it by *references*, tags or its digest.

        Raises DigestMismatchError where the saved image is damaged, BodyTooLargeError where something
        between takes no body that is large enough, and what RegistryClient raises.
        """
        stored: dict[str, tuple[Descriptor, Outcome]] = {}
        parts = unique_parts(image)
        with tempfile.TemporaryDirectory(prefix="regctl-") as folder:

            def place(part: Blob | Layer) -> tuple[Descriptor, Outcome]:
                return self._place(part, Path(folder))

            done = parallel.run(place, parts, workers=self.workers, stop=self.client.close)
            for part, answer in done:
                if not isinstance(answer, parallel.Interrupted):
                    stored[key_of(part)] = answer
        digest = self._manifests(image, references, stored)
        outcomes = tuple(stored[key_of(part)][1] for part in parts)
        return Pushed(digest, image.media_type, outcomes)

    def _manifests(
        self,
        image: SavedManifest,
        references: Sequence[str],
        stored: Mapping[str, tuple[Descriptor, Outcome]],
    ) -> str:
        """Put the manifests in, those of an index before itself; return the digest of *image*."""
        for child in image.children:
            self._manifests(child, (), stored)
        body = image.content([stored[key_of(part)][0] for part in image.parts])
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for reference in references or (digest,):
            self.client.put_manifest(self.repository, reference, body, image.media_type)
        return digest

    def _place(self, part: Blob | Layer, folder: Path) -> tuple[Descriptor, Outcome]:
        """See to it that the repository has a part."""
        blob = part if isinstance(part, Blob) else part.packed(folder)
        size = part.size if isinstance(part, Layer) else blob.size
        try:
            if self.client.has_blob(self.repository, blob.digest):
                result: Result = "unchanged"
            elif self._mounted(blob.digest):
                result = "mounted"
            else:
                # A layer's bytes are counted as the archive has them.
                share = size / blob.size if blob.size else 0
                _Sending(self, blob, lambda count: self.told(round(count * share))).run()
                return blob.descriptor, Outcome(blob.digest, blob.size, "uploaded")
        finally:
            if isinstance(part, Layer):
                (folder / part.diff_id.partition(":")[2]).unlink(missing_ok=True)
        self.told(size)
        return blob.descriptor, Outcome(blob.digest, blob.size, result)

    def _mounted(self, digest: str) -> bool:
        """Whether another repository had the blob and shares it now."""
        for source in self.mount_from:
            if source == self.repository or not self.client.has_blob(source, digest):
                continue
            query = urlencode({"mount": digest, "from": source})
            attempt = f"cannot mount {digest} of {source} in {self.repository}"
            reply = self.client.request("POST", f"{self.uploads}?{query}", attempt)
            if reply.status == HTTPStatus.CREATED:
                return True
            if reply.status == HTTPStatus.ACCEPTED and reply.headers.get("Location"):
                # It would rather have it uploaded.
                target = self.client.target_of(reply.headers["Location"], reply)
                self.client.request("DELETE", target, attempt)
        return False

    @property
    def uploads(self) -> str:
        """Where an upload begins."""
        return f"/v2/{self.repository}/blobs/uploads/"


class _Body:
    """Bytes of a blob from one offset on, hashed once however often they are sent."""

    def __init__(self, stream: IO[bytes], hashed: "_Hashed", start: int, count: int) -> None:
        self._stream, self._hashed = stream, hashed
        self._start, self._count, self._at = start, count, 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        self._stream.seek(self._start + self._at)
        while self._at < self._count:
            piece = self._stream.read(min(PIECE_BYTES, self._count - self._at))
            if not piece:
                return
            self._hashed.update(self._start + self._at, piece)
            self._at += len(piece)
            yield piece

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset


class _Hashed:
    """The digest of a blob that is read in order, some of it perhaps more than once."""

    def __init__(self, algorithm: str, told: Callable[[int], None]) -> None:
        self._hash = hashlib.new(algorithm)
        self._told = told
        self._known = 0

    def update(self, start: int, piece: bytes) -> None:
        fresh = piece[max(0, self._known - start) :]
        if fresh:
            self._hash.update(fresh)
            self._known += len(fresh)
            self._told(len(fresh))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class _BusyError(RegistryUnreachableError):
    """The registry, or what is before it, may do better in a moment."""


class _LostError(RegistryUnreachableError):
    """The registry knows nothing of an upload any more: it has to begin again."""


class _Sending:
    """One blob on its way: begun, sent in one part or several, gone on with, committed."""

    def __init__(self, pusher: ImagePusher, blob: Blob, told: Callable[[int], None]) -> None:
        self._pusher, self._client, self._blob = pusher, pusher.client, blob
        self._hashed = _Hashed(blob.digest.partition(":")[0], told)
        where = f"{self._client.registry}/{pusher.repository}"
        self._attempt = f"cannot upload {blob.digest} to {where}"
        self._target: str | None = None
        self._offset = 0
        self._committing = False
        self._broken = False

    def run(self) -> None:
        """Upload it, however often the connection breaks as long as it gets further."""
        pauses = self._pusher.backoff.pauses()
        reached = 0
        with self._blob.open() as stream:
            while True:
                try:
                    self._go_on(stream)
                except RegistryUnreachableError as error:
                    self._broken = True
                    self._pusher.part_size.broken()
                    if self._offset > reached:
                        reached, pauses = self._offset, self._pusher.backoff.pauses()
                    pause = next(pauses, None)
                    if pause is None:
                        raise
                    self._client.pause(pause)
                    if self._resumed(lost=isinstance(error, _LostError)):
                        return
                except RegctlError:
                    self._cancel()
                    raise
                else:
                    return

    def _go_on(self, stream: IO[bytes]) -> None:
        target = self._target or self._begin()
        while self._offset < self._blob.size:
            target = self._send_part(stream, target)
        found = self._hashed.hexdigest()
        check_digest(self._blob.digest, found, f"the saved blob {self._blob.digest}")
        self._commit(target)

    def _begin(self) -> str:
        self._offset, self._committing = 0, False
        reply = self._client.request("POST", self._pusher.uploads, self._attempt, repeatable=True)
        if reply.status != HTTPStatus.ACCEPTED:
            raise self._failure(reply)
        return self._keep(reply)

    def _keep(self, reply: Response) -> str:
        """Remember where the upload goes on: each answer may name another place."""
        location = reply.headers.get("Location")
        if location:
            self._target = self._client.target_of(location, reply)
        if self._target is None:
            raise _LostError(f"{self._attempt}: the registry names no place for it")
        return self._target

    def _send_part(self, stream: IO[bytes], target: str) -> str:
        rest = self._blob.size - self._offset
        count = self._pusher.part_size.of(rest)
        headers = {"Content-Type": "application/octet-stream"}
        if count < self._blob.size or self._broken:
            headers["Content-Range"] = f"{self._offset}-{self._offset + count - 1}"
        body = _Body(stream, self._hashed, self._offset, count)
        reply = self._client.request("PATCH", target, self._attempt, headers=headers, body=body)
        if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            self._pusher.part_size.refused(count, self._client.refused(reply, self._attempt))
            return target
        if reply.status not in {HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT, HTTPStatus.CREATED}:
            raise self._failure(reply)
        self._offset = _received(reply, self._offset + count)
        return self._keep(reply)

    def _commit(self, target: str) -> None:
        self._committing = True
        joiner = "&" if "?" in target else "?"
        query = urlencode({"digest": self._blob.digest})
        reply = self._client.request("PUT", f"{target}{joiner}{query}", self._attempt, body=b"")
        if reply.status not in {HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT}:
            raise self._failure(reply)

    def _resumed(self, *, lost: bool) -> bool:
        """Ask the registry how far it got, or begin again; tell whether it has all already."""
        if self._committing and self._client.has_blob(self._pusher.repository, self._blob.digest):
            return True
        self._committing = False
        if self._target is not None and not lost:
            try:
                reply = self._client.request("GET", self._target, self._attempt)
            except RegistryUnreachableError:
                return False
            if reply.status in {HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED, HTTPStatus.OK}:
                self._offset = min(_received(reply, 0), self._blob.size)
                self._keep(reply)
                return False
        # distribution gives up an upload of which a part broke off: it does not know how much came.
        self._cancel()
        return False

    def _cancel(self) -> None:
        """Leave nothing half done behind, if the registry can still be told so."""
        target, self._target, self._offset = self._target, None, 0
        if target is not None:
            try:
                self._client.request("DELETE", target, self._attempt)
            except RegctlError:
                return

    def _failure(self, reply: Response) -> RegctlError:
        """Return the error for an answer: one of those that may pass where it may."""
        refused = self._client.refused(reply, self._attempt)
        if isinstance(refused, BodyTooLargeError | DiskFullError):
            return refused
        if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            return _LostError(refused.message, hint=refused.hint)
        if reply.status == HTTPStatus.BAD_REQUEST and any(
            mark in code for code in reply.codes for mark in _SPOILT
        ):
            return _LostError(refused.message, hint=refused.hint)
        if reply.status in _BUSY:
            return _BusyError(refused.message)
        return refused


def _received(reply: Response, otherwise: int) -> int:
    """Return how many bytes the registry says it has: `Range` is `0-LAST`, without a unit."""
    _, dash, last = reply.headers.get("Range", "").rpartition("-")
    if not dash or not last.isdecimal():
        return otherwise
    # distribution says 0-0 of one byte and of none.
    return int(last) + 1 if int(last) else 0
