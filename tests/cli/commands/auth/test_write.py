"""`regctl auth write`: output, streams and exit codes."""

import csv
import json
from pathlib import Path

import pytest

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from tests.cli import run

HASH = hashes.make("secret", cost=4)


@pytest.fixture(autouse=True)
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The auth file in the folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "auth"


def test_a_list_from_standard_input_is_written(auth: Path) -> None:
    result = run("auth", "write", "--cost", "4", stdin=f"alice:one\nbob:{HASH}\n")
    assert result.stdout == "user/alice created\nuser/bob created\n"
    HtpasswdFile.read(auth).verify("bob", "secret")


def test_generated_passwords_are_printed_once_as_csv() -> None:
    Path("team.csv").write_text('name,password\nalice,one\n"b,ob",\n')
    args = ["auth", "write", "team.csv", "--generate-missing", "--cost", "4"]
    assert "b,ob created (dry run)" in run(*args, "--dry-run").stdout
    result = run(*args)
    assert result.stderr == "user/alice created\nuser/b,ob created\n"
    header, (name, password) = csv.reader(result.stdout.splitlines())
    assert (header, name) == (["name", "password"], "b,ob")
    HtpasswdFile.read(Path("auth")).verify("b,ob", password)
    assert run(*args).stdout == "user/alice unchanged\nuser/b,ob unchanged\n"


def test_generated_passwords_are_in_the_json_document_by_user() -> None:
    args = ["auth", "write", "--generate-missing", "--cost", "4", "-o", "json"]
    document = json.loads(run(*args, stdin="alice:one\nbob:\n").stdout)
    assert [one["result"] for one in document["results"]] == ["created", "created"]
    assert list(document["passwords"]) == ["bob"]
    HtpasswdFile.read(Path("auth")).verify("bob", document["passwords"]["bob"])


def test_an_exclusive_write_lists_the_users_it_removes_and_asks(auth: Path) -> None:
    auth.write_text(f"alice:{HASH}\nold:x\nolder:y\n")
    args = ["auth", "write", "--exclusive", "--cost", "4"]
    asked = run(*args, stdin="alice:secret\n")
    assert asked.exit_code == 1
    assert asked.stderr.splitlines() == [
        "note: not in the list: old",
        "note: not in the list: older",
        "error: not confirmed: remove 2 users from auth?",
        "hint: pass --yes to confirm without a terminal",
    ]
    done = run(*args, "--yes", stdin="alice:secret\n")
    assert done.stdout == "user/alice unchanged\nuser/old deleted\nuser/older deleted\n"


@pytest.mark.parametrize("rows", ["", "eve:\n", "guest:\n"])
def test_an_exclusive_write_that_leaves_nobody_is_refused(auth: Path, rows: str) -> None:
    """Neither of the users that are listed can log in."""
    auth.write_text(
        f"alice:{HASH}\n#regctl:locked eve:{HASH}\n#regctl:expires guest:2020-01-01\nguest:{HASH}\n"
    )
    before = auth.read_bytes()
    for flags in (["--yes"], ["--check"], ["--yes", "--dry-run"]):
        result = run("auth", "write", "--exclusive", *flags, stdin=rows)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "nobody could log in" in result.stderr
        assert auth.read_bytes() == before


def test_expired_users_are_locked(auth: Path) -> None:
    day = "#regctl:expires {}:2020-01-01\n{}:{}\n"
    auth.write_text(day.format("alice", "alice", HASH) + day.format("bob", "bob", HASH))
    args = ["auth", "write", "--cost", "4"]
    assert run(*args, "--check", stdin="alice:secret\n").exit_code == 1
    result = run(*args, stdin="alice:secret\ncarol:new\n")
    note = "configured (locked, expired)"
    assert result.stdout == f"user/alice {note}\nuser/carol created\nuser/bob {note}\n"
    assert [user.name for user in HtpasswdFile.read(auth).users() if not user.locked] == ["carol"]
    assert run(*args, "--check", stdin="alice:secret\n").exit_code == 0


def test_check_lists_the_differences_and_writes_nothing(auth: Path) -> None:
    auth.write_text(f"alice:{HASH}\nold:x\n")
    args = ["auth", "write", "--exclusive", "--cost", "4", "--check"]
    differing = run(*args, stdin="alice:secret\nbob:new\n")
    assert differing.exit_code == 1
    assert differing.stdout.split() == ["user/bob", "created", "user/old", "deleted"]
    assert "error: 2 of 3 differ" in differing.stderr
    assert auth.read_text() == f"alice:{HASH}\nold:x\n"
    assert run(*args, stdin="alice:secret\nold:\n").exit_code == 0


def test_every_invalid_line_is_named_and_nothing_is_written(auth: Path) -> None:
    result = run("auth", "write", stdin="alice:one\nhunter2\nb\tob:x\nalice:two\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: standard input, line 2: there is no name with a password after it",
        (
            "error: standard input, line 3: invalid user name 'b\\tob': "
            "it has a character that cannot be printed"
        ),
        "error: standard input, line 4: alice is already in line 1",
        "error: cannot write the users of standard input: 3 errors; nothing was written",
    ]
    assert "hunter2" not in result.stderr
    assert not auth.exists()


@pytest.mark.parametrize(
    ("args", "stdin", "message"),
    [
        (["nowhere.csv"], b"", "cannot read the list of users nowhere.csv: No such file"),
        (["."], b"", "cannot read the list of users .: Is a directory"),
        ([], b"a:b\nc:\xff\n", "cannot read standard input, line 2: not UTF-8"),
        (["--format", "json"], b"a:b", "not JSON"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(args: list[str], stdin: bytes, message: str) -> None:
    result = run("auth", "write", *args, stdin=stdin)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_a_byte_order_mark_is_not_part_of_a_name() -> None:
    assert run("auth", "write", "--cost", "4", stdin="\ufeffa:b\n").stdout == "user/a created\n"
