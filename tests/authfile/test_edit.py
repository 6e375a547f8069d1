"""Changes of the auth file on disk: what becomes of each user, and what is written."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes
from regctl.authfile.edit import (
    AddOptions,
    add_user,
    lock_due,
    lock_users,
    remove_users,
    unlock_users,
)
from regctl.authfile.expiry import Expiry
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.errors import (
    FileAccessError,
    InvalidInputError,
    InvalidPasswordError,
    InvalidUserError,
    LockedUserError,
    MalformedError,
    UnknownUserError,
    UserExistsError,
)
from regctl.outcome import Outcome
from tests.authfile.files import APR1, HASH, OTHER

QUICK = AddOptions(cost=4)
DRY_RUN = WriteOptions(dry_run=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth"


def add(path: Path, name: str, password: str, options: AddOptions = QUICK) -> str:
    return add_user(path, name, password, options).result


def results(outcomes: list[Outcome]) -> list[str]:
    return [outcome.result for outcome in outcomes]


def test_a_user_is_created_configured_and_then_unchanged(path: Path) -> None:
    assert add(path, "alice", "one") == "created"
    assert add(path, "alice", "two") == "configured"
    before = path.stat()
    assert add(path, "alice", "two") == "unchanged"
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    HtpasswdFile.read(path).verify("alice", "two")


def test_a_weaker_hash_of_the_same_password_is_replaced(path: Path) -> None:
    path.write_text(f"alice:{APR1}\n")
    assert add(path, "alice", "secret", AddOptions()) == "configured"
    assert HtpasswdFile.read(path).users()[0].scheme == ("bcrypt", "2y", 10)
    assert add(path, "alice", "secret", AddOptions()) == "unchanged"


def test_a_file_of_adduser_sh_is_read_and_its_duplicates_are_removed(path: Path) -> None:
    path.write_text(f"# keep\nbob:{APR1}\nalice:{APR1}\nbob:{OTHER}")
    assert add(path, "bob", "secret") == "configured"
    lines = path.read_text().splitlines()
    assert [line[:6] for line in lines] == ["# keep", "bob:$2", "alice:"]
    HtpasswdFile.read(path).verify("bob", "secret")


def test_identical_lines_of_a_user_become_one(path: Path) -> None:
    path.write_text(f"bob:{HASH}\nbob:{HASH}\n")
    assert add(path, "bob", "secret") == "configured"
    assert path.read_text() == f"bob:{HASH}\n"


def test_a_locked_user_gets_its_password_and_stays_locked(path: Path) -> None:
    path.write_text(f"#regctl:locked bob:{OTHER}\n")
    outcome = add_user(path, "bob", "secret", QUICK)
    assert (outcome.result, outcome.note) == (
        "configured",
        "locked; `regctl auth unlock bob` unlocks it",
    )
    with pytest.raises(LockedUserError):
        HtpasswdFile.read(path).verify("bob", "secret")


def test_without_update_an_existing_user_is_an_error(path: Path) -> None:
    add(path, "alice", "one")
    before = path.read_bytes()
    with pytest.raises(UserExistsError, match="user alice is already in "):
        add_user(path, "alice", "two", AddOptions(cost=4, update=False))
    assert path.read_bytes() == before


def test_a_malformed_line_is_named_and_nothing_is_written(path: Path) -> None:
    content = "a:1\n" + "oops\n" * 7
    path.write_text(content)
    with pytest.raises(MalformedError, match=r"line 2, 3, 4, 5, 6 and 2 more; nothing was written"):
        add_user(path, "alice", "secret", QUICK)
    with pytest.raises(MalformedError, match="in line 2"):
        remove_users(path, ["a"])
    assert path.read_text() == content


@pytest.mark.parametrize("password", ["", "x" * 73, "a\0b"])
def test_an_invalid_password_changes_nothing(path: Path, password: str) -> None:
    with pytest.raises(InvalidPasswordError):
        add_user(path, "alice", password)
    assert not path.exists()


def test_an_invalid_name_or_cost_changes_nothing(path: Path) -> None:
    with pytest.raises(InvalidUserError):
        add_user(path, "a:b", "secret")
    with pytest.raises(InvalidInputError, match="the cost of bcrypt is 4 to 17"):
        add_user(path, "alice", "secret", AddOptions(cost=3))
    assert not path.exists()


def test_a_dry_run_returns_the_same_outcomes_and_writes_nothing(path: Path) -> None:
    assert add_user(path, "alice", "secret", QUICK, DRY_RUN).result == "created"
    assert not path.exists()
    add(path, "alice", "secret")
    before = path.read_bytes()
    assert add_user(path, "alice", "other", QUICK, DRY_RUN).result == "configured"
    assert results(remove_users(path, ["alice"], DRY_RUN)) == ["deleted"]
    assert path.read_bytes() == before


def test_a_password_that_somebody_else_sets_during_hashing_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing is done before the lock is taken; what was decided then may be outdated."""
    add(path, "alice", "one")
    real = hashes.reuse_or_hash

    def set_another(*args: Any) -> str:
        monkeypatch.setattr(hashes, "reuse_or_hash", real)
        add(path, "alice", "two")
        return real(*args)

    monkeypatch.setattr(hashes, "reuse_or_hash", set_another)
    assert add(path, "alice", "one") == "configured"
    HtpasswdFile.read(path).verify("alice", "one")


