"""
Images saved in a file or a folder, as `docker save`, skopeo, podman and buildx leave them.

Two forms are read: docker's archive, with `manifest.json` in it, and the OCI image layout, with
`index.json` (OCI image specification, "Image Layout"). A tar is read where it lies and never
unpacked; what is compressed or comes through a pipe is put into a temporary file first.
"""

import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, cast

from regctl.errors import DigestMismatchError, FileAccessError, MalformedError, NotInRegistryError
from regctl.images.manifests import (
    DOCKER_CONFIG_TYPE,
    DOCKER_LAYER_TYPE,
    DOCKER_MANIFEST_TYPE,
    INDEX_TYPES,
    Descriptor,
    ImageManifest,
    Index,
    Platform,
    parse_configuration,
    parse_manifest,
)

PIECE_BYTES = 256 * 1024

_MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
# As crane does: the next levels take twice the time for a few per cent.
_GZIP_LEVEL = 1
_BLOCK_BYTES = 1024 * 1024
_SAMPLE_BYTES = 4 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_COMPRESSIONS = {b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")
_NOT_FOR_US = ("foreign", "nondistributable")
_NAME = "io.containerd.image.name"
_REFERENCE_NAME = "org.opencontainers.image.ref.name"

Opener = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Blob:
    """Content with its digest: a config, or a layer as it is stored. *size* is in bytes."""

    digest: str
    size: int
    media_type: str
    open: Opener = field(repr=False, compare=False)

    @property
    def descriptor(self) -> Descriptor:
        """What a manifest says of it."""
        return Descriptor(self.digest, self.size, self.media_type)

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces; DigestMismatchError after the last where it is another."""
        hashed = hashlib.new(self.digest.partition(":")[0])
        with self.open() as stream:
            while piece := stream.read(PIECE_BYTES):
                hashed.update(piece)
                yield piece
        check_digest(self.digest, hashed.hexdigest(), f"the saved blob {self.digest}")


@dataclass(frozen=True)
class Layer:
    """A layer of docker's archive: *diff_id* is the digest of its tar, which the config names."""

    name: str
    diff_id: str
    size: int
    open: Opener = field(repr=False, compare=False)

    def packed(self, folder: Path) -> Blob:
        """
        Return it compressed, in a new file in *folder*; one that is compressed already as it is.

        The same layer gives the same bytes every time. Raises DigestMismatchError.
        """
        with self.open() as stream:
            if stream.read(2) == _GZIP_MAGIC:
                return self._as_it_is()
        unpacked, packed = hashlib.sha256(), hashlib.sha256()
        path = folder / self.diff_id.partition(":")[2]
        with self.open() as stream, path.open("wb") as file:
            for piece in _squeezed(stream, unpacked.update):
                packed.update(piece)
                file.write(piece)
            size = file.tell()
        check_digest(self.diff_id, unpacked.hexdigest(), f"the layer {self.name}")
        return Blob(
            f"sha256:{packed.hexdigest()}", size, DOCKER_LAYER_TYPE, lambda: path.open("rb")
        )

    def _as_it_is(self) -> Blob:
        packed = hashlib.sha256()
        with self.open() as stream:
            while piece := stream.read(PIECE_BYTES):
                packed.update(piece)
        unpacked = hashlib.sha256()
        try:
            with self.open() as stream, gzip.GzipFile(fileobj=stream) as content:
                while piece := content.read(PIECE_BYTES):
                    unpacked.update(piece)
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedError(
                f"cannot read the layer {self.name}: its gzip is broken"
            ) from error
        check_digest(self.diff_id, unpacked.hexdigest(), f"the layer {self.name}")
        return Blob(f"sha256:{packed.hexdigest()}", self.size, DOCKER_LAYER_TYPE, self.open)


def _squeezed(stream: IO[bytes], read: Callable[[bytes], object]) -> Iterator[bytes]:
    """
    Yield a stream as gzip (RFC 1952), block by block; *read* is called with each block before.

    Blocks that don't compress, as those of archives and pictures, are only wrapped: that takes a
    fortieth of the time. No date goes in, so that the same content gives the same bytes.
    """
    yield _GZIP_MAGIC + b"\x08\x00" + bytes(4) + b"\x00\xff"
    checksum = size = 0
    while block := stream.read(_BLOCK_BYTES):
        read(block)
        checksum, size = zlib.crc32(block, checksum), size + len(block)
        step = max(1, len(block) // 4)
        samples = b"".join(block[at : at + _SAMPLE_BYTES] for at in range(0, len(block), step))
        gains = len(zlib.compress(samples, 1)) < 0.95 * len(samples)
        squeeze = zlib.compressobj(_GZIP_LEVEL if gains else 0, wbits=-zlib.MAX_WBITS)
        yield squeeze.compress(block) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    # An empty last block of RFC 1951.
    yield b"\x03\x00" + struct.pack("<II", checksum, size & 0xFFFFFFFF)


@dataclass(frozen=True)
class SavedManifest:
    """
    A manifest with all that it needs: *parts* in its order, *children* of an index.

    *body* is its content, which must stay as it is. Docker's archive has none: there `content`
    makes one of what the parts became.
    """

    media_type: str
    parts: tuple[Blob | Layer, ...] = ()
    children: tuple["SavedManifest", ...] = ()
    platform: Platform | None = None
    body: bytes | None = field(default=None, repr=False)

    def content(self, stored: Sequence[Descriptor]) -> bytes:
        """Return the manifest's bytes; *stored* describes the parts as the registry has them."""
        if self.body is not None:
            return self.body
        config, *layers = (_descriptor(one) for one in stored)
        document = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": config,
            "layers": layers,
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @property
    def size(self) -> int:
        """The bytes of all parts, each once, children's included."""
        return sum(part.size for part in unique_parts(self))


@dataclass(frozen=True)
class SavedImage:
    """An image in an archive, with the *names* that it was saved under."""

    names: tuple[str, ...]
    manifest: SavedManifest

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of its names."""
        tails = (name.rpartition("/")[2].partition("@")[0] for name in self.names)
        tags = (tail.partition(":")[2] if ":" in tail else tail for tail in tails)
        return tuple(dict.fromkeys(tag for tag in tags if tag))

    def for_platform(self, wanted: Platform) -> "SavedImage":
        """Return only what runs on *wanted*. Raises NotInRegistryError."""
        manifest = self.manifest
        fitting = [m for m in _leaves(manifest) if m.platform and wanted.runs(m.platform)]
        if not fitting:
            has = ", ".join(sorted({str(m.platform) for m in _leaves(manifest) if m.platform}))
            raise NotInRegistryError(
                f"the saved image is not for {wanted}", hint=f"its platforms: {has or 'none named'}"
            )
        return SavedImage(self.names, fitting[0])


def unique_parts(manifest: SavedManifest) -> tuple[Blob | Layer, ...]:
    """Return every part of a manifest and its children, each once."""
    found: dict[str, Blob | Layer] = {}
    for one in (manifest, *_descendants(manifest)):
        for part in one.parts:
            found.setdefault(key_of(part), part)
    return tuple(found.values())


def key_of(part: Blob | Layer) -> str:
    """Return what tells a part from others."""
    return part.digest if isinstance(part, Blob) else part.diff_id


def check_digest(promised: str, found: str, what: str) -> None:
    """Raise DigestMismatchError where *what* has another digest than it should."""
    algorithm, _, value = promised.partition(":")
    if value != found:
        raise DigestMismatchError(
            f"{what} has the digest {algorithm}:{found}, not {promised}",
            hint="the saved image is damaged: save it again",
        )


def _descendants(manifest: SavedManifest) -> Iterator[SavedManifest]:
    for child in manifest.children:
        yield child
        yield from _descendants(child)


def _leaves(manifest: SavedManifest) -> list[SavedManifest]:
    return [one for one in (manifest, *_descendants(manifest)) if not one.children]


def _descriptor(one: Descriptor) -> dict[str, Any]:
    return {"mediaType": one.media_type, "size": one.size, "digest": one.digest}


# Where it lies


class _Files(Protocol):
    """The files of an archive, by their names with slashes."""

    @property
    def source(self) -> str:
        """How to name the archive in errors."""

    def opener(self, name: str) -> tuple[Opener, int] | None:
        """Return how to open a file, and its size; None where it is not there."""


@dataclass(frozen=True)
class _Folder:
    path: Path
    source: str

    def opener(self, name: str) -> tuple[Opener, int] | None:
        path = self.path / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return None
        return (lambda: path.open("rb")), size


class _Slice(io.RawIOBase):
    """A part of a file, to be read by itself and by several threads at once."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        super().__init__()
        self._descriptor, self._start, self._size, self._at = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        data = os.pread(self._descriptor, wanted, self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Tar:
    """A tar that is read in place: where each of its files begins."""

    def __init__(self, file: IO[bytes], source: str) -> None:
        self.source = source
        self._descriptor = file.fileno()
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    self._members[_normal(member.name)] = member
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise MalformedError(
                f"cannot read {source}: not a tar, or cut short", hint="save the image again"
            ) from error

    def opener(self, name: str) -> tuple[Opener, int] | None:
        member = self._members.get(_normal(name))
        for _ in range(8):
            if member is None or member.isfile():
                break
            # docker before 25 saves a layer that it has twice as a link to the first.
            target = member.linkname
            if member.issym():
                target = posixpath.join(posixpath.dirname(member.name), target)
            member = (
                self._members.get(_normal(target)) if member.islnk() or member.issym() else None
            )
        if member is None or not member.isfile():
            return None
        start, size = member.offset_data, member.size

        def opened() -> IO[bytes]:
            return io.BufferedReader(_Slice(self._descriptor, start, size), PIECE_BYTES)

        return opened, size


def _normal(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


@contextmanager
def open_archive(source: str, stdin: IO[bytes]) -> Iterator[tuple[SavedImage, ...]]:
    """
    Give the images that *source* holds: a tar, one compressed by gzip, a folder, or `-` for stdin.

    What they hold can be read until the block ends. Raises FileAccessError, MalformedError,
    DigestMismatchError where a manifest is not what it is called.
    """
    with ExitStack() as stack:
        yield _images(_files(source, stdin, stack))


def _files(source: str, stdin: IO[bytes], stack: ExitStack) -> _Files:
    if source != "-" and Path(source).is_dir():
        return _Folder(Path(source), source)
    try:
        if source == "-":
            return _Tar(_seekable(stdin, "standard input", stack), "standard input")
        file = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115 - the stack closes it
        return _Tar(_seekable(file, source, stack), source)
    except OSError as error:
        raise FileAccessError(f"cannot read {source}: {error.strerror or 'not gzip'}") from error


def _seekable(file: IO[bytes], source: str, stack: ExitStack) -> IO[bytes]:
    """Return an uncompressed file to read anywhere in: *file* itself, or a temporary copy."""
    begin = file.read(8)
    for magic, name in _COMPRESSIONS.items():
        if begin.startswith(magic):
            raise MalformedError(
                f"cannot read {source}: compressed by {name}",
                hint=f"`{name} -dc FILE | regctl image push - IMAGE`",
            )
    compressed = begin.startswith(_GZIP_MAGIC)
    if not compressed and file.seekable():
        file.seek(0)
        return file
    copy: IO[bytes] = tempfile.TemporaryFile(prefix="regctl-")  # noqa: SIM115 - the stack closes it
    stack.enter_context(copy)
    whole = cast("IO[bytes]", io.BufferedReader(_Rejoined(begin, file), PIECE_BYTES))
    try:
        stream = cast("IO[bytes]", gzip.GzipFile(fileobj=whole)) if compressed else whole
        shutil.copyfileobj(stream, copy, PIECE_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedError(f"cannot read {source}: its gzip is broken or cut short") from error
    copy.flush()
    copy.seek(0)
    return copy


class _Rejoined(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, begin: bytes, rest: IO[bytes]) -> None:
        super().__init__()
        self._begin, self._rest = begin, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data, self._begin = self._begin[: len(buffer)], self._begin[len(buffer) :]
        data = data or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


# What it says


def _images(files: _Files) -> tuple[SavedImage, ...]:
    # docker 25 and later write both forms: the layout has the manifests as they are.
    if files.opener("index.json") is not None:
        found = _of_layout(files)
    elif files.opener("manifest.json") is not None:
        found = _of_docker(files)
    else:
        raise MalformedError(
            f"cannot read {files.source}: no saved image: it has no manifest.json or index.json",
            hint="`docker save -o app.tar IMAGE`, or `skopeo copy … oci:FOLDER`, writes one",
        )
    if not found:
        raise MalformedError(f"cannot read {files.source}: there is no image in it")
    return found


def _document(files: _Files, name: str) -> Any:
    try:
        return json.loads(_whole(files, name))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"cannot read {files.source}: {name} is not JSON") from error


def _whole(files: _Files, name: str) -> bytes:
    found = files.opener(name)
    if found is None:
        raise MalformedError(f"cannot read {files.source}: {name} is missing in it")
    opener, size = found
    if size > _MAX_DOCUMENT_BYTES:
        raise MalformedError(f"cannot read {files.source}: {name} has {size} bytes, over 4 MiB")
    with opener() as stream:
        return stream.read()


def _of_docker(files: _Files) -> tuple[SavedImage, ...]:
    entries = _document(files, "manifest.json")
    try:
        return tuple(
            SavedImage(
                tuple(str(name) for name in entry.get("RepoTags") or ()),
                _docker_manifest(files, str(entry["Config"]), [str(n) for n in entry["Layers"]]),
            )
            for entry in entries
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedError(
            f"cannot read {files.source}: its manifest.json is not that of `docker save`"
        ) from error


def _docker_manifest(files: _Files, config: str, layers: Sequence[str]) -> SavedManifest:
    body = _whole(files, config)
    source = f"{config} in {files.source}"
    told = parse_configuration(body, source)
    diff_ids = told.diff_ids
    if len(diff_ids) != len(layers) or not all(_DIGEST.fullmatch(one) for one in diff_ids):
        raise MalformedError(f"cannot read {source}: it does not name the {len(layers)} layers")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    parts: list[Blob | Layer] = [
        Blob(digest, len(body), DOCKER_CONFIG_TYPE, lambda: io.BytesIO(body))
    ]
    for name, diff_id in zip(layers, diff_ids, strict=True):
        found = files.opener(name)
        if found is None:
            raise MalformedError(f"cannot read {files.source}: the layer {name} is missing in it")
        opener, size = found
        parts.append(Layer(name, diff_id, size, opener))
    return SavedManifest(DOCKER_MANIFEST_TYPE, tuple(parts), platform=told.platform)


def _of_layout(files: _Files) -> tuple[SavedImage, ...]:
    body = _whole(files, "index.json")
    source = f"index.json in {files.source}"
    index = parse_manifest(body, next(iter(INDEX_TYPES)), source)
    if not isinstance(index, Index):
        raise MalformedError(f"cannot read {source}: it is no index")
    names: dict[str, list[str]] = {}
    first: dict[str, Descriptor] = {}
    for descriptor, entry in zip(
        index.manifests, _document(files, "index.json")["manifests"], strict=True
    ):
        first.setdefault(descriptor.digest, descriptor)
        said = _annotations(entry)
        name = said.get(_NAME) or said.get(_REFERENCE_NAME)
        names.setdefault(descriptor.digest, []).extend([name] if name else [])
    return tuple(
        SavedImage(tuple(names[digest]), _layout_manifest(files, descriptor))
        for digest, descriptor in first.items()
    )


def _annotations(entry: Mapping[str, Any]) -> dict[str, str]:
    said = entry.get("annotations")
    return {k: v for k, v in said.items() if isinstance(v, str)} if isinstance(said, dict) else {}


def _layout_manifest(files: _Files, descriptor: Descriptor, depth: int = 0) -> SavedManifest:
    source = f"the manifest {descriptor.digest} in {files.source}"
    body = _whole(files, _blob_name(descriptor.digest, files.source))
    algorithm = descriptor.digest.partition(":")[0]
    check_digest(descriptor.digest, hashlib.new(algorithm, body).hexdigest(), source)
    parsed = parse_manifest(body, descriptor.media_type, source)
    media_type = _media_type(body) or descriptor.media_type
    if isinstance(parsed, ImageManifest):
        parts = [_blob(files, one) for one in parsed.blobs if not _is_foreign(one)]
        platform = descriptor.platform or _platform(parts[0])
        return SavedManifest(media_type, tuple(parts), platform=platform, body=body)
    if depth > 4:
        raise MalformedError(f"cannot read {source}: indexes in indexes in indexes")
    children = []
    for child in parsed.manifests:
        if files.opener(_blob_name(child.digest, files.source)) is None:
            raise MalformedError(
                f"cannot read {source}: the image for {child.platform or child.digest} is missing",
                hint="save it for all its platforms, as `skopeo copy --all` does",
            )
        children.append(_layout_manifest(files, child, depth + 1))
    return SavedManifest(media_type, children=tuple(children), body=body)


def _media_type(body: bytes) -> str | None:
    value = json.loads(body).get("mediaType")
    return value if isinstance(value, str) else None


def _platform(config: Blob) -> Platform | None:
    if config.size > _MAX_DOCUMENT_BYTES:
        return None
    with config.open() as stream:
        try:
            return parse_configuration(stream.read(), config.digest).platform
        except MalformedError:
            return None


def _is_foreign(descriptor: Descriptor) -> bool:
    """Whether it is a layer that lies elsewhere, as those of Windows did: nobody uploads it."""
    return any(word in descriptor.media_type for word in _NOT_FOR_US)


def _blob(files: _Files, descriptor: Descriptor) -> Blob:
    found = files.opener(_blob_name(descriptor.digest, files.source))
    if found is None:
        raise MalformedError(f"cannot read {files.source}: the blob {descriptor.digest} is missing")
    opener, size = found
    if size != descriptor.size:
        raise MalformedError(
            f"cannot read {files.source}: the blob {descriptor.digest} has {size} bytes, "
            f"not {descriptor.size}",
            hint="the saved image is damaged: save it again",
        )
    return Blob(descriptor.digest, size, descriptor.media_type, opener)


def _blob_name(digest: str, source: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise MalformedError(f"cannot read {source}: not a digest: {digest!r}")
    return f"blobs/{digest.replace(':', '/')}"
