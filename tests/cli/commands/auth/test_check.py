"""`regctl auth check`: findings, the table of readers, the measured cost, and repairs."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import Result

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import READERS
from regctl.cli.app import App
from tests import cli

HASH = hashes.make("secret", cost=4)
GOOD = hashes.make("secret")


@pytest.fixture(autouse=True)
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The auth file in the folder to work in."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "auth"
    path.touch(mode=0o600)
    return path


def run(*args: str) -> Result:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return cli.run("auth", "check", *args, app=App(clock=lambda: moment))


def test_a_good_file_has_no_findings(auth: Path) -> None:
    auth.write_text(f"a:{GOOD}\n")
    result = run()
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "note: nothing is wrong with auth\n"
    assert json.loads(run("-o", "json").stdout) == {"findings": []}


def test_an_error_exits_with_1_and_a_warning_with_strict_only(auth: Path) -> None:
    auth.write_text(f"a:{HASH}\n")
    assert run().exit_code == 0
    strict = run("--strict")
    assert strict.exit_code == 1
    assert "error: auth: 1 warning\n" in strict.stderr
    auth.write_text(f"a:{HASH}\na:{GOOD}\n")
    result = run()
    assert result.exit_code == 1
    assert "error: auth: 1 error, 1 warning\n" in result.stderr


def test_the_findings_of_a_file_are_listed(auth: Path) -> None:
    auth.write_text(f"x:{GOOD} \na:{GOOD}\nb:{GOOD} \nc:{GOOD} \n")
    severity, lines, finding, effect, remedy = run("--for", "nginx").stdout.rstrip("\n").split("\t")
    assert (severity, lines, finding) == ("error", "1,3-4", "a blank after the hash")
    assert (effect, remedy) == ("nginx rejects the user", "`regctl auth check --fix` repairs it")
    assert run("--for", "nginx", "-o", "name").stdout == "trailing-blank\n"
    assert json.loads(run("--for", "nginx", "-o", "json").stdout)["findings"] == [
        {
            "severity": "error",
            "rule": "trailing-blank",
            "lines": [1, 3, 4],
            "users": ["x", "b", "c"],
            "problem": "a blank after the hash",
            "effect": "nginx rejects the user",
            "remedy": "`regctl auth check --fix` repairs it",
        }
    ]


def test_an_empty_password_and_an_expired_user_are_found(auth: Path) -> None:
    empty = "$2y$04$abcdefghijklmnopqrstuuiSDj5mvUyC6cWSj33NFGkxVYNzhoBzS"
    auth.write_text(f"#regctl:expires b:2026-01-01\nb:{GOOD}\na:{empty}\n")
    found = run("-o", "name").stdout.split()
    assert "expired" in found
    assert hashes.verify("", empty) == ("empty-password" in found)


def test_a_missing_file_and_an_unknown_reader_are_errors(auth: Path) -> None:
    unknown = run("--for", "apache")
    assert unknown.exit_code == 2
    assert "error: no reader apache\nhint: the readers are distribution, " in unknown.stderr
    auth.unlink()
    assert "error: no auth file at auth" in run().stderr


def test_for_all_lists_the_readers() -> None:
    rows = [line.split("\t") for line in run("--for", "all").stdout.splitlines()]
    assert [row[0] for row in rows] == list(READERS)
    assert rows[1] == [
        "ingress-nginx",
        "bcrypt apr1 md5-crypt sha256-crypt sha512-crypt sha1 ssha plain des-crypt",
        "uses-first",
        "19",
        "Opaque, key auth",
    ]
    readers = json.loads(run("--for", "all", "-o", "json").stdout)["readers"]
    envoy = next(one for one in readers if one["name"] == "envoy-gateway")
    assert envoy["schemes"]["bcrypt"]["effect"] == "rejects-file"
    assert envoy["line_features"]["duplicate"]["effect"] == "rejects-file"
    assert envoy["secret"]["key"] == ".htpasswd"
    assert set(envoy) == {
        "name", "schemes", "line_features", "secret", "bcrypt_cost", "password_bytes",
    }  # fmt: skip


def test_wide_measures_the_cost_of_logins(auth: Path) -> None:
    auth.write_text(f"a:{HASH}\nb:{HASH}\n")
    _findings, _, costs = run("-o", "wide").stdout.partition("\n\n")
    heading, first, *_ = costs.splitlines()
    assert heading.split("  ")[0] == "COST"
    assert first.split()[0] == "4"
    assert first.split()[-1] == "2"


def test_the_cost_doubles_and_the_users_of_each_are_counted(auth: Path) -> None:
    auth.write_text(f"a:{HASH}\nb:{HASH}\n")
    document = json.loads(run("--layers", "10", "-o", "json").stdout)
    assert {one["rule"] for one in document["findings"]} == {"cost-low"}
    costs = {one["cost"]: one for one in document["costs"]}
    assert sorted(costs) == list(range(4, 18))
    assert costs[4]["users"] == 2
    assert costs[12]["check_ms"] == pytest.approx(4 * costs[10]["check_ms"], rel=0.01)
    assert costs[10]["pull_cpu_seconds"] == pytest.approx(
        14 * costs[10]["check_ms"] / 1000, rel=0.01
    )


# Repairs


def test_a_repair_lists_its_changes_and_asks(auth: Path) -> None:
    auth.write_text(f"a:{GOOD} \nb\n")
    before = auth.read_bytes()
    dry_run = run("--fix", "--dry-run")
    assert dry_run.stdout == (
        "1\ta\tremoved blanks at the ends\n2\t\tmade a comment: not NAME:HASH\n"
    )
    assert dry_run.stderr == "note: 2 repairs not written to auth (dry run)\n"
    asked = run("--fix")
    assert asked.exit_code == 1
    assert "error: not confirmed: write 2 repairs to auth?" in asked.stderr
    assert auth.read_bytes() == before
    done = run("--fix", "--yes", "--backup")
    assert (done.exit_code, done.stderr) == (0, "note: wrote 2 repairs to auth\n")
    assert auth.read_text() == f"a:{GOOD}\n# b\n"
    assert Path("auth.bak").read_bytes() == before
    assert run("--fix").stderr == "note: nothing to repair in auth\n"


def test_a_repair_keeps_the_line_that_the_reader_uses(auth: Path) -> None:
    auth.write_text(f"a:{HASH}\na:{GOOD}\n")
    assert run("--fix").stderr == "note: nothing to repair in auth\n"
    repairs = json.loads(run("--fix", "--for", "traefik", "--yes", "-o", "json").stdout)["repairs"]
    assert repairs == [{"line": 1, "user": "a", "change": "dropped: traefik uses line 2"}]
    assert HtpasswdFile.read(auth).hashes("a") == (GOOD,)


def test_a_repair_needs_one_reader_not_all() -> None:
    result = run("--fix", "--for", "all")
    assert result.exit_code == 2
    assert "error: no reader all" in result.stderr
