"""What a fresh interpreter loads: a command loads what it uses and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"requests", "urllib3", "kubernetes", "rich", "yaml"}
PROBE = """
import sys
from regctl.cli.main import main
try:
    main(sys.argv[1:], prog_name="regctl")
finally:
    print("\\n".join(sys.modules), file=sys.stderr)
"""


def loaded(*args: str, env: dict[str, str], cwd: Path, stdin: str = "") -> set[str]:
    """Return the modules that are loaded at the end of `regctl ARGS`."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE, *args],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=cwd,
    )
    assert "regctl" in run.stderr.splitlines(), run.stderr
    assert run.returncode == 0, run.stderr
    return set(run.stderr.splitlines())


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize(
    "args", [["--version"], ["--help"], ["adduser", "--help"], ["secret", "create", "--help"]]
)
def test_help_and_version_load_nothing_heavy(
    args: list[str], plain: dict[str, str], tmp_path: Path
) -> None:
    found = loaded(*args, env=plain, cwd=tmp_path)
    assert not found & (HEAVY | {"bcrypt", "passlib", "urllib.parse"})
    libraries = {name for name in found if re.fullmatch(r"regctl\.\w+", name)}
    assert libraries <= {"regctl.cli", "regctl.errors", "regctl.wording"}


def test_only_the_command_that_runs_is_loaded(plain: dict[str, str], tmp_path: Path) -> None:
    for args, own in ((["--version"], set()), (["users", "--help"], {"users"})):
        found = loaded(*args, env=plain, cwd=tmp_path)
        prefix = "regctl.cli.commands."
        assert {name.removeprefix(prefix) for name in found if prefix in name} == own


def test_completion_loads_nothing_heavy(plain: dict[str, str], tmp_path: Path) -> None:
    env = plain | {"_REGCTL_LINE": "regctl add"}
    found = loaded(env=env, cwd=tmp_path)
    assert not found & (HEAVY | {"bcrypt", "passlib"})


def test_the_auth_file_commands_load_bcrypt_only(plain: dict[str, str], tmp_path: Path) -> None:
    for args in (
        ["adduser", "alice", "--password-stdin"],
        ["users"],
        ["verify", "alice", "--password-stdin"],
        ["auth", "lock", "alice"],
        ["deluser", "alice", "--yes"],
    ):
        found = loaded(*args, env=plain, cwd=tmp_path, stdin="correct horse")
        assert not found & (HEAVY | {"passlib"}), args
