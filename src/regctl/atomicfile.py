"""
Lock, replace, fsync: the only way in which regctl writes a file.

A reader sees the old or the new content and never a part of it, even if the writer is killed.
Writers that use this module wait for each other. A symlink is followed. Owner, mode and extended
attributes stay. The modification time always grows, because the registry reloads its auth file for
no other reason. A file whose content would not change is not written.
"""

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from regctl.errors import FileAccessError, LockedError, MountPointError

_POLL_SECONDS = 0.01
# The first is enough for a file system that stores fractions of a second, the second for one that
# stores steps of two seconds (FAT, old NFS).
_TICKS_NS = (1_000_000, 2_000_000_000)
_NEW_FILE_MODE = 0o600


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
    """Return the content of *path*, or None if it does not exist. Raises FileAccessError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error


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
    target = Path(os.path.realpath(path))
    with _locked(target, path, options):
        # If it cannot be removed, creating it will fail below, with a message.
        with suppress(OSError):
            _temporary(target).unlink()
        with _os_errors(f"cannot write {path}"):
            before = _state(target)
        if before is not None and not stat.S_ISREG(before.st_mode):
            what = "a directory" if stat.S_ISDIR(before.st_mode) else "not a regular file"
            raise FileAccessError(f"cannot write {path}: it is {what}")
        original = read(target)
        draft = Draft(original, original)
        yield draft
        if draft.content is None or draft.content == original:
            return
        with _os_errors(f"cannot write {path}"):
            if options.backup and before is not None and original is not None:
                _replace(target.with_name(f"{target.name}.bak"), original, like=before)
            if not _same(before, _state(target)):
                raise FileAccessError(
                    f"cannot write {path}: another program changed it in the meantime",
                    hint="run the same command again",
                )
            if options.in_place and before is not None:
                _overwrite(target, draft.content, original or b"", before)
            else:
                _replace(target, draft.content, like=before)


def swap(path: Path, before: bytes | None, after: bytes, options: WriteOptions = _DEFAULTS) -> None:
    """
    Write *after* to *path* if its content is still *before*, which the user has seen.

    *before* is None for a missing file. Raises FileAccessError if the content is another by now,
    and the errors of `editing`.
    """
    try:
        with editing(path, options) as draft:
            if draft.original != before:
                raise FileAccessError(
                    f"cannot write {path}: another program changed it in the meantime",
                    hint="run the same command again",
                )
            draft.content = after
    except MountPointError as error:
        raise MountPointError(
            error.message,
            hint=f"{error.hint}, or pass --in-place: readers may then see a part of it",
        ) from error


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
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
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
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
    )


# The lock


@contextmanager
def _locked(target: Path, path: Path, options: WriteOptions) -> Iterator[None]:
    """
    Hold the lock: flock on a file next to *target*, which is removed with the lock.

    The file itself cannot be the lock, because every write replaces it. The system releases the
    lock of a process that dies.
    """
    lock = target.with_name(f"{target.name}.lock")
    with _os_errors(f"cannot write {path}"):
        descriptor = _acquire(lock, target, options)
    if descriptor is None:
        holder = _holder(lock)
        raise LockedError(
            f"cannot write {path}: {holder} has held {lock.name} for {options.timeout:g} seconds",
            hint="wait until that process ends, or stop it",
        )
    try:
        yield
    finally:
        # Removed while it is held: a process that waits for it sees that it is no longer the lock.
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path, target: Path, options: WriteOptions) -> int | None:
    """Return a descriptor that holds the lock, or None after the timeout."""
    deadline = time.monotonic() + options.timeout
    while True:
        with ExitStack() as undo:
            descriptor = _open_lock(lock, target, options)
            undo.callback(os.close, descriptor)
            if not _flock(descriptor, deadline):
                return None
            if _is_current(descriptor, lock, target):
                undo.pop_all()
                return descriptor


def _open_lock(lock: Path, target: Path, options: WriteOptions) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(lock, flags, _NEW_FILE_MODE)
    except OSError as error:
        # The folder is read-only: a file that is written in place can be its own lock.
        if options.in_place and error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            return os.open(target, os.O_RDWR | os.O_CLOEXEC)
        raise


def _flock(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _is_current(descriptor: int, lock: Path, target: Path) -> bool:
    """Whether the file behind *descriptor* is still the lock; if so, write our process id to it."""
    opened = os.fstat(descriptor)
    state = _state(lock)
    if state is None:
        written = _state(target)
        return written is not None and os.path.samestat(opened, written)
    if not os.path.samestat(opened, state):
        return False
    # For the message of processes that wait; it fails on a full disk.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return True


def _holder(lock: Path) -> str:
    with suppress(OSError, ValueError):
        return f"process {int(lock.read_bytes())}"
    return "another process"


# The content


def _temporary(target: Path) -> Path:
    """
    Return the path of the file that becomes *target*: always the same name.

    Only the holder of the lock creates it, so one that exists is left from a killed process.
    """
    return target.with_name(f".{target.name}.regctl-new")


def _replace(target: Path, content: bytes, like: os.stat_result | None) -> None:
    temporary = _temporary(target)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, _NEW_FILE_MODE)
    try:
        _fill(descriptor, content)
        if like is not None:
            _copy_attributes(descriptor, target, like)
            _advance(descriptor, like)
        os.fsync(descriptor)
        _read_back(descriptor, target, content)
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
