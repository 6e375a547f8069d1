"""
Lock, replace, fsync: the one way a file is written.

A reader sees the old content or the new, never a part, whenever it looks and whenever the writer
is killed. Writers that come through here wait for each other. A symlink is followed, owner, mode
and extended attributes stay, the modification time always grows (the registry reads its auth file
again for nothing else), and a file that would not change is not touched.
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
# Enough for the clocks of every file system that keeps fractions of a second, and for those (FAT,
# old NFS) that keep two seconds.
_TICKS_NS = (1_000_000, 2_000_000_000)
_NEW_FILE_MODE = 0o600


@dataclass(frozen=True)
class Writing:
    """
    How to write: *backup* keeps the old content as `<file>.bak`, *timeout* is in seconds.

    *in_place* writes into the file itself, for a file that is a mount point of its own. A reader
    may then see a part of it, and so may the next run after a crash.
    """

    backup: bool = False
    in_place: bool = False
    timeout: float = 30.0


@dataclass
class Draft:
    """
    A file being edited: set `content` to what it is to hold.

    None stands for a file that does not exist, or is not to be made.
    """

    original: bytes | None = field(repr=False)
    content: bytes | None = field(repr=False)


def read(path: Path) -> bytes | None:
    """Return what *path* holds, or None where there is no file. Raises FileAccessError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error


_BY_DEFAULT = Writing()


@contextmanager
def editing(path: Path, how: Writing = _BY_DEFAULT) -> Iterator[Draft]:
    """
    Lock *path*, read it, and write what the block leaves in the draft.

    Nothing is written when the block raises, or leaves the content as it was. A new file gets mode
    0600. Raises LockedError when another writer holds the lock for longer than `how.timeout`,
    MountPointError where only `how.in_place` could work, FileAccessError for all else that the
    system refuses.
    """
    target = Path(os.path.realpath(path))
    with _locked(target, path, how):
        # Where it can't be removed, nothing can be made in its place either: that will be said.
        with suppress(OSError):
            _temporary(target).unlink()
        with _explained(f"cannot write {path}"):
            before = _state(target)
        if before is not None and not stat.S_ISREG(before.st_mode):
            what = "a directory" if stat.S_ISDIR(before.st_mode) else "not a regular file"
            raise FileAccessError(f"cannot write {path}: it is {what}")
        original = read(target)
        draft = Draft(original, original)
        yield draft
        if draft.content is None or draft.content == original:
            return
        with _explained(f"cannot write {path}"):
            if how.backup and before is not None and original is not None:
                _replace(target.with_name(f"{target.name}.bak"), original, like=before)
            if not _same(before, _state(target)):
                raise FileAccessError(
                    f"cannot write {path}: another program changed it meanwhile",
                    hint="run the same command again",
                )
            if how.in_place and before is not None:
                _overwrite(target, draft.content, original or b"", before)
            else:
                _replace(target, draft.content, like=before)


def swap(path: Path, before: bytes | None, after: bytes, how: Writing = _BY_DEFAULT) -> None:
    """
    Write *after* to *path*, which must still hold *before*: what somebody looked at and agreed to.

    None stands for no file. Raises FileAccessError where it holds something else by now, and what
    `editing` raises.
    """
    try:
        with editing(path, how) as draft:
            if draft.original != before:
                raise FileAccessError(
                    f"cannot write {path}: another program changed it meanwhile",
                    hint="run the same command again",
                )
            draft.content = after
    except MountPointError as error:
        raise MountPointError(
            error.message, hint=f"{error.hint}; or pass --in-place, which readers can notice"
        ) from error


@contextmanager
def _explained(attempt: str) -> Iterator[None]:
    """Turn what the system says into our words."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EBUSY, errno.EXDEV}:
            raise MountPointError(
                f"{attempt}: the file is a mount point of its own, and can't be replaced",
                hint="mount the folder that holds it, not the single file",
            ) from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise FileAccessError(
                f"{attempt}: {error.strerror}",
                hint="a new file is made beside it and takes its place: its folder must allow that",
            ) from error
        hint = "make the folder first" if error.errno == errno.ENOENT else None
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
def _locked(target: Path, path: Path, how: Writing) -> Iterator[None]:
    """
    Hold the lock: flock on a file beside *target*, which is gone when the lock is.

    It can't be the file itself, which is another one after every write. The system lets go of the
    lock of a process that dies.
    """
    lock = target.with_name(f"{target.name}.lock")
    with _explained(f"cannot write {path}"):
        descriptor = _acquire(lock, target, how)
    if descriptor is None:
        holder = _holder(lock)
        raise LockedError(
            f"cannot write {path}: {holder} has held {lock.name} for {how.timeout:g} seconds",
            hint="wait until it ends, or end it",
        )
    try:
        yield
    finally:
        # Removed while it is held: whoever waits for it sees that it is not the lock any more.
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path, target: Path, how: Writing) -> int | None:
    """Return a descriptor that holds the lock, or None when the time is up."""
    deadline = time.monotonic() + how.timeout
    while True:
        with ExitStack() as undo:
            descriptor = _open_lock(lock, target, how)
            undo.callback(os.close, descriptor)
            if not _flock(descriptor, deadline):
                return None
            if _is_current(descriptor, lock, target):
                undo.pop_all()
                return descriptor


def _open_lock(lock: Path, target: Path, how: Writing) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(lock, flags, _NEW_FILE_MODE)
    except OSError as error:
        # A folder that takes no file: what is written in place can lock itself.
        if how.in_place and error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
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
    """Whether the file behind *descriptor* still is the lock; if so, leave our number in it."""
    opened = os.fstat(descriptor)
    state = _state(lock)
    if state is None:
        itself = _state(target)
        return itself is not None and os.path.samestat(opened, itself)
    if not os.path.samestat(opened, state):
        return False
    # For the message to those who wait; a full disk may not take it.
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
    The file that becomes *target*: always of the same name.

    Only the holder of the lock makes it, so one that is there is the litter of a killed process.
    """
    return target.with_name(f".{target.name}.regctl-new")


def _replace(target: Path, content: bytes, like: os.stat_result | None) -> None:
    temporary = _temporary(target)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, _NEW_FILE_MODE)
    try:
        _fill(descriptor, content)
        if like is not None:
            _dress(descriptor, target, like)
            _advance(descriptor, like)
        os.fsync(descriptor)
        _read_back(descriptor, target, content)
        temporary.replace(target)
    finally:
        os.close(descriptor)
        # Still there only where something failed.
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
        raise FileAccessError(f"cannot write {target}: what was written does not read back")


def _dress(descriptor: int, target: Path, like: os.stat_result) -> None:
    """Give the new file the owner, mode and extended attributes (ACLs, labels) of the old."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except PermissionError as error:
            raise FileAccessError(
                f"cannot write {target}: it belongs to user {like.st_uid}, group {like.st_gid}, "
                "and would not any more",
                hint="run as its owner or as root",
            ) from error
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    if sys.platform == "linux" and target.exists():
        for name in os.listxattr(target):
            try:
                os.setxattr(descriptor, name, os.getxattr(target, name))
            except PermissionError:
                # The system's own labels are given by its policy, not by us.
                if not name.startswith(("security.", "trusted.")):
                    raise


def _advance(descriptor: int, before: os.stat_result) -> None:
    """
    Make the modification time later than that of the old file.

    The registry compares nothing else (distribution, registry/auth/htpasswd/access.go), and two
    writes within one tick of the kernel's clock would look alike.
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
        # Some file systems have nothing to say about a folder.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)
