"""`regctl auth lock` and `auth unlock`: output, streams and exit codes."""

from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import Result

from regctl.authfile import hashes
from regctl.cli.app import App
from tests import cli

HASH = hashes.make("secret", cost=4)


@pytest.fixture(autouse=True)
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The auth file in the folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "auth"


def run(*args: str, stdin: str = "", today: str = "2026-01-01") -> Result:
    moment = datetime.fromisoformat(today).replace(tzinfo=timezone.utc)
    return cli.run(*args, stdin=stdin, app=App(clock=lambda: moment))


def test_users_are_locked_and_unlocked(auth: Path) -> None:
    auth.write_text(f"alice:{HASH}\nbob:{HASH}\n")
    assert run("auth", "lock", "alice", "--dry-run").stdout == (
        "user/alice configured (locked) (dry run)\n"
    )
    assert run("auth", "lock", "alice").stdout == "user/alice configured (locked)\n"
    assert run("auth", "lock", "alice").stdout == "user/alice unchanged (locked)\n"
    assert "alice\tbcrypt\t4\tlocked\t" in run("users").stdout
    assert run("verify", "alice", "--password-stdin", stdin="secret").exit_code == 1
    assert run("auth", "unlock", "alice", "--backup").stdout == "user/alice configured (active)\n"
    assert "#regctl:locked alice" in Path("auth.bak").read_text()
    assert run("verify", "alice", "--password-stdin", stdin="secret").exit_code == 0


def test_an_unknown_user_locks_nobody(auth: Path) -> None:
    auth.write_text(f"bob:{HASH}\n")
    result = run("auth", "lock", "bob", "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: no user nobody" in result.stderr
    assert auth.read_text() == f"bob:{HASH}\n"


def test_the_expired_users_are_locked(auth: Path) -> None:
    auth.write_text(f"#regctl:expires guest:2026-01-31\nguest:{HASH}\nalice:{HASH}\n")
    assert run("auth", "lock", "--expired", today="2026-01-30").stdout == ""
    locked = "user/guest configured (locked, expired)"
    dry_run = run("auth", "lock", "--expired", "--dry-run", today="2026-01-31")
    assert dry_run.stdout == f"{locked} (dry run)\n"
    assert run("auth", "lock", "--expired", today="2026-01-31").stdout == f"{locked}\n"
    assert run("auth", "lock", "--expired", today="2026-01-31").stdout == ""
    unlocked = run("auth", "unlock", "guest", today="2026-01-31")
    assert "guest expired on 2026-01-31 and is still treated as locked" in unlocked.stderr


@pytest.mark.parametrize("args", [[], ["alice", "--expired"]])
def test_lock_needs_either_names_or_expired(args: list[str]) -> None:
    result = run("auth", "lock", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: name the users to lock, or pass --expired" in result.stderr
