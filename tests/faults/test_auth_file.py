"""The auth file with killed writers, many writers, full disks and mounts."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from regctl.authfile import hashes
from regctl.authfile.edit import AddOptions, add_user, editing
from regctl.authfile.htpasswd import HtpasswdFile
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry

HASH = hashes.make("secret", cost=4)

MOMENTS = 500
WRITERS = 20
REWRITES = 1_000
LOGINS = 4


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """The next writer removes what the killed one left."""
    folder = tmp_path / "folder"
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, Path(__file__).parent / "killed_writer.py", folder / "auth", str(MOMENTS)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout)
    assert found["instructions"] > MOMENTS
    assert found["killed"] == MOMENTS
    assert found["old"] + found["new"] == MOMENTS
    assert found["old"] > 0
    assert found["new"] > 0
    assert found["clean"] == MOMENTS


def regctl(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "regctl", *map(str, args)]


def at_once(commands: Sequence[tuple[list[str], str]]) -> list[tuple[int, str]]:
    """Start every command with its standard input; return the exit codes and stderr of all."""
    running = []
    for command, stdin in commands:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        running.append(process)
    ends = []
    for process in running:
        _, stderr = process.communicate()
        ends.append((process.returncode, stderr))
    return ends


@pytest.mark.slow
def test_many_writers_of_every_kind_lose_nothing(tmp_path: Path) -> None:
    """Two adduser, a deluser and an auth write of two users, each WRITERS times and at once."""
    file = tmp_path / "auth"
    file.write_text("".join(f"old{n}:{HASH}\n" for n in range(WRITERS)) + "# stays\n")
    commands = []
    for n in range(WRITERS):
        quick = ["--cost", "4", "-f", str(file)]
        commands += [
            (regctl("adduser", f"a{n}", "--generate", *quick), ""),
            (regctl("adduser", f"b{n}", "--password-stdin", *quick), "secret"),
            (regctl("deluser", f"old{n}", "--yes", "-f", file), ""),
            (regctl("auth", "write", *quick), f"c{n}:secret\nd{n}:secret\n"),
        ]
    ends = at_once(commands)
    assert {code for code, _ in ends} == {0}, ends
    users = {user.name for user in HtpasswdFile.read(file).users()}
    assert users == {f"{kind}{n}" for kind in "abcd" for n in range(WRITERS)}
    assert "# stays\n" in file.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"home", "auth"}


# While a registry reads it


@pytest.mark.slow
def test_no_login_fails_while_the_file_is_rewritten(serve: Servers, tmp_path: Path) -> None:
    file = tmp_path / "auth"
    add_user(file, "steady", "secret", AddOptions(cost=4))
    server = serve(docker_registry(tmp_path / "registry", auth_file=file))
    done = threading.Event()
    answers: list[bool] = []

    def log_in() -> None:
        while not done.is_set():
            answers.append(server.allows("steady", "secret"))

    threads = [threading.Thread(target=log_in) for _ in range(LOGINS)]
    for thread in threads:
        thread.start()
    try:
        for number in range(REWRITES):
            with editing(file) as draft:
                draft.set("changing", f"{number}")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(answers) > REWRITES / 10
    assert all(answers)
    add_user(file, "last", "secret", AddOptions(cost=4))
    assert server.allows("last", "secret")


# Disks and mounts


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount something; skip the test if that is not permitted."""
    if not folder.exists():
        folder.mkdir()
    run = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, check=False)
    if run.returncode:
        pytest.skip(f"cannot mount: {run.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ended(*args: str | Path, stdin: str = "secret") -> tuple[int, str]:
    run = subprocess.run(regctl(*args), input=stdin, capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr
    return run.returncode, run.stderr


@pytest.mark.parametrize("in_place", [[], ["--in-place"]])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, in_place: list[str]) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=128k", "tmpfs") as disk:
        file = disk / "auth"
        content = f"alice:{HASH}\n" + "# a long comment\n" * 1_900
        file.write_text(content)
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            fill(ballast.fileno())
        options = ["--password-stdin", "--cost", "4", "-f", str(file), *in_place]
        # In place there is room until the last block of the file is full.
        code, stderr = 0, ""
        for number in range(20):
            code, stderr = ended("adduser", f"{number}" + "b" * 200, *options)
            if code:
                break
        assert code == 1
        assert f"error: cannot write {file}: No space left on device" in stderr
        assert file.read_text().startswith(content)
        assert not HtpasswdFile.read(file).malformed()
        assert names(disk) == {"auth", "ballast"}
        (disk / "ballast").unlink()
        assert ended("adduser", "bob", *options)[0] == 0
        assert names(disk) == {"auth"}


def fill(descriptor: int) -> None:
    for size in (4096, 1):
        while True:
            try:
                os.write(descriptor, b"x" * size)
            except OSError:
                break


def test_a_read_only_disk_keeps_the_file_and_is_named(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "tmpfs") as disk:
        file = disk / "auth"
        file.write_text(f"alice:{HASH}\n")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, stderr = ended("adduser", "bob", "--password-stdin", "-f", file)
        assert code == 1
        assert f"error: cannot write {file}: Read-only file system" in stderr
        assert names(disk) == {"auth"}
        assert ended("verify", "alice", "--password-stdin", "-f", file) == (0, "")


def test_a_file_that_is_a_mount_point_is_written_with_in_place_only(
    tmp_path: Path,
) -> None:
    (tmp_path / "source").write_text(f"alice:{HASH}\n")
    file = tmp_path / "auth"
    file.touch()
    with mounted(file, "--bind", str(tmp_path / "source")):
        add = ["adduser", "bob", "--password-stdin", "--cost", "4", "-f", str(file)]
        code, stderr = ended(*add)
        assert code == 1
        assert "the file itself is a mount point" in stderr
        assert (
            "hint: mount the folder that contains it, not the single file, or pass --in-place"
            in stderr
        )
        assert names(tmp_path) == {"home", "source", "auth"}
        assert ended(*add, "--in-place")[0] == 0
    assert [user.name for user in HtpasswdFile.read(tmp_path / "source").users()] == [
        "alice", "bob",
    ]  # fmt: skip


def test_a_file_in_a_read_only_folder_is_written_with_in_place_only(tmp_path: Path) -> None:
    """As in a container: the root is read-only, and one file is mounted from a volume."""
    (tmp_path / "volume").write_text(f"alice:{HASH}\n")
    with mounted(tmp_path / "root", "-t", "tmpfs", "tmpfs") as root:
        file = root / "auth"
        file.touch()
        with mounted(file, "--bind", str(tmp_path / "volume")):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(root)], check=True)
            add = ["adduser", "bob", "--password-stdin", "--cost", "4", "-f", str(file)]
            code, stderr = ended(*add)
            assert code == 1
            assert f"error: cannot write {file}: Read-only file system" in stderr
            assert ended(*add, "--in-place") == (0, "")
        assert names(root) == {"auth"}
    listed = HtpasswdFile.read(tmp_path / "volume").users()
    assert [user.name for user in listed] == ["alice", "bob"]


def test_the_lock_of_a_dead_process_blocks_nobody(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    script = """
import sys
from pathlib import Path
from regctl.authfile.edit import editing
with editing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", script, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = tmp_path / ".auth.regctl-lock"
        assert lock.read_text() == f"{holder.pid}\n"
        with lock.open("rb") as contender, pytest.raises(BlockingIOError):
            fcntl.flock(contender, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.kill()
    assert lock.exists()
    assert ended("adduser", "bob", "--password-stdin", "--cost", "4", "-f", file)[0] == 0
    assert names(tmp_path) == {"home", "auth"}
