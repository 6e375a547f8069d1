"""
The files of a saved image, in a folder or in a tar.

A tar is read in place and never unpacked. A tar that is compressed or comes through a pipe is
copied to a temporary file first. Whoever wrote the image may be hostile: nothing outside of the
folder or tar is opened, and headers and gzip data are limited.
"""

import errno
import gzip
import io
import os
import posixpath
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from regctl.errors import FileAccessError, MalformedError

PIECE_BYTES = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"

_OTHER_COMPRESSIONS = {b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_MAX_LINKS = 8
# tarfile reads a header into memory, however large it is.
_MAX_MEMBER_HEADER_BYTES = 64 * 1024
_MAX_HEADERS_BYTES = 16 * 1024 * 1024  # 32,000 files
# What expands further is a bomb: gzip can reach 1000 times.
_MAX_EXPANSION = 100
_MIN_EXPANDED_BYTES = 1024**3

Opener = Callable[[], IO[bytes]]
Source = str | Path | IO[bytes]
"""The path of a saved image, or standard input."""


@dataclass(frozen=True)
class StoredFile:
    """A file that `open` opens for reading, as often as needed; *size* is in bytes."""

    size: int
    open: Opener = field(repr=False, compare=False)


@dataclass(frozen=True)
class ImageFiles:
    """
    The files of a saved image. *source* names it in errors.

    *find* returns the file of a name with slashes, or None if it does not exist.
    """

    source: str
    find: Callable[[str], StoredFile | None] = field(repr=False)


class _Folder:
    """A folder with an image: only regular files below it are opened, and no link is followed."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path, self._descriptor = path, os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, self._descriptor)

    def find(self, name: str) -> StoredFile | None:
        try:
            with self._open(name) as file:
                return StoredFile(os.fstat(file.fileno()).st_size, partial(self._open, name))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            raise FileAccessError(f"cannot read {self._path / name}: {error.strerror}") from error

    def _open(self, name: str) -> IO[bytes]:
        attempt, inner = f"cannot read {name} in {self._path}", self._descriptor
        # An open FIFO would wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with ExitStack() as opened:
            for part in _normalized(name).split("/"):
                if part == "..":
                    raise MalformedError(f"{attempt}: it is outside of the folder")
                try:
                    inner = os.open(part, flags, dir_fd=inner)
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        raise
                    hint = "`cp -RL FOLDER COPY` replaces the links by what they refer to"
                    raise MalformedError(f"{attempt}: it is a symbolic link", hint=hint) from error
                opened.callback(os.close, inner)
            if not stat.S_ISREG(os.fstat(inner).st_mode):
                raise MalformedError(f"{attempt}: it is not a regular file")
            return os.fdopen(os.dup(inner), "rb")


class _Member(NamedTuple):
    """A file of a tar: where its content is, or the name that it is a link to."""

    start: int
    size: int
    target: bytes | None = None


class _Tar:
    """A tar that is read in place: it keeps where each of its files begins."""

    def __init__(self, file: IO[bytes], attempt: str) -> None:
        self._descriptor = file.fileno()
        self._members: dict[bytes, _Member] = {}
        headers = _Headers(self._descriptor, os.fstat(self._descriptor).st_size, attempt)
        with tarfile.open(fileobj=headers, mode="r:") as tar:
            while (member := tar.next()) is not None:
                if member.size < 0:  # Python before 3.13.6 goes back to it for ever
                    raise MalformedError(f"{attempt}: {member.name} has a negative size")
                self._add(member)
                # tarfile keeps each member, and copies global headers to those that follow.
                vars(tar).update(members=[], pax_headers={})
                headers.next_member()

    def _add(self, member: tarfile.TarInfo) -> None:
        target = None
        # docker before 25 saves a layer that occurs twice as a link to the first one.
        if member.issym() or member.islnk():
            folder = posixpath.dirname(member.name) if member.issym() else ""
            target = _key(posixpath.join(folder, member.linkname))
        if target is not None or member.isfile():
            found = _Member(member.offset_data, member.size, target)
            self._members[_key(member.name)] = found

    def find(self, name: str) -> StoredFile | None:
        key = _key(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(key)
            if member is None or member.target is None:
                return member and StoredFile(member.size, partial(self._open, member))
            key = member.target
        return None

    def _open(self, member: _Member) -> IO[bytes]:
        return open_range(self._descriptor, member.start, member.size)


class _FileRange(io.RawIOBase):
    """
    A range of an open file, with a position of its own.

    Several threads read one tar at a time; `tarfile.extractfile` would share one position.
    """

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        super().__init__()
        self._descriptor, self._start, self._size, self._position = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        data = os.pread(self._descriptor, wanted, self._start + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class _Headers(_FileRange):
    """A tar as tarfile reads it: only its headers, as large as an image can need."""

    def __init__(self, descriptor: int, size: int, attempt: str) -> None:
        super().__init__(descriptor, 0, size)
        self._attempt, self._rest, self._of_member = attempt, _MAX_HEADERS_BYTES, 0

    def next_member(self) -> None:
        self._of_member = 0

    def read(self, size: int = -1) -> bytes:
        # A long pax header takes time: it may have a field for each five bytes.
        self._rest -= size if size <= tarfile.BLOCKSIZE else 4 * size
        self._of_member += size
        if size < 0 or self._rest < 0 or self._of_member > _MAX_MEMBER_HEADER_BYTES:
            raise MalformedError(f"{self._attempt}: the headers of the tar are too large")
        return super().read(size) or b""


def _key(name: str) -> bytes:
    """Return a name in a tar, as bytes: some texts take four times the memory."""
    return _normalized(name).encode(errors="surrogatepass")


def _normalized(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def open_range(descriptor: int, start: int, size: int) -> IO[bytes]:
    """Open a range of an open file, with a position of its own."""
    return io.BufferedReader(_FileRange(descriptor, start, size), PIECE_BYTES)


@contextmanager
def open_files(source: Source) -> Iterator[ImageFiles]:
    """
    Give the files in *source*: a folder, a tar, or a tar compressed by gzip.

    They can be read until the block ends. Raises FileAccessError and MalformedError.
    """
    name = str(source) if isinstance(source, str | Path) else "standard input"
    with ExitStack() as stack:
        yield ImageFiles(name, _open(source, f"cannot read {name}", stack).find)


def _open(source: Source, attempt: str, stack: ExitStack) -> _Folder | _Tar:
    try:
        if isinstance(source, str | Path):
            if Path(source).is_dir():
                return _Folder(Path(source), stack)
            source = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115 - the stack closes it
        return _Tar(_uncompressed(source, attempt, stack), attempt)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedError(f"{attempt}: its gzip data is damaged") from error
    except OSError as error:
        raise FileAccessError(f"{attempt}: {error.strerror or error}") from error
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedError(
            f"{attempt}: it is not a tar, or it is truncated", hint="save the image again"
        ) from error


def _uncompressed(file: IO[bytes], attempt: str, stack: ExitStack) -> IO[bytes]:
    """Return a seekable file with the uncompressed tar: *file* itself, or a temporary copy."""
    if not file.seekable():
        file = _copy(file, stack)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(8)
    file.seek(0)
    for other, program in _OTHER_COMPRESSIONS.items():
        if magic.startswith(other):
            raise MalformedError(
                f"{attempt}: it is compressed by {program}, not by gzip",
                hint=f"`{program} -dc FILE | regctl image push - IMAGE`",
            )
    if not magic.startswith(GZIP_MAGIC):
        return file
    return _copy(Gunzip(file, size, attempt), stack)


class Gunzip(gzip.GzipFile):
    """Reads gzip data of *size* bytes. Raises MalformedError, after *attempt*, for a bomb."""

    def __init__(self, file: IO[bytes], size: int, attempt: str) -> None:
        super().__init__(fileobj=file)
        self._attempt = attempt
        self._rest = max(_MIN_EXPANDED_BYTES, _MAX_EXPANSION * size)

    def read(self, size: int | None = -1) -> bytes:
        """Return up to *size* bytes of the content."""
        piece = super().read(size)
        self._rest -= len(piece)
        if self._rest < 0:
            raise MalformedError(
                f"{self._attempt}: its gzip data expands more than {_MAX_EXPANSION} times",
                hint="`gzip -dc` expands it, if you trust it",
            )
        return piece


def _copy(stream: IO[bytes] | Gunzip, stack: ExitStack) -> IO[bytes]:
    copy = stack.enter_context(temporary_file())
    while piece := stream.read(PIECE_BYTES):
        write(copy, piece)
    copy.seek(0)
    return copy


def temporary_file() -> IO[bytes]:
    """Return a file in $TMPDIR without a name: nothing is left of it, not even by SIGKILL."""
    with writing_temporary_files():
        return tempfile.TemporaryFile(prefix="regctl-", buffering=0)


def write(file: IO[bytes], piece: bytes) -> None:
    """Write a whole piece to an unbuffered temporary file. Raises FileAccessError."""
    with writing_temporary_files():
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]


@contextmanager
def writing_temporary_files() -> Iterator[None]:
    """Raise FileAccessError, with the folder, if the block cannot write a temporary file."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "$TMPDIR"  # None if no folder can be written to
        raise FileAccessError(
            f"cannot write a temporary file in {folder}: {error.strerror}",
            hint="set $TMPDIR to a folder with more space",
        ) from error
