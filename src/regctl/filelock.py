"""The lock that writers of a file wait for: flock on a small file next to it."""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from regctl.errors import FileAccessError, LockedError

DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}
"""What the system answers where something must not be written."""

_POLL_SECONDS = 0.01
_MODE = 0o600
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CONTENT = re.compile(rb"(\d*)\n?")


@contextmanager
def locked(target: Path, timeout: float, attempt: str, *, itself: bool = False) -> Iterator[None]:
    """
    Hold the lock of *target*: `.NAME.regctl-lock` in its folder, which is removed with the lock.

    The file itself cannot be the lock, because every write replaces it. If *itself*, and its folder
    is read-only, it is the lock all the same. The system releases the lock of a process that dies.
    Raises LockedError after *timeout* seconds, FileAccessError if another file has the lock's name,
    and OSError. *attempt* starts the messages.
    """
    lock = target.with_name(f".{target.name}.regctl-lock")
    descriptor = _acquire(lock, timeout, attempt, target if itself else None)
    try:
        yield
    finally:
        # Removed while it is held: a process that waits for it sees that it is no longer the lock.
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), lock.lstat()):
                lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path, timeout: float, attempt: str, target: Path | None) -> int:
    deadline = time.monotonic() + timeout
    while True:
        holder = "another process"
        descriptor = _open(lock, attempt, target)
        if descriptor is not None:
            try:
                if _flock(descriptor) and _is_current(descriptor, lock, target):
                    held, descriptor = descriptor, None
                    return held
                if number := _number(descriptor):
                    holder = f"process {number.decode()}"
            finally:
                if descriptor is not None:
                    os.close(descriptor)
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{attempt}: {holder} has held {lock.name} for {timeout:g} seconds",
                hint="wait until that process ends, or stop it",
            )
        time.sleep(_POLL_SECONDS)


def _open(lock: Path, attempt: str, target: Path | None) -> int | None:
    """Return a descriptor to lock, or None if another user's process has the lock file."""
    try:
        # Without O_CREAT, which Linux denies in a folder of several users (fs.protected_regular).
        descriptor = os.open(lock, _FLAGS)
    except PermissionError:
        with suppress(FileNotFoundError):
            lock.lstat()  # raises if it is the folder that cannot be searched
        return None
    except FileNotFoundError:
        return _create(lock, target)
    except OSError as error:
        # A symlink, a folder, a socket.
        if error.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise
    else:
        if _number(descriptor) is not None:
            return descriptor
        os.close(descriptor)
    raise FileAccessError(
        f"{attempt}: {lock.name} in its folder is not a lock of regctl", hint=f"rename {lock}"
    )


def _create(lock: Path, target: Path | None) -> int | None:
    """Create the lock file, which everybody who may write to its folder may lock."""
    try:
        descriptor = os.open(lock, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return None
    except OSError as error:
        if target is not None and error.errno in DENIED:
            return os.open(target, os.O_RDWR | os.O_CLOEXEC)
        raise
    with suppress(OSError):
        folder = lock.parent.stat()
        try:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        except PermissionError:
            os.fchown(descriptor, -1, folder.st_gid)
        writers = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        os.fchmod(descriptor, _MODE | writers | writers << 1)
    return descriptor


def _number(descriptor: int) -> bytes | None:
    """Return the process id in a lock file, which may be empty; None if it is no lock file."""
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        return None
    found = _CONTENT.fullmatch(os.pread(descriptor, 32, 0))
    return found[1] if found else None


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(descriptor: int, lock: Path, target: Path | None) -> bool:
    """Whether the file behind *descriptor* is still the lock; if so, write our process id to it."""
    opened = os.fstat(descriptor)
    try:
        if not os.path.samestat(opened, lock.lstat()):
            return False
    except FileNotFoundError:
        return target is not None and os.path.samestat(opened, target.stat())
    # For the message of processes that wait; it fails on a full disk.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return True
