"""Replacing a file: what stays, what changes, who waits, and what the system may deny."""

import errno
import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from regctl import atomicfile, filelock
from regctl.atomicfile import WriteOptions, editing
from regctl.errors import FileAccessError, LockedError, MountPointError

OLD = b"old\n"
NEW = b"new and longer\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "auth"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def write(path: Path, content: bytes = NEW, options: WriteOptions = WriteOptions()) -> None:  # noqa: B008 - frozen
    with editing(path, options) as draft:
        draft.content = content


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def only(path: Path) -> bool:
    return names(path.parent) == {path.name}


def test_new_content_replaces_the_old(file: Path) -> None:
    before = file.stat().st_ino
    write(file)
    assert file.read_bytes() == NEW
    assert file.stat().st_ino != before
    assert only(file)


def test_a_new_file_has_mode_0600(tmp_path: Path) -> None:
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
def test_a_file_that_would_change_its_owner_is_not_written(
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


def test_writing_a_dangling_symlink_creates_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "auth")
    write(link)
    assert (tmp_path / "auth").read_bytes() == NEW


def test_the_modification_time_grows_with_every_fast_write(file: Path) -> None:
    seen = [file.stat().st_mtime_ns]
    for number in range(200):
        write(file, b"%d\n" % number)
        seen.append(file.stat().st_mtime_ns)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("in_place", [False, True])
def test_the_modification_time_grows_even_from_the_future(file: Path, *, in_place: bool) -> None:
    future = 4_000_000_000_000_000_000
    os.utime(file, ns=(future, future))
    write(file, options=WriteOptions(in_place=in_place))
    assert file.stat().st_mtime_ns > future


def test_a_file_that_does_not_change_is_not_written(file: Path) -> None:
    before = file.stat()
    write(file, OLD)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file.stat().st_ino == before.st_ino


def test_no_file_is_created_without_content(tmp_path: Path) -> None:
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
    write(file, options=WriteOptions(backup=True))
    write(file, b"newer\n", options=WriteOptions(backup=True))
    backup = file.with_name("auth.bak")
    assert backup.read_bytes() == NEW
    assert stat.S_IMODE(backup.stat().st_mode) == 0o640
    assert names(file.parent) == {"auth", "auth.bak"}


def test_writing_in_place_keeps_the_inode_and_shortens_the_file(file: Path) -> None:
    before = file.stat().st_ino
    write(file, NEW, WriteOptions(in_place=True))
    write(file, b"x", WriteOptions(in_place=True))
    assert file.read_bytes() == b"x"
    assert file.stat().st_ino == before
    assert only(file)


def test_the_next_run_removes_the_files_of_a_killed_process(file: Path) -> None:
    file.with_name(".auth.regctl-new").write_bytes(b"half")
    file.with_name(".auth.regctl-lock").write_bytes(b"99999999\n")
    write(file, OLD)
    assert only(file)


@pytest.mark.parametrize("stale", [Path.mkdir, Path.touch])
def test_what_a_killed_process_left_never_blocks_a_write(
    file: Path, stale: Callable[[Path], None]
) -> None:
    left = {file.with_name(name) for name in (".auth.regctl-new", ".auth.bak.regctl-new")}
    for path in left:
        stale(path)
    write(file, options=WriteOptions(backup=True))
    assert file.read_bytes() == NEW
    assert file.with_name("auth.bak").read_bytes() == OLD
    assert {path for path in file.parent.iterdir() if not path.is_dir()} == {
        file,
        file.with_name("auth.bak"),
    }


# Waiting


@contextmanager
def lock_held(file: Path) -> Iterator[None]:
    lock = file.with_name(".auth.regctl-lock")
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(b"4711\n")
        held.flush()
        yield
        lock.unlink()


def test_an_error_names_the_process_that_holds_the_lock(file: Path) -> None:
    with (
        lock_held(file),
        pytest.raises(
            LockedError, match=r"process 4711 has held \.auth\.regctl-lock for 0 seconds"
        ),
    ):
        write(file, options=WriteOptions(timeout=0))
    assert file.read_bytes() == OLD
    write(file)
    assert file.read_bytes() == NEW


