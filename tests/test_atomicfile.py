"""Replacing a file: what stays, what grows, who waits, and what the system may refuse."""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regctl import atomicfile
from regctl.atomicfile import Writing, editing
from regctl.errors import FileAccessError, LockedError, MountPointError

OLD = b"old\n"
NEW = b"new and longer\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "auth"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def write(path: Path, content: bytes = NEW, how: Writing = Writing()) -> None:  # noqa: B008 - frozen
    with editing(path, how) as draft:
        draft.content = content


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def only(path: Path) -> bool:
    return names(path.parent) == {path.name}


def test_new_content_takes_the_place_of_the_old(file: Path) -> None:
    before = file.stat().st_ino
    write(file)
    assert file.read_bytes() == NEW
    assert file.stat().st_ino != before
    assert only(file)


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write(tmp_path / "auth")
    assert stat.S_IMODE((tmp_path / "auth").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_the_mode_stays(file: Path, mode: int) -> None:
    file.chmod(mode)
    write(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(file: Path) -> None:
    os.chown(file, 12345, 23456)
    write(file)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 23456)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_would_change_its_owner_is_left_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(file, 12345, 23456)
    monkeypatch.setattr(os, "fchown", refuse(errno.EPERM))
    with pytest.raises(FileAccessError, match="it belongs to user 12345"):
        write(file)
    assert file.read_bytes() == OLD
    assert only(file)


if sys.platform == "linux":

    def test_extended_attributes_stay(file: Path) -> None:
        try:
            os.setxattr(file, "user.origin", b"backup")
        except OSError:
            pytest.skip("no extended attributes on this file system")
        write(file)
        assert os.getxattr(file, "user.origin") == b"backup"


def test_a_symlink_stays_and_its_target_is_written(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(Path("folder") / "auth")
    write(link)
    assert link.is_symlink()
    assert file.read_bytes() == NEW
    assert only(file)


def test_a_symlink_to_nothing_makes_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "auth")
    write(link)
    assert (tmp_path / "auth").read_bytes() == NEW


def test_the_modification_time_grows_however_fast_one_writes(file: Path) -> None:
    seen = [file.stat().st_mtime_ns]
    for number in range(200):
        write(file, b"%d\n" % number)
        seen.append(file.stat().st_mtime_ns)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("in_place", [False, True])
def test_the_modification_time_grows_even_from_the_future(file: Path, *, in_place: bool) -> None:
    future = 4_000_000_000_000_000_000
    os.utime(file, ns=(future, future))
    write(file, how=Writing(in_place=in_place))
    assert file.stat().st_mtime_ns > future


def test_a_file_that_does_not_change_is_not_touched(file: Path) -> None:
    before = file.stat()
    write(file, OLD)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file.stat().st_ino == before.st_ino


def test_nothing_is_made_where_there_is_nothing_to_write(tmp_path: Path) -> None:
    with editing(tmp_path / "auth") as draft:
        assert draft.original is None
    assert names(tmp_path) == {"home"}


def test_an_error_in_the_block_leaves_the_old_file(file: Path) -> None:
    def fail() -> None:
        with editing(file) as draft:
            draft.content = NEW
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert file.read_bytes() == OLD
    assert only(file)


def test_one_backup_of_the_same_mode_is_kept(file: Path) -> None:
    file.chmod(0o640)
    write(file, how=Writing(backup=True))
    write(file, b"newer\n", how=Writing(backup=True))
    backup = file.with_name("auth.bak")
    assert backup.read_bytes() == NEW
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640
    assert names(file.parent) == {"auth", "auth.bak"}


def test_writing_in_place_keeps_the_inode_and_shortens_the_file(file: Path) -> None:
    before = file.stat().st_ino
    write(file, NEW, Writing(in_place=True))
    write(file, b"x", Writing(in_place=True))
    assert file.read_bytes() == b"x"
    assert file.stat().st_ino == before
    assert only(file)


def test_litter_of_a_killed_process_is_gone_after_the_next_run(file: Path) -> None:
    file.with_name(".auth.regctl-new").write_bytes(b"half")
    file.with_name("auth.lock").write_bytes(b"99999999\n")
    write(file, OLD)
    assert only(file)


# Waiting


@contextmanager
def lock_held(file: Path) -> Iterator[None]:
    lock = file.with_name("auth.lock")
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(b"4711\n")
        held.flush()
        yield
        lock.unlink()


def test_a_lock_held_too_long_says_by_whom(file: Path) -> None:
    with (
        lock_held(file),
        pytest.raises(LockedError, match=r"process 4711 has held auth\.lock for 0 seconds"),
    ):
        write(file, how=Writing(timeout=0))
    assert file.read_bytes() == OLD
    write(file)
    assert file.read_bytes() == NEW


def test_whoever_waited_for_a_lock_that_was_removed_takes_the_new_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our open and our flock the holder may remove the lock: it locks nothing any more."""
    lock = file.with_name("auth.lock")
    flock, opened = fcntl.flock, list[int]()

    def late(descriptor: int, operation: int) -> None:
        if not opened:
            lock.unlink()
            lock.write_bytes(b"")
        opened.append(os.fstat(descriptor).st_ino)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write(file)
    assert len(opened) == 2
    assert file.read_bytes() == NEW
    assert only(file)


def test_a_program_that_knows_no_lock_is_noticed(file: Path) -> None:
    def interrupted() -> None:
        with editing(file) as draft:
            file.write_bytes(b"written by htpasswd\n")
            draft.content = NEW

    with pytest.raises(FileAccessError, match="another program changed it meanwhile"):
        interrupted()
    assert file.read_bytes() == b"written by htpasswd\n"


# Refusals


def refuse(code: int) -> Callable[..., None]:
    def call(*_args: object, **_kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV])
def test_a_mounted_file_is_explained(
    file: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(Path, "replace", refuse(code))
    with pytest.raises(MountPointError, match="mount point of its own") as caught:
        write(file)
    assert caught.value.hint is not None
    assert "mount the folder" in caught.value.hint
    assert file.read_bytes() == OLD
    assert only(file)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("call", ["fsync", "pwrite"])
def test_a_disk_that_fails_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, *, in_place: bool
) -> None:
    real: Callable[..., int | None] = getattr(os, call)
    left = [1]

    def fail_once(descriptor: int, *args: object) -> int | None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if not name.endswith(".lock") and left:
            left.pop()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, *args)

    monkeypatch.setattr(os, call, fail_once)
    with pytest.raises(FileAccessError, match="No space left on device"):
        write(file, how=Writing(in_place=in_place))
    assert file.read_bytes() == OLD
    assert only(file)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir()
    with pytest.raises(FileAccessError, match="it is a directory"):
        write(tmp_path / "auth")
    with pytest.raises(FileAccessError, match="Is a directory"):
        atomicfile.read(tmp_path / "auth")


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "auth")
    with pytest.raises(FileAccessError, match="not a regular file"):
        write(tmp_path / "auth")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="no/auth: No such file or directory") as caught:
        write(tmp_path / "no" / "auth")
    assert caught.value.hint == "make the folder first"


def test_nothing_of_the_content_shows(file: Path) -> None:
    with editing(file) as draft:
        assert "old" not in repr(draft)
