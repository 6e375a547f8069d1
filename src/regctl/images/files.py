"""
The files of a saved image, in a folder or in a tar.

A tar is read in place and never unpacked. A tar that is compressed or comes through a pipe is
copied to a temporary file first.
"""

import gzip
import io
import os
import posixpath
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from regctl.errors import FileAccessError, MalformedError

PIECE_BYTES = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"

_OTHER_COMPRESSIONS = {b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_MAX_LINKS = 8

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


def _find_in_folder(folder: Path, name: str) -> StoredFile | None:
    path = folder / name
    try:
        return StoredFile(path.stat().st_size, lambda: path.open("rb"))
    except FileNotFoundError:
        return None


class _Tar:
    """A tar that is read in place: it keeps where each of its files begins."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = file.fileno()
        with tarfile.open(fileobj=file, mode="r:") as tar:
            self._members = {_normalized(member.name): member for member in tar}

    def find(self, name: str) -> StoredFile | None:
        for _ in range(_MAX_LINKS):
            member = self._members.get(_normalized(name))
            if member is None:
                return None
            if member.isfile():
                return StoredFile(member.size, partial(self._open, member))
            # docker before 25 saves a layer that occurs twice as a link to the first one.
            if not member.issym() and not member.islnk():
                return None
            folder = posixpath.dirname(member.name) if member.issym() else ""
            name = posixpath.join(folder, member.linkname)
        return None

    def _open(self, member: tarfile.TarInfo) -> IO[bytes]:
        content = _FileRange(self._descriptor, member.offset_data, member.size)
        return io.BufferedReader(content, PIECE_BYTES)


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


def _normalized(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


@contextmanager
def open_files(source: Source) -> Iterator[ImageFiles]:
    """
    Give the files in *source*: a folder, a tar, or a tar compressed by gzip.

    They can be read until the block ends. Raises FileAccessError and MalformedError.
    """
    if isinstance(source, str | Path) and Path(source).is_dir():
        yield ImageFiles(str(source), partial(_find_in_folder, Path(source)))
        return
    name = str(source) if isinstance(source, str | Path) else "standard input"
    with ExitStack() as stack:
        yield ImageFiles(name, _open_tar(source, name, stack).find)


def _open_tar(source: Source, name: str, stack: ExitStack) -> _Tar:
    attempt = f"cannot read {name}"
    try:
        if isinstance(source, str | Path):
            source = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115 - the stack closes it
        return _Tar(_uncompressed(source, attempt, stack))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedError(f"{attempt}: its gzip data is damaged") from error
    except OSError as error:
        raise FileAccessError(f"{attempt}: {error.strerror or error}") from error
    except (tarfile.TarError, ValueError) as error:
        raise MalformedError(
            f"{attempt}: it is not a tar, or it is truncated", hint="save the image again"
        ) from error


def _uncompressed(file: IO[bytes], attempt: str, stack: ExitStack) -> IO[bytes]:
    """Return a seekable file with the uncompressed tar: *file* itself, or a temporary copy."""
    if not file.seekable():
        file = _copy(file, stack)
    magic = file.read(8)
    file.seek(0)
    for other, program in _OTHER_COMPRESSIONS.items():
        if magic.startswith(other):
            raise MalformedError(
                f"{attempt}: it is compressed by {program}, not by gzip",
                hint=f"`{program} -dc FILE | regctl image push - IMAGE`",
            )
    return _copy(gzip.GzipFile(fileobj=file), stack) if magic.startswith(GZIP_MAGIC) else file


def _copy(stream: IO[bytes] | gzip.GzipFile, stack: ExitStack) -> IO[bytes]:
    copy = stack.enter_context(
        tempfile.TemporaryFile(prefix="regctl-")  # noqa: SIM115 - the stack closes it
    )
    shutil.copyfileobj(stream, copy, PIECE_BYTES)
    copy.flush()
    copy.seek(0)
    return copy
