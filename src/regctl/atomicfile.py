"""
Lock, replace, fsync: the only way in which regctl writes a file.

A reader sees the old or the new content and never a part of it, even if the writer is killed.
Writers that use this module wait for each other. A symlink is followed. Owner, mode and extended
attributes stay. The modification time always grows, because the registry reloads its auth file for
no other reason. A file whose content would not change is not written.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from io import UnsupportedOperation
from pathlib import Path
from typing import IO

from regctl.errors import FileAccessError, MountPointError
from regctl.filelock import DENIED, locked

# The first is enough for a file system that stores fractions of a second, the second for one that
# stores steps of two seconds (FAT, old NFS).
_TICKS_NS = (1_000_000, 2_000_000_000)
_NEW_FILE_MODE = 0o600
_MIB = 1024 * 1024
_LIMIT = 16 * _MIB
_PIPE_LIMIT = 4 * _MIB
# Nothing waits for the other end of a FIFO.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True)
class WriteOptions:
    """
    How to write a file.

    *backup* keeps the old content as `<file>.bak`. *timeout* is how many seconds to wait for the
    lock. *in_place* writes into the file itself, for a file that is a mount point. Then a reader
    may see a part of the content, and a crash may leave a part. With *dry_run* nothing is locked or
    written.
    """

    backup: bool = False
    in_place: bool = False
    timeout: float = 30.0
    dry_run: bool = False


@dataclass
class Draft:
    """
    A file being edited: set `content` to the new content.

    None means that the file does not exist, or is not to be created.
    """

    original: bytes | None = field(repr=False)
    content: bytes | None = field(repr=False)


def read(path: Path) -> bytes | None:
    """
    Return the content of *path*, or None if it does not exist.

    Raises FileAccessError, also for what is not a regular file, and for more than 16 MiB.
    """
    try:
        descriptor = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error
    try:
        _require_regular(os.fstat(descriptor), f"cannot read {path}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return _bounded(file, _LIMIT, path)
    finally:
        os.close(descriptor)


def read_input(source: Path | IO[bytes], name: str) -> bytes:
    """
    Return all of what a command is given: a file, a pipe, or an open stream.

    Raises FileAccessError, also for more than 16 MiB in a file or 4 MiB elsewhere. *name* is what
    it calls the source.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                return read_input(file, name)
        regular = False
        with suppress(UnsupportedOperation):  # a stream of a test has no descriptor
            regular = stat.S_ISREG(os.fstat(source.fileno()).st_mode)
        return _bounded(source, _LIMIT if regular else _PIPE_LIMIT, name)
    except OSError as error:
        raise FileAccessError(f"cannot read {name}: {error.strerror}") from error


def _bounded(file: IO[bytes], limit: int, name: object) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise FileAccessError(f"cannot read {name}: it has more than {limit // _MIB} MiB")
    return content


def _require_regular(state: os.stat_result, attempt: str) -> None:
    if not stat.S_ISREG(state.st_mode):
        what = "a directory" if stat.S_ISDIR(state.st_mode) else "not a regular file"
        raise FileAccessError(f"{attempt}: it is {what}")


_DEFAULTS = WriteOptions()


@contextmanager
def editing(path: Path, options: WriteOptions = _DEFAULTS) -> Iterator[Draft]:
    """
    Lock *path*, read it, yield a draft of it, and write the draft's content after the block.

    Nothing is written if the block raises or does not change the content. A new file gets mode
    0600. Raises LockedError if another writer holds the lock for longer than `options.timeout`,
    MountPointError if only `options.in_place` could work, FileAccessError if the system denies any
    other step.
    """
    if options.dry_run:
        content = read(path)
        yield Draft(content, content)
        return
    target, attempt = Path(os.path.realpath(path)), f"cannot write {path}"
    backup = target.with_name(f"{target.name}.bak")
    with ExitStack() as lock:
        with _os_errors(attempt):
            itself = options.in_place
            lock.enter_context(locked(target, options.timeout, attempt, itself=itself))
        # Left by killed processes. One that cannot be removed is in nobody's way.
        for left in (_temporary(target), _temporary(backup)):
            with suppress(OSError):
                left.unlink()
        with _os_errors(attempt):
            before = _state(target)
        if before is not None:
            _require_regular(before, attempt)
        original = read(target)
        draft = Draft(original, original)
        yield draft
        if draft.content is None or draft.content == original:
            return

        def check() -> None:
            if not _same(before, _state(target)) or read(target) != original:
                raise _changed_meanwhile(path)

        with _os_errors(attempt):
            if options.backup and before is not None and original is not None:
                _replace(backup, original, before, check)
            if options.in_place and before is not None:
                check()
                _overwrite(target, draft.content, original or b"", before)
            else:
                _replace(target, draft.content, before, check)


