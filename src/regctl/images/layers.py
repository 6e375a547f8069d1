"""
The parts of a saved image: blobs that are stored as they are, and docker's layers, which are not.

`docker save` stores layers uncompressed. They are compressed before they are uploaded.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from regctl.errors import DigestMismatchError, MalformedError
from regctl.images.files import (
    GZIP_MAGIC,
    PIECE_BYTES,
    Gunzip,
    Opener,
    open_range,
    temporary_file,
    write,
)
from regctl.images.manifests import Descriptor

# As crane does: higher levels take twice the time for a few per cent.
_GZIP_LEVEL = 1
_BLOCK_BYTES = 1024 * 1024
_SAMPLE_BYTES = 4 * 1024


@dataclass(frozen=True)
class Blob:
    """A config, or a layer as it is stored, in a saved image. *size* is in bytes."""

    digest: str
    size: int
    media_type: str
    open: Opener = field(repr=False, compare=False)

    @property
    def descriptor(self) -> Descriptor:
        """Return its entry in a manifest."""
        return Descriptor(self.digest, self.size, self.media_type)

    @contextmanager
    def stored(self) -> Iterator["Blob"]:
        """Give the blob that a registry stores: this one."""
        yield self


@dataclass(frozen=True)
class DockerLayer(Blob):
    """
    A layer that docker saved as the file *name*, usually uncompressed. *size* is as saved.

    *digest* is that of its uncompressed tar, as the image's configuration has it.
    """

    name: str

    @contextmanager
    def stored(self) -> Iterator[Blob]:
        """
        Give the blob that a registry stores: the layer compressed, in a temporary file.

        The same layer gives the same bytes every time. A layer that is saved compressed is given
        unchanged. Raises DigestMismatchError and MalformedError.
        """
        with self.open() as stream:
            compressed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        if compressed:
            yield self._verified()
            return
        with temporary_file() as file:
            yield self._compressed(file)

    def _compressed(self, file: IO[bytes]) -> Blob:
        content, stored = hashlib.new(algorithm_of(self.digest)), hashlib.sha256()
        with self.open() as stream:
            for piece in _gzip(stream, content.update):
                stored.update(piece)
                write(file, piece)
        self._check(content.hexdigest())
        size = file.tell()
        digest = f"sha256:{stored.hexdigest()}"
        return Blob(digest, size, self.media_type, partial(open_range, file.fileno(), 0, size))

    def _verified(self) -> Blob:
        with self.open() as stream:
            digest = f"sha256:{_hash(stream, 'sha256')}"
        attempt = f"cannot read the layer {self.name}"
        try:
            with self.open() as stream, Gunzip(stream, self.size, attempt) as content:
                self._check(_hash(content, algorithm_of(self.digest)))
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedError(f"{attempt}: its gzip data is damaged") from error
        return Blob(digest, self.size, self.media_type, self.open)

    def _check(self, found: str) -> None:
        check_digest(self.digest, found, f"the layer {self.name}")


def algorithm_of(digest: str) -> str:
    """Return the hash algorithm of a digest: `sha256` or `sha512`."""
    return digest.partition(":")[0]


def check_digest(expected: str, found: str, subject: str) -> None:
    """
    Raise DigestMismatchError if *subject* does not have the *expected* digest.

    *found* is the hash of its content in hexadecimal digits.
    """
    algorithm, _, value = expected.partition(":")
    if value != found:
        raise DigestMismatchError(
            f"{subject} has the digest {algorithm}:{found}, not {expected}",
            hint="the saved image is damaged: save it again",
        )


def _hash(stream: IO[bytes] | Gunzip, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    while piece := stream.read(PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _gzip(stream: IO[bytes], on_read: Callable[[bytes], object]) -> Iterator[bytes]:
    """
    Yield a stream as gzip (RFC 1952), block by block; *on_read* gets each block before.

    A block that does not compress, as in archives and pictures, is only wrapped. That takes a
    fortieth of the time. The header has no date, so the same content gives the same bytes.
    """
    yield GZIP_MAGIC + b"\x08\x00" + bytes(4) + b"\x00\xff"
    checksum = size = 0
    while block := stream.read(_BLOCK_BYTES):
        on_read(block)
        checksum, size = zlib.crc32(block, checksum), size + len(block)
        step = max(1, len(block) // 4)
        samples = b"".join(block[at : at + _SAMPLE_BYTES] for at in range(0, len(block), step))
        compresses = len(zlib.compress(samples, 1)) < 0.95 * len(samples)
        deflate = zlib.compressobj(_GZIP_LEVEL if compresses else 0, wbits=-zlib.MAX_WBITS)
        yield deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)
    # The last block is empty (RFC 1951).
    yield b"\x03\x00" + struct.pack("<II", checksum, size & 0xFFFFFFFF)