def test_users_are_removed_with_all_their_lines_and_comments_in_one_write(path: Path) -> None:
    path.write_text("#regctl:expires a:2026-01-01\na:1\nb:2\n a:3\n#regctl:locked c:4\nd:5")
    outcomes = remove_users(path, ["a", "c", "x"])
    assert results(outcomes) == ["deleted", "deleted", "failed"]
    assert isinstance(outcomes[2].error, UnknownUserError)
    assert path.read_text() == "b:2\nd:5\n"


def test_removing_from_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(FileAccessError, match="no auth file at"):
        remove_users(path, ["a"])
    assert not path.exists()


def test_several_users_are_locked_together_or_not_at_all(path: Path) -> None:
    path.write_text("a:1\nb:2\n")
    with pytest.raises(UnknownUserError):
        lock_users(path, ["a", "c"])
    assert path.read_text() == "a:1\nb:2\n"
    assert results(lock_users(path, ["a", "b"])) == ["configured", "configured"]
    assert results(unlock_users(path, ["a"])) == ["configured"]
    assert path.read_text() == "a:1\n#regctl:locked b:2\n"


def test_only_the_users_whose_day_has_come_are_locked(path: Path) -> None:
    path.write_text("#regctl:expires a:2026-01-31\na:1\n#regctl:expires b:2026-02-01\nb:2\nc:3\n")
    assert lock_due(path, date(2026, 1, 30)) == []
    before = path.stat().st_mtime_ns
    assert [one.name for one in lock_due(path, date(2026, 1, 31), DRY_RUN)] == ["a"]
    assert path.stat().st_mtime_ns == before
    assert [one.name for one in lock_due(path, date(2026, 1, 31))] == ["a"]
    assert lock_due(path, date(2026, 1, 31)) == []
    assert HtpasswdFile.read(path).active_lines() == b"b:2\nc:3\n"


def test_adding_a_user_keeps_its_day_unless_another_is_given(path: Path) -> None:
    never = AddOptions(cost=4, expires=Expiry(None))
    some = AddOptions(cost=4, expires=Expiry(date(2026, 2, 1)))
    assert add(path, "a", "x", some) == "created"
    assert add(path, "a", "x") == "unchanged"
    assert add(path, "a", "y") == "configured"
    assert HtpasswdFile.read(path).users()[0].expires == date(2026, 2, 1)
    assert add(path, "a", "y", never) == "configured"
    assert add(path, "a", "y", never) == "unchanged"
    assert HtpasswdFile.read(path).users()[0].expires is None