def swap(path: Path, before: bytes | None, after: bytes, options: WriteOptions = _DEFAULTS) -> None:
    """
    Write *after* to *path* if its content is still *before*, which the user has seen.

    *before* is None for a missing file. Raises FileAccessError if the content is another by now,
    and the errors of `editing`.
    """
    try:
        with editing(path, options) as draft:
            if draft.original != before:
                raise _changed_meanwhile(path)
            draft.content = after
    except MountPointError as error:
        raise MountPointError(
            error.message,
            hint=f"{error.hint}, or pass --in-place: readers may then see a part of it",
        ) from error


def _changed_meanwhile(path: Path) -> FileAccessError:
    return FileAccessError(
        f"cannot write {path}: another program changed it in the meantime",
        hint="run the same command again",
    )


@contextmanager
def _os_errors(attempt: str) -> Iterator[None]:
    """Turn an OSError into one of ours, whose message starts with *attempt*."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EBUSY, errno.EXDEV}:
            raise MountPointError(
                f"{attempt}: the file itself is a mount point and cannot be replaced",
                hint="mount the folder that contains it, not the single file",
            ) from error
        if error.errno in DENIED:
            raise FileAccessError(
                f"{attempt}: {error.strerror}",
                hint="its folder must be writable: a new file is created there and replaces it",
            ) from error
        hint = "create the folder first" if error.errno == errno.ENOENT else None
        raise FileAccessError(f"{attempt}: {error.strerror}", hint=hint) from error


def _state(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    if one is None or other is None:
        return one is other
    fields = "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"
    return all(getattr(one, name) == getattr(other, name) for name in fields)


# The content


def _temporary(target: Path, number: str = "") -> Path:
    """
    Return the path of the file that becomes *target*: always the same name.

    Only the holder of the lock creates it, so one that exists is left from a killed process.
    """
    return target.with_name(f".{target.name}.regctl-new{number}")


def _replace(
    target: Path, content: bytes, like: os.stat_result | None, check: Callable[[], None]
) -> None:
    """Replace *target*; *check* raises an error if that must not be done after all."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    temporary = _temporary(target)
    try:
        descriptor = os.open(temporary, flags, _NEW_FILE_MODE)
    except FileExistsError:
        temporary = _temporary(target, os.urandom(8).hex())
        descriptor = os.open(temporary, flags, _NEW_FILE_MODE)
    try:
        _fill(descriptor, content)
        if like is not None:
            _copy_attributes(descriptor, target, like)
            _advance(descriptor, like)
        os.fsync(descriptor)
        _read_back(descriptor, target, content)
        check()
        temporary.replace(target)
    finally:
        os.close(descriptor)
        # It still exists only after a failure.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _fsync_folder(target.parent)


def _overwrite(target: Path, content: bytes, original: bytes, before: os.stat_result) -> None:
    descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            _fill(descriptor, content)
            os.fsync(descriptor)
        except OSError:
            _fill(descriptor, original)
            raise
        _advance(descriptor, before)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(descriptor: int, content: bytes) -> None:
    view, offset = memoryview(content), 0
    while offset < len(content):
        offset += os.pwrite(descriptor, view[offset:], offset)
    os.ftruncate(descriptor, len(content))


def _read_back(descriptor: int, target: Path, content: bytes) -> None:
    if os.pread(descriptor, len(content) + 1, 0) != content:
        raise FileAccessError(
            f"cannot write {target}: the content read back differs from what was written"
        )


def _copy_attributes(descriptor: int, target: Path, like: os.stat_result) -> None:
    """Give the new file the owner, mode and extended attributes (ACLs, labels) of the old one."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except PermissionError as error:
            raise FileAccessError(
                f"cannot write {target}: it belongs to user {like.st_uid}, group {like.st_gid}, "
                "and the new file would not",
                hint="run as its owner or as root",
            ) from error
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    if sys.platform == "linux" and target.exists():
        for name in os.listxattr(target):
            try:
                os.setxattr(descriptor, name, os.getxattr(target, name))
            except PermissionError:
                # The system's policy sets these labels; only it may.
                if not name.startswith(("security.", "trusted.")):
                    raise


def _advance(descriptor: int, before: os.stat_result) -> None:
    """
    Make the modification time later than that of the old file.

    The registry compares nothing else (distribution, registry/auth/htpasswd/access.go). Two writes
    within one tick of the kernel's clock would have the same time.
    """
    for tick in _TICKS_NS:
        now = os.fstat(descriptor)
        if now.st_mtime_ns > before.st_mtime_ns:
            return
        os.utime(descriptor, ns=(now.st_atime_ns, before.st_mtime_ns + tick))


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems do not support fsync of a folder.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)
