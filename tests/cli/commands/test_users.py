"""`adduser`, `deluser`, `users`, `verify`: words, streams, exit codes, and what bad input gets."""

import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.cli.main import main

SECRET = hashes.make("secret", cost=4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(main, args, input=stdin, prog_name="regctl")


def refused(result: Result, code: int, *said: str) -> None:
    """One line of error, perhaps a hint, nothing on stdout, no traceback."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for words in said:
        assert words in result.stderr


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
    assert result.stderr == "user/ci created\n"
    password = result.stdout.removesuffix("\n")
    assert len(password) == 24
    HtpasswdFile.read(Path("auth")).verify("ci", password)


def test_a_generated_password_is_in_the_json_document() -> None:
    result = run("adduser", "ci", "--generate", "-o", "json")
    record = json.loads(result.stdout)["results"][0]
    assert record["result"] == "created"
    HtpasswdFile.read(Path("auth")).verify("ci", record["password"])


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


def test_a_password_as_an_argument_is_taken_with_a_warning() -> None:
    result = run("adduser", "alice", "hunter2")
    assert result.stdout == "user/alice created\n"
    assert "warning: a password on the command line is seen" in result.stderr
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
    """Run regctl on a terminal; give an answer each time it stops with a colon and a blank."""
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
    add_text("".join(f"{name}:{SECRET}\n" for name in names))


def add_text(text: str) -> None:
    with Path("auth").open("a") as file:
        file.write(text)


def test_users_are_deleted_and_one_that_is_not_there_is_named() -> None:
    add("alice", "bob")
    result = run("deluser", "alice", "nobody", "--yes")
    assert result.exit_code == 3
    assert result.stdout == "user/alice deleted\n"
    assert "error: cannot remove nobody: no such user in auth" in result.stderr
    assert run("users", "-o", "name").stdout == "bob\n"


def test_deleting_without_a_terminal_needs_a_yes() -> None:
    add("alice")
    refused(run("deluser", "alice"), 1, "remove alice from auth?", "hint: pass --yes")
    assert run("users", "-o", "name").stdout == "alice\n"
    assert run("deluser", "alice", "--dry-run").stdout == "user/alice deleted (dry run)\n"
    assert run("users", "-o", "name").stdout == "alice\n"


def test_deleting_nobody_is_an_error_and_asks_nothing() -> None:
    add("alice")
    refused(run("deluser", "nobody"), 1, "no such user in auth", "`regctl users`")


def test_users_are_listed_with_scheme_cost_state_and_findings() -> None:
    Path("auth").write_text(f"a:{SECRET}\nb:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n")
    assert run("users").stdout == (
        "a\tbcrypt\t4\topen\t-\tlow cost\nb\tapr1\t-\topen\t-\tweak scheme\n"
    )
    wide = run("users", "-o", "wide").stdout.splitlines()
    assert wide[1] == "b\tapr1\t-\topen\t-\tweak scheme\t2"
    assert json.loads(run("users", "-o", "json").stdout)["users"][0] == {
        "name": "a", "scheme": "bcrypt", "cost": 4, "state": "open", "lines": [1], "expires": None,
        "findings": ["low cost"],
    }  # fmt: skip


def test_users_warns_of_malformed_lines_and_lists_the_rest() -> None:
    Path("auth").write_text("a:x\noops\n")
    result = run("users", "-o", "name")
    assert (result.exit_code, result.stdout) == (0, "a\n")
    assert result.stderr == "warning: auth, line 2: not NAME:HASH\n"


def test_control_characters_in_a_file_do_not_reach_the_terminal() -> None:
    Path("auth").write_bytes(b"a\x1b[2J:x\nb\xff:y\n")
    assert run("users", "-o", "name").stdout == "a\\x1b[2J\nb\\xff\n"


def test_verify_answers_by_exit_code() -> None:
    add("alice")
    add_text(f"#regctl:locked shut:{SECRET}\n")
    right = run("verify", "alice", "--password-stdin", stdin="secret")
    assert (right.exit_code, right.stdout) == (0, "user/alice verified\n")
    refused(run("verify", "alice", "--password-stdin", stdin="guess"), 4, "password for alice")
    refused(run("verify", "bob", "--password-stdin", stdin="secret"), 1, "no user bob")
    refused(run("verify", "shut", "--password-stdin", stdin="secret"), 1, "shut is locked")


def test_verify_takes_a_password_longer_than_bcrypt_does() -> None:
    Path("auth").write_text(f"a:{hashes.make('x' * 72, cost=4)}\n")
    assert run("verify", "a", "--password-stdin", stdin="x" * 200).exit_code == 0


# Bad input


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a:b", "a colon ends the name"),
        ("", "it is empty"),
        ("a\tb", "can't be printed"),
        ("#a", "makes the line a comment"),
    ],
)
def test_a_bad_name_is_refused(name: str, said: str) -> None:
    refused(run("adduser", name, "--password-stdin", stdin="x"), 2, said, "hint: use letters")
    assert not Path("auth").exists()


@pytest.mark.parametrize(
    ("password", "said"),
    [
        (b"", "the password from --password-stdin is empty"),
        (b"\n", "the password from --password-stdin is empty"),
        (b"x" * 73, "has 73 bytes, and bcrypt takes 72"),
        (b"a\0b", "control character"),
        (b"a\nb", "more than one line"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_bad_password_is_refused(password: bytes, said: str) -> None:
    refused(run("adduser", "alice", "--password-stdin", stdin=password), 2, said)
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
def test_two_sources_of_a_password_are_one_too_many(args: list[str]) -> None:
    refused(run("adduser", "alice", *args, stdin="x"), 2, "hint: ")
    assert not Path("auth").exists()


def test_no_password_and_nobody_to_ask_names_the_flags() -> None:
    refused(run("adduser", "alice"), 1, "no password was given", "--password-stdin")
    refused(run("adduser"), 2, "missing argument 'NAME'")


COMMANDS = [["adduser", "a", "pw"], ["deluser", "a", "--yes"], ["users"], ["verify", "a", "pw"]]


@pytest.mark.parametrize("args", COMMANDS)
def test_a_directory_is_no_auth_file(args: list[str]) -> None:
    Path("auth").mkdir()
    refused(run(*args), 1, "auth: ", "irectory")
    assert list(Path("auth").iterdir()) == []


@pytest.mark.parametrize("args", COMMANDS[1:])
def test_an_auth_file_that_is_not_there_is_named(args: list[str]) -> None:
    refused(run(*args), 1, "no auth file at auth", "hint: `regctl adduser NAME` makes one")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of root's that others may enter, and the right to be others in it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.chdir(folder)
        add("a")
        yield folder


def refused_as_nobody(args: list[str], *said: str) -> None:
    before = Path("auth").read_bytes()
    os.setegid(65534)
    os.seteuid(65534)
    try:
        result = run(*args)
    finally:
        os.seteuid(0)
        os.setegid(0)
    refused(result, 1, *said)
    assert Path("auth").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["auth"]


@pytest.mark.parametrize("args", COMMANDS)
def test_an_unreadable_file_is_named(args: list[str], nobody: Path) -> None:
    (nobody / "auth").chmod(0o600)
    refused_as_nobody(args, "cannot read auth: Permission denied")


@pytest.mark.parametrize("args", [["adduser", "b", "pw"], ["deluser", "a", "--yes"]])
def test_a_read_only_folder_is_explained(args: list[str], nobody: Path) -> None:
    (nobody / "auth").chmod(0o644)
    refused_as_nobody(args, "cannot write auth: Permission denied", "its folder must be writable")


@pytest.mark.parametrize("args", COMMANDS[:2])
def test_a_malformed_line_is_named_and_nothing_is_written(args: list[str]) -> None:
    content = f"a:{SECRET}\nno colon here\n"
    Path("auth").write_text(content)
    refused(run(*args), 1, "cannot change auth: not NAME:HASH in line 2", "hint: mend the line")
    assert Path("auth").read_text() == content


def test_a_file_that_is_not_utf8_keeps_its_bytes_and_one_in_utf16_is_refused() -> None:
    Path("auth").write_bytes(b"caf\xe9:x\n")
    assert run("adduser", "alice", "pw").exit_code == 0
    assert Path("auth").read_bytes().startswith(b"caf\xe9:x\nalice:$2y$")
    content = "alice:x\n".encode("utf-16")
    Path("auth").write_bytes(content)
    refused(run("adduser", "alice", "pw"), 1, "not NAME:HASH in line 1")
    assert Path("auth").read_bytes() == content


def test_no_password_is_shown_whatever_happens() -> None:
    add("alice")
    for args in (["adduser", "alice"], ["verify", "alice"], ["verify", "nobody"]):
        result = run(*args, "--password-stdin", "-v", stdin="Tr0ub4dor&3")
        assert "Tr0ub4dor&3" not in result.output
        assert "$2y$" not in result.output
