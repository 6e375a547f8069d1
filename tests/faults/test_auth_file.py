"""The auth file under fire: killed writers, many writers, full disks."""

import json
import subprocess
import sys
from pathlib import Path

from regctl.htpasswd import HtpasswdFile

MOMENTS = 500
WRITERS = 50


def test_a_writer_killed_at_any_moment_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """And nothing else once the next one has run."""
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


def test_fifty_writers_at_once_leave_fifty_users(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "regctl", "adduser", f"user{number}", "--generate", "-f", file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    users = HtpasswdFile.read(file).users()
    assert {user.name for user in users} == {f"user{number}" for number in range(WRITERS)}
