"""`adduser`, `deluser`, `users` and `verify`: output, streams, exit codes and invalid input."""

import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import click
import pytest
from click.testing import Result

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.cli.app import App
from regctl.cli.commands.users import adduser
from tests.cli import run

HASH = hashes.make("secret", cost=4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failed(result: Result, code: int, *texts: str) -> None:
    """There is one error, perhaps a hint, and nothing on stdout."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for text in texts:
        assert text in result.stderr


# adduser


def test_a_user_is_created_configured_and_unchanged() -> None:
    assert run("adduser", "alice", "--password-stdin", stdin="one\n").stdout == (
        "user/alice created\n"
    )
    assert run("adduser", "alice", "--password-stdin", stdin="two").stdout == (
        "user/alice configured\n"
    )
    assert run("adduser", "alice", "--password-stdin", stdin="two\r\n").stdout == (
        "user/alice unchanged\n"
    )
    assert run("verify", "alice", "--password-stdin", stdin="two").exit_code == 0


def test_a_generated_password_is_alone_on_stdout() -> None:
    result = run("adduser", "ci", "--generate")
    assert result.stderr.endswith("\nuser/ci created\n")
    password = result.stdout.removesuffix("\n")
    assert len(password) == 24
    HtpasswdFile.read(Path("auth")).verify("ci", password)


def test_a_new_auth_file_is_named(tmp_path: Path) -> None:
    add = ["adduser", "alice", "--password-stdin", "--cost", "4"]
    assert "auth file" not in run(*add, "--dry-run", stdin="secret").output
    created = run(*add, stdin="secret")
    assert created.stdout == "user/alice created\n"
    assert created.stderr == f"note: created the auth file {tmp_path.resolve() / 'auth'}\n"
    assert run(*add, stdin="other").stderr == ""


def test_a_generated_password_is_in_the_json_document() -> None:
    result = run("adduser", "ci", "--generate", "-o", "json")
    document = json.loads(result.stdout)
    assert document["results"][0]["result"] == "created"
    HtpasswdFile.read(Path("auth")).verify("ci", document["passwords"]["ci"])


def test_a_password_comes_from_a_file_or_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "pw").write_text("from file\n")
    run("adduser", "alice", "--password-file", "pw")
    monkeypatch.setenv("REGCTL_PASSWORD", "from environment")
    run("adduser", "bob")
    file = HtpasswdFile.read(Path("auth"))
    file.verify("alice", "from file")
    file.verify("bob", "from environment")


def test_a_password_as_an_argument_gives_a_warning() -> None:
    result = run("adduser", "alice", "hunter2")
    assert result.stdout == "user/alice created\n"
    assert "warning: a password on the command line is visible" in result.stderr
    assert "hunter2" not in result.stderr


def test_the_file_is_named_by_flag_or_variable(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGCTL_AUTH_FILE", str(here / "by-variable"))
    run("adduser", "alice", "x")
    run("adduser", "alice", "x", "-f", "by-flag")
    assert (here / "by-variable").exists()
    assert (here / "by-flag").exists()
    assert not (here / "auth").exists()


def test_a_dry_run_writes_nothing() -> None:
    result = run("adduser", "alice", "x", "--dry-run")
    assert result.stdout == "user/alice created (dry run)\n"
    assert not Path("auth").exists()


def test_the_password_is_asked_for_twice_on_a_terminal() -> None:
    assert on_terminal(["adduser", "alice"], ["slip\n", "slap\n", "right\n", "right\n"]) == 0
    HtpasswdFile.read(Path("auth")).verify("alice", "right")


def on_terminal(args: Sequence[str], answers: Sequence[str]) -> int:
    """Run regctl on a terminal; answer each question, which ends with a colon and a space."""
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "regctl", *args],
        stdin=secondary,
        stdout=subprocess.DEVNULL,
        stderr=secondary,
    ) as process:
        os.close(secondary)
        waiting = list(answers)
        shown = b""
        while True:
            try:
                chunk = os.read(primary, 1024)
            except OSError:
                break
            shown += chunk
            if shown.endswith(b": ") and waiting:
                os.write(primary, waiting.pop(0).encode())
                shown = b""
        os.close(primary)
        assert not waiting
        return process.wait()


# deluser, users, verify


def add(*names: str) -> None:
    add_text("".join(f"{name}:{HASH}\n" for name in names))


def add_text(text: str) -> None:
    with Path("auth").open("a") as file:
        file.write(text)


def test_users_are_deleted_and_a_missing_one_is_named() -> None:
    add("alice", "bob")
    result = run("deluser", "alice", "nobody", "--yes")
    assert result.exit_code == 3
    assert result.stdout == "user/alice deleted\n"
    assert "error: no user nobody" in result.stderr
    assert run("users", "-o", "name").stdout == "bob\n"


def test_deleting_without_a_terminal_needs_yes() -> None:
    add("alice")
    failed(
        run("deluser", "alice"),
        1,
        "remove alice from auth?",
        "hint: pass --yes to confirm without a terminal",
    )
    assert run("users", "-o", "name").stdout == "alice\n"
    assert run("deluser", "alice", "--dry-run").stdout == "user/alice deleted (dry run)\n"
    assert run("users", "-o", "name").stdout == "alice\n"


def test_deleting_a_missing_user_is_an_error_without_a_question() -> None:
    add("alice")
    failed(run("deluser", "nobody"), 1, "no user nobody", "`regctl users`")


def test_users_are_listed_with_scheme_cost_state_and_findings() -> None:
    Path("auth").write_text(f"a:{HASH}\nb:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n")
    assert run("users").stdout == (
        "a\tbcrypt\t4\tactive\t\tlow cost\nb\tapr1\t\tactive\t\tweak scheme\n"
    )
    wide = run("users", "-o", "wide").stdout.splitlines()
    assert wide[0].split() == ["USER", "SCHEME", "COST", "STATE", "EXPIRES", "FINDINGS", "LINE"]
    assert wide[2].split() == ["b", "apr1", "active", "weak", "scheme", "2"]
    assert json.loads(run("users", "-o", "json").stdout)["users"][0] == {
        "name": "a", "scheme": "bcrypt", "cost": 4, "state": "active", "lines": [1],
        "expires": None, "findings": ["low cost"],
    }  # fmt: skip


def test_users_warns_of_malformed_lines_and_lists_the_rest() -> None:
    Path("auth").write_text("a:x\noops\n")
    result = run("users", "-o", "name")
    assert (result.exit_code, result.stdout) == (0, "a\n")
    assert result.stderr == "warning: auth, line 2: not NAME:HASH\n"


def test_control_characters_in_a_file_do_not_reach_the_terminal() -> None:
    Path("auth").write_bytes(b"a\x1b[2J:x\nb\xff:y\n")
    assert run("users", "-o", "name").stdout == "a\\x1b[2J\nb\\xff\n"


def test_the_exit_code_of_verify_is_the_answer() -> None:
    add("alice")
    add_text(f"#regctl:locked out:{HASH}\n")
    right = run("verify", "alice", "--password-stdin", stdin="secret")
    assert (right.exit_code, right.stdout) == (0, "user/alice verified\n")
    failed(run("verify", "alice", "--password-stdin", stdin="guess"), 4, "password for alice")
    failed(run("verify", "bob", "--password-stdin", stdin="secret"), 1, "no user bob")
    failed(run("verify", "out", "--password-stdin", stdin="secret"), 1, "user out is locked")


@pytest.mark.parametrize("slow", ["$2y$31$" + "a" * 53, f"$6$rounds=999999999$s${'a' * 86}"])
def test_a_hash_that_takes_too_long_is_named_and_replaced(here: Path, slow: str) -> None:
    (here / "auth").write_text(f"bob:{HASH}\nalice:{slow}\n")
    failed(
        run("verify", "alice", "--password-stdin", stdin="secret"),
        1,
        "takes too long",
        "(line 2)",
        "hint: `regctl adduser alice` sets a password",
    )
    for command in (["adduser", "alice", "--password-stdin"], ["auth", "write", "-"]):
        (here / "auth").write_text(f"bob:{HASH}\nalice:{slow}\n")
        stdin = "new" if command[0] == "adduser" else "alice:new\n"
        assert run(*command, stdin=stdin).stdout == "user/alice configured\n"
        assert run("verify", "alice", "--password-stdin", stdin="new").exit_code == 0


def test_verify_accepts_a_password_over_the_limit_of_bcrypt() -> None:
    Path("auth").write_text(f"a:{hashes.make('x' * 72, cost=4)}\n")
    assert run("verify", "a", "--password-stdin", stdin="x" * 200).exit_code == 0


# Invalid input


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a:b", "a colon ends the name"),
        ("", "it is empty"),
        ("a\tb", "cannot be printed"),
        ("#a", "makes the line a comment"),
    ],
)
def test_a_bad_name_is_failed(name: str, problem: str) -> None:
    failed(run("adduser", name, "--password-stdin", stdin="x"), 2, problem, "hint: use letters")
    assert not Path("auth").exists()


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        (b"", "the password from --password-stdin is empty"),
        (b"\n", "the password from --password-stdin is empty"),
        (b"x" * 73, "has 73 bytes, the limit of bcrypt is 72"),
        (b"a\0b", "control character"),
        (b"a\nb", "more than one line"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_bad_password_is_failed(password: bytes, problem: str) -> None:
    failed(run("adduser", "alice", "--password-stdin", stdin=password), 2, problem)
    assert not Path("auth").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["argument", "--password-stdin"],
        ["--password-stdin", "--password-file", "pw"],
        ["argument", "--generate"],
        ["--generate", "--password-stdin"],
    ],
)
def test_two_sources_of_a_password_are_an_error(args: list[str]) -> None:
    failed(run("adduser", "alice", *args, stdin="x"), 2, "hint: ")
    assert not Path("auth").exists()


def test_without_a_password_and_a_terminal_the_hint_names_the_flags() -> None:
    failed(run("adduser", "alice"), 1, "no password was given", "--password-stdin")
    failed(run("adduser"), 2, "missing argument 'NAME'")


COMMANDS = [["adduser", "a", "pw"], ["deluser", "a", "--yes"], ["users"], ["verify", "a", "pw"]]


@pytest.mark.parametrize("args", COMMANDS)
def test_a_directory_is_not_an_auth_file(args: list[str]) -> None:
    Path("auth").mkdir()
    failed(run(*args), 1, "auth: ", "irectory")
    assert list(Path("auth").iterdir()) == []


@pytest.mark.parametrize("args", COMMANDS)
def test_a_pipe_a_device_and_a_giant_are_not_auth_files(args: list[str]) -> None:
    os.mkfifo("auth")
    failed(run(*args), 1, "auth: it is not a regular file")
    failed(run(*args, "-f", "/dev/zero"), 1, "/dev/zero: it is not a regular file")
    Path("auth").unlink()
    Path("auth").touch()
    os.truncate("auth", 2**40)
    failed(run(*args), 1, "auth: it has more than 16 MiB")


def test_a_password_from_a_device_that_never_ends_is_refused() -> None:
    failed(run("adduser", "a", "--password-file", "/dev/zero"), 1, "it has more than 4 MiB")
    failed(run("auth", "write", "/dev/zero"), 1, "it has more than 4 MiB")


@pytest.mark.parametrize("args", COMMANDS[1:])
def test_a_missing_auth_file_is_named(args: list[str]) -> None:
    failed(run(*args), 1, "no auth file at auth", "hint: `regctl adduser NAME` creates one")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of root, readable by others, with an auth file."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.chdir(folder)
        add("a")
        yield folder


def failed_as_nobody(args: list[str], *texts: str) -> None:
    before = Path("auth").read_bytes()
    os.setegid(65534)
    os.seteuid(65534)
    try:
        result = run(*args)
    finally:
        os.seteuid(0)
        os.setegid(0)
    failed(result, 1, *texts)
    assert Path("auth").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["auth"]


@pytest.mark.parametrize("args", COMMANDS)
def test_an_unreadable_file_is_named(args: list[str], nobody: Path) -> None:
    (nobody / "auth").chmod(0o600)
    failed_as_nobody(args, "cannot read auth: Permission denied")


@pytest.mark.parametrize("args", [["adduser", "b", "pw"], ["deluser", "a", "--yes"]])
def test_a_read_only_folder_is_named(args: list[str], nobody: Path) -> None:
    (nobody / "auth").chmod(0o644)
    failed_as_nobody(args, "cannot write auth: Permission denied", "its folder must be writable")


@pytest.mark.parametrize("args", COMMANDS[:2])
def test_a_malformed_line_is_named_and_nothing_is_written(args: list[str]) -> None:
    content = f"a:{HASH}\nno colon here\n"
    Path("auth").write_text(content)
    failed(
        run(*args),
        1,
        "cannot change auth: not NAME:HASH in line 2",
        "hint: `regctl auth check --fix`",
    )
    assert Path("auth").read_text() == content


def test_a_file_that_is_not_utf8_keeps_its_bytes_and_one_in_utf16_is_failed() -> None:
    Path("auth").write_bytes(b"caf\xe9:x\n")
    assert run("adduser", "alice", "pw").exit_code == 0
    assert Path("auth").read_bytes().startswith(b"caf\xe9:x\nalice:$2y$")
    content = "alice:x\n".encode("utf-16")
    Path("auth").write_bytes(content)
    failed(run("adduser", "alice", "pw"), 1, "not NAME:HASH in line 1")
    assert Path("auth").read_bytes() == content


def test_no_password_is_printed() -> None:
    add("alice")
    for args in (["adduser", "alice"], ["verify", "alice"], ["verify", "nobody"]):
        result = run(*args, "--password-stdin", "-v", stdin="Tr0ub4dor&3")
        assert "Tr0ub4dor&3" not in result.output
        assert "$2y$" not in result.output


# The flags of adduser and deluser


def on_day(today: str) -> App:
    return App(clock=lambda: datetime.fromisoformat(today).replace(tzinfo=timezone.utc))


@pytest.mark.parametrize("when", ["yesterday", "2025-12-31", "2026-01-01", ""])
def test_an_invalid_or_past_expiry_is_rejected(when: str) -> None:
    result = run("adduser", "a", "pw", "--expires", when, app=on_day("2026-01-01"))
    failed(result, 2, "error: invalid expiry")
    assert not Path("auth").exists()


def test_a_user_expires_on_its_day() -> None:
    add = ["adduser", "guest", "--expires", "30d", "--cost", "4", "--password-stdin"]
    run(*add, stdin="secret", app=on_day("2026-01-01"))
    listed = run("users", "-o", "json", app=on_day("2026-01-30")).stdout
    user = json.loads(listed)["users"][0]
    assert (user["expires"], user["state"]) == ("2026-01-31", "active")
    verify = ["verify", "guest", "--password-stdin"]
    assert run(*verify, stdin="secret", app=on_day("2026-01-30")).exit_code == 0
    due = run(*verify, stdin="secret", app=on_day("2026-01-31"))
    failed(due, 1, "error: user guest expired on 2026-01-31", "hint: `regctl adduser guest")
    add[2:4] = []
    again = run(*add, stdin="other", app=on_day("2026-01-31"))
    assert "warning: guest expired on 2026-01-31 and is still treated as locked" in again.stderr
    assert run(*add, "--expires", "30d", stdin="other", app=on_day("2026-01-31")).stderr == ""
    add[2:2] = ["--expires", "2026-01-31"]
    assert run(*add, stdin="secret", app=on_day("2026-01-01")).exit_code == 0
    assert "\texpired\t2026-01-31\t" in run("users", app=on_day("2026-01-31")).stdout


def test_setting_the_password_of_a_locked_user_keeps_it_locked() -> None:
    Path("auth").write_text(f"#regctl:locked alice:{HASH}\n")
    result = run("adduser", "alice", "--password-stdin", "--cost", "4", stdin="new")
    assert result.stdout == (
        "user/alice configured (locked; `regctl auth unlock alice` unlocks it)\n"
    )


def test_scheme_and_cost_are_used_and_a_weak_scheme_gives_a_warning() -> None:
    result = run("adduser", "a", "--scheme", "sha1", "--password-stdin", stdin="secret")
    assert (
        "warning: a password hashed with sha1 is easy to guess if the file leaks" in result.stderr
    )
    assert "a\tsha1\t\tactive\t\tweak scheme\n" in run("users").stdout
    assert "warning" not in run("adduser", "b", "--scheme", "sha1", "--generate").stderr
    assert run("adduser", "a", "pw", "--scheme", "apr1", "--cost", "5").exit_code == 2
    assert run("adduser", "a", "pw", "--cost", "3").exit_code == 2
    assert run("adduser", "a", "pw", "--scheme", "md4").exit_code == 2


def test_every_scheme_that_can_be_written_is_a_choice() -> None:
    choices = {option.name: option.type for option in adduser.params}["scheme"]
    assert isinstance(choices, click.Choice)
    assert tuple(choices.choices) == hashes.WRITABLE


def test_no_update_fails_for_an_existing_user() -> None:
    add("a")
    failed(run("adduser", "a", "pw", "--no-update"), 1, "error: user a is already in auth")
    assert Path("auth").read_text() == f"a:{HASH}\n"


def test_a_missing_user_can_be_ignored() -> None:
    add("a")
    result = run("deluser", "a", "nobody", "--ignore-not-found", "--yes")
    assert (result.exit_code, result.stdout) == (0, "user/a deleted\n")
    assert run("deluser", "nobody", "--ignore-not-found").exit_code == 0


def test_a_dry_run_prints_no_password_that_is_not_set() -> None:
    result = run("adduser", "a", "--generate", "--dry-run")
    assert result.stdout == "user/a created (dry run)\n"
    document = run("adduser", "a", "--generate", "--dry-run", "-o", "json").stdout
    assert "passwords" not in json.loads(document)


def test_a_generated_password_is_printed_with_o_name_too() -> None:
    result = run("adduser", "a", "--generate", "-o", "name", "--cost", "4")
    HtpasswdFile.read(Path("auth")).verify("a", result.stdout.strip())


def test_in_place_keeps_the_inode_and_backup_keeps_the_old_file() -> None:
    add("a")
    before = Path("auth").stat().st_ino
    run("adduser", "b", "pw", "--cost", "4", "--in-place", "--backup")
    assert Path("auth").stat().st_ino == before
    assert Path("auth.bak").read_text() == f"a:{HASH}\n"
