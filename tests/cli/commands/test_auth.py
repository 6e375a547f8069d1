"""`regctl auth write`, `lock`, `unlock`, `expire`, `cost`: words, streams and exit codes."""

import csv
import json
from datetime import datetime, timezone
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.cli.app import App
from regctl.cli.commands.users import adduser
from regctl.cli.main import main

SECRET = hashes.make("secret", cost=4)


@pytest.fixture(autouse=True)
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The auth file of a folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "auth"


def run(*args: str, stdin: str | bytes = "", today: str = "2026-01-01") -> Result:
    moment = datetime.fromisoformat(today).replace(tzinfo=timezone.utc)
    app = App(clock=lambda: moment)
    return CliRunner().invoke(main, args, input=stdin, obj=app, prog_name="regctl")


def test_a_list_from_standard_input_is_written(auth: Path) -> None:
    result = run("auth", "write", "--cost", "4", stdin=f"alice:one\nbob:{SECRET}\n")
    assert result.stdout == "user/alice created\nuser/bob created\n"
    HtpasswdFile.read(auth).verify("bob", "secret")


def test_generated_passwords_come_out_once_as_csv() -> None:
    Path("team.csv").write_text('name,password\nalice,one\n"b,ob",\n')
    args = ["auth", "write", "team.csv", "--generate-missing", "--cost", "4"]
    assert "b,ob created (dry run)" in run(*args, "--dry-run").stdout
    result = run(*args)
    assert result.stderr == "user/alice created\nuser/b,ob created\n"
    header, (name, password) = csv.reader(result.stdout.splitlines())
    assert (header, name) == (["name", "password"], "b,ob")
    HtpasswdFile.read(Path("auth")).verify("b,ob", password)
    assert run(*args).stdout == "user/alice unchanged\nuser/b,ob unchanged\n"


def test_generated_passwords_come_out_once_as_json() -> None:
    args = ["auth", "write", "--generate-missing", "--cost", "4", "-o", "json"]
    alice, bob = json.loads(run(*args, stdin="alice:one\nbob:\n").stdout)["results"]
    assert "password" not in alice
    HtpasswdFile.read(Path("auth")).verify("bob", bob["password"])


def test_an_exclusive_write_shows_whom_it_removes_and_asks(auth: Path) -> None:
    auth.write_text(f"alice:{SECRET}\nold:x\nolder:y\n")
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


def test_every_bad_line_is_named_and_nothing_is_written(auth: Path) -> None:
    result = run("auth", "write", stdin="alice:one\nhunter2\nb\tob:x\nalice:two\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.partition(": ")[2][:24] for line in result.stderr.splitlines()] == [
        "standard input, line 2: ",
        "standard input, line 3: ",
        "standard input, line 4: ",
        "cannot take the users of",
    ]
    assert "hunter2" not in result.stderr
    assert not auth.exists()