def links(folder: Path) -> dict[str, Callable[[Path], None]]:
    precious = folder / "precious"
    return {
        "a hard link": lambda lock: lock.hardlink_to(precious),
        "a symlink": lambda lock: lock.symlink_to(precious),
        "a file of somebody": lambda lock: lock.write_bytes(precious.read_bytes()),
        "a folder": lambda lock: lock.mkdir(),
        "a FIFO": os.mkfifo,
    }


@pytest.mark.parametrize("kind", links(Path()))
def test_nothing_with_the_lock_s_name_is_touched_unless_it_is_a_lock(
    file: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "precious").write_bytes(b"precious\n")
    lock = file.with_name(".auth.regctl-lock")
    links(tmp_path)[kind](lock)
    before = lock.lstat()
    same = ("st_ino", "st_size", "st_mtime_ns", "st_mode")
    with pytest.raises(FileAccessError, match=r"\.auth\.regctl-lock .* is not a lock") as caught:
        write(file)
    assert caught.value.hint == f"rename {lock}"
    assert all(getattr(lock.lstat(), name) == getattr(before, name) for name in same)
    assert (tmp_path / "precious").read_bytes() == b"precious\n"
    assert file.read_bytes() == OLD


def test_a_file_named_lock_of_another_program_is_left_alone(file: Path) -> None:
    other = file.with_name("auth.lock")
    other.write_bytes(b"not ours\n")
    write(file)
    assert file.read_bytes() == NEW
    assert other.read_bytes() == b"not ours\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("mode", [0o2770, 0o1777, 0o755])
def test_whoever_may_write_to_the_folder_may_lock_and_nobody_else(file: Path, mode: int) -> None:
    os.chown(file.parent, 12345, 23456)
    file.parent.chmod(mode)
    with editing(file):
        lock = file.with_name(".auth.regctl-lock").stat()
    wanted = {0o2770: 0o660, 0o1777: 0o666, 0o755: 0o600}
    assert stat.S_IMODE(lock.st_mode) == wanted[mode]
    assert (lock.st_uid, lock.st_gid) == (12345, 23456)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("owner", "mode"), [(65534, 0o700), (0, 0o2770), (0, 0o1777)])
def test_a_lock_that_a_killed_process_of_another_user_left_blocks_nobody(
    owner: int, mode: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, owner, 65534)
        folder.chmod(mode)
        left = filelock._create(folder / ".auth.regctl-lock", None)
        assert left is not None
        os.close(left)
        os.setegid(65534)
        os.seteuid(65534)
        try:
            write(folder / "auth", options=WriteOptions(timeout=0))
        finally:
            os.seteuid(0)
            os.setegid(0)
        assert (folder / "auth").read_bytes() == NEW


def test_a_lock_that_another_user_holds_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file can be opened by nobody else; it is removed with the lock."""
    lock = file.with_name(".auth.regctl-lock")
    lock.touch()
    opened, denied = os.open, list[str]()

    def deny(path: Path, flags: int, mode: int = 0o777) -> int:
        if path == lock and lock.exists():
            denied.append(lock.name)
            if len(denied) == 3:
                lock.unlink()
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(LockedError, match="another process has held"):
        write(file, options=WriteOptions(timeout=0))
    write(file)
    assert len(denied) == 3
    assert file.read_bytes() == NEW


def test_a_process_that_waited_for_a_removed_lock_takes_the_new_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our open and our flock the holder may remove the lock, which then locks nothing."""
    lock = file.with_name(".auth.regctl-lock")
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


def test_a_change_by_a_program_without_the_lock_is_detected(file: Path) -> None:
    def interrupted() -> None:
        with editing(file) as draft:
            file.write_bytes(b"written by htpasswd\n")
            draft.content = NEW

    with pytest.raises(FileAccessError, match="another program changed it in the meantime"):
        interrupted()
    assert file.read_bytes() == b"written by htpasswd\n"


def save_anew(file: Path) -> None:
    file.with_name("saved").write_bytes(b"saved\n")
    file.with_name("saved").replace(file)


def save_with_the_same_size_and_time(file: Path) -> None:
    before = file.stat()
    file.write_bytes(OLD.swapcase())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("save", [save_anew, save_with_the_same_size_and_time])
@pytest.mark.parametrize("backup", [False, True])
def test_an_editor_that_saves_during_our_fsync_is_not_overwritten(
    file: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Path], None], *, backup: bool
) -> None:
    fsync, saved = os.fsync, list[bytes]()

    def late(descriptor: int) -> None:
        fsync(descriptor)
        if not saved:
            save(file)
            saved.append(file.read_bytes())

    monkeypatch.setattr(os, "fsync", late)
    with pytest.raises(FileAccessError, match="another program changed it in the meantime"):
        write(file, options=WriteOptions(backup=backup))
    assert [file.read_bytes()] == saved
    assert only(file)


# Refusals


def refuse(code: int) -> Callable[..., None]:
    def call(*_args: object, **_kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV])
def test_an_error_says_that_the_file_is_a_mount_point(
    file: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(Path, "replace", refuse(code))
    with pytest.raises(MountPointError, match="itself is a mount point") as caught:
        write(file)
    assert caught.value.hint is not None
    assert "mount the folder" in caught.value.hint
    assert file.read_bytes() == OLD
    assert only(file)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("call", ["fsync", "pwrite"])
def test_a_disk_failure_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, *, in_place: bool
) -> None:
    real: Callable[..., int | None] = getattr(os, call)
    left = [1]

    def fail_once(descriptor: int, *args: object) -> int | None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if not name.endswith("-lock") and left:
            left.pop()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, *args)

    monkeypatch.setattr(os, call, fail_once)
    with pytest.raises(FileAccessError, match="No space left on device"):
        write(file, options=WriteOptions(in_place=in_place))
    assert file.read_bytes() == OLD
    assert only(file)


def test_a_directory_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir()
    with pytest.raises(FileAccessError, match="it is a directory"):
        write(tmp_path / "auth")
    with pytest.raises(FileAccessError, match="it is a directory"):
        atomicfile.read(tmp_path / "auth")


@pytest.mark.parametrize("name", ["fifo", "/dev/zero"])
def test_what_is_not_a_regular_file_is_neither_read_nor_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    with pytest.raises(FileAccessError, match="not a regular file"):
        write(path)
    with pytest.raises(FileAccessError, match="not a regular file"):
        atomicfile.read(path)


def test_a_giant_is_refused(file: Path) -> None:
    os.truncate(file, 2**40)
    with pytest.raises(FileAccessError, match="it has more than 16 MiB"):
        atomicfile.read(file)
    with pytest.raises(FileAccessError, match="it has more than 16 MiB"):
        atomicfile.read_input(file, "it")
    with pytest.raises(FileAccessError, match="it has more than 16 MiB"):
        write(file)


def test_input_is_read_from_a_pipe_up_to_its_limit(tmp_path: Path) -> None:
    for size in (2**22, 2**22 + 1):
        os.mkfifo(tmp_path / str(size))
        with ThreadPoolExecutor() as writer:
            writer.submit((tmp_path / str(size)).write_bytes, b"x" * size)
            if size == 2**22:
                assert len(atomicfile.read_input(tmp_path / str(size), "it")) == size
            else:
                with pytest.raises(FileAccessError, match="it has more than 4 MiB"):
                    atomicfile.read_input(tmp_path / str(size), "it")


def test_an_error_names_the_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="no/auth: No such file or directory") as caught:
        write(tmp_path / "no" / "auth")
    assert caught.value.hint == "create the folder first"


def test_a_repr_shows_none_of_the_content(file: Path) -> None:
    with editing(file) as draft:
        assert "old" not in repr(draft)