@pytest.mark.parametrize(
    ("args", "stdin", "said"),
    [
        (["nowhere.csv"], b"", "cannot read nowhere.csv: No such file"),
        (["."], b"", "cannot read .: Is a directory"),
        ([], b"a:b\nc:\xff\n", "cannot read standard input, line 2: not UTF-8"),
        (["--format", "json"], b"a:b", "not JSON"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(args: list[str], stdin: bytes, said: str) -> None:
    result = run("auth", "write", *args, stdin=stdin)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    assert run("auth", "write", stdin="\ufeffa:b\n").stdout == "user/a created\n"


def test_users_are_locked_and_unlocked(auth: Path) -> None:
    auth.write_text(f"alice:{SECRET}\nbob:{SECRET}\n")
    assert run("auth", "lock", "alice", "--dry-run").stdout == (
        "user/alice configured (locked) (dry run)\n"
    )
    assert run("auth", "lock", "alice").stdout == "user/alice configured (locked)\n"
    assert run("auth", "lock", "alice").stdout == "user/alice unchanged (locked)\n"
    assert "alice\tbcrypt\t4\tlocked\t" in run("users").stdout
    assert run("verify", "alice", "--password-stdin", stdin="secret").exit_code == 1
    assert run("auth", "unlock", "alice", "--backup").stdout == "user/alice configured (open)\n"
    assert "#regctl:locked alice" in Path("auth.bak").read_text()
    assert run("verify", "alice", "--password-stdin", stdin="secret").exit_code == 0
    unknown = run("auth", "lock", "bob", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "error: no user nobody" in unknown.stderr
    assert "open" in run("users").stdout.splitlines()[1]


def test_setting_the_password_of_a_locked_user_says_that_it_stays_locked(auth: Path) -> None:
    auth.write_text(f"#regctl:locked alice:{SECRET}\n")
    result = run("adduser", "alice", "--password-stdin", "--cost", "4", stdin="new")
    assert result.stdout == "user/alice configured\n"
    assert result.stderr == "note: alice is locked: `regctl auth unlock alice` lets it in\n"


def test_a_user_expires_on_its_day() -> None:
    run("adduser", "guest", "--expires", "30d", "--cost", "4", "--password-stdin", stdin="secret")
    listed = run("users", "-o", "json", today="2026-01-30").stdout
    assert json.loads(listed)["users"][0]["expires"] == "2026-01-31"
    assert json.loads(listed)["users"][0]["state"] == "open"
    assert run("auth", "expire", today="2026-01-30").stdout == ""
    due = run("verify", "guest", "--password-stdin", stdin="secret", today="2026-01-31")
    assert due.exit_code == 0
    assert "warning: guest expired on 2026-01-31" in due.stderr
    assert "\texpired\t2026-01-31\t" in run("users", today="2026-01-31").stdout
    assert run("auth", "expire", today="2026-01-31").stdout == (
        "user/guest configured (locked, expired)\n"
    )
    assert run("auth", "expire", today="2026-01-31").stdout == ""
    unlocked = run("auth", "unlock", "guest", today="2026-01-31")
    assert "the next `auth expire` locks it again" in unlocked.stderr


@pytest.mark.parametrize("when", ["yesterday", "2025-12-31", "2026-01-01", ""])
def test_a_bad_day_to_expire_is_refused(when: str, auth: Path) -> None:
    result = run("adduser", "a", "pw", "--expires", when)
    assert result.exit_code == 2
    assert "error: not a time to expire" in result.stderr
    assert not auth.exists()


def test_the_price_of_a_cost_doubles_and_users_are_counted(auth: Path) -> None:
    auth.write_text(f"a:{SECRET}\nb:{SECRET}\n")
    result = run("auth", "cost", "--layers", "10", "-o", "json")
    costs = {price["cost"]: price for price in json.loads(result.stdout)["costs"]}
    assert sorted(costs) == list(range(4, 18))
    assert costs[4]["users"] == 2
    assert costs[12]["check_ms"] == pytest.approx(4 * costs[10]["check_ms"], rel=0.01)
    assert costs[10]["pull_cpu_seconds"] == pytest.approx(
        14 * costs[10]["check_ms"] / 1000, rel=0.01
    )
    assert "note: in force in auth: cost 4 for 2 of its users" in result.stderr


# The flags of adduser and deluser that came with the whole file


def test_scheme_and_cost_are_obeyed_and_what_is_weak_is_said() -> None:
    result = run("adduser", "a", "--scheme", "sha1", "--password-stdin", stdin="secret")
    assert "warning: sha1 gives a password away" in result.stderr
    assert "a\tsha1\t-\topen\t-\tweak scheme\n" in run("users").stdout
    assert "warning" not in run("adduser", "b", "--scheme", "sha1", "--generate").stderr
    assert run("adduser", "a", "pw", "--scheme", "apr1", "--cost", "5").exit_code == 2
    assert run("adduser", "a", "pw", "--cost", "3").exit_code == 2
    assert run("adduser", "a", "pw", "--scheme", "md4").exit_code == 2


def test_every_scheme_that_can_be_written_can_be_asked_for() -> None:
    choices = {option.name: option.type for option in adduser.params}["scheme"]
    assert isinstance(choices, click.Choice)
    assert tuple(choices.choices) == hashes.WRITABLE


def test_no_update_fails_for_a_user_that_is_there(auth: Path) -> None:
    auth.write_text(f"a:{SECRET}\n")
    result = run("adduser", "a", "pw", "--no-update")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: user a is in auth already" in result.stderr
    assert auth.read_text() == f"a:{SECRET}\n"


def test_a_user_that_is_not_there_can_be_no_error(auth: Path) -> None:
    auth.write_text("a:x\n")
    result = run("deluser", "a", "nobody", "--ignore-not-found", "--yes")
    assert (result.exit_code, result.stdout) == (0, "user/a deleted\n")


def test_a_dry_run_prints_no_password_that_is_not_set() -> None:
    result = run("adduser", "a", "--generate", "--dry-run")
    assert result.stdout == "user/a created (dry run)\n"
    document = run("adduser", "a", "--generate", "--dry-run", "-o", "json").stdout
    assert "password" not in json.loads(document)["results"][0]


def test_a_generated_password_is_printed_with_names_too() -> None:
    result = run("adduser", "a", "--generate", "-o", "name", "--cost", "4")
    HtpasswdFile.read(Path("auth")).verify("a", result.stdout.strip())


def test_in_place_keeps_the_inode(auth: Path) -> None:
    auth.write_text("a:x\n")
    before = auth.stat().st_ino
    run("adduser", "b", "pw", "--cost", "4", "--in-place", "--backup")
    assert auth.stat().st_ino == before
    assert Path("auth.bak").read_text() == "a:x\n"


def test_wide_is_a_flag_too(auth: Path) -> None:
    auth.write_text(f"a:{SECRET}\n")
    assert run("users", "--wide").stdout == run("users", "-o", "wide").stdout
    assert json.loads(run("users", "--wide", "-o", "json").stdout)["users"]
