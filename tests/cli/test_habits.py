"""What people type from habit: it works, or the hint is what to type."""

import json
from pathlib import Path

import click
import pytest

from regctl.cli.habits import COMMANDS, OPTIONS
from regctl.cli.main import main
from tests.cli import run, run_ok
from tests.servers.docker_registry import DockerRegistry


@pytest.mark.parametrize(
    ("line", "new"),
    [
        (["doctor", "--image", "r.io/app"], "regctl doctor IMAGE -n NS"),
        (["doctor", "--pod", "web"], "regctl doctor pod/NAME -n NS"),
        (["rbac", "--for", "secret list"], "regctl rbac COMMAND..."),
        (["rbac", "--user", "ci"], "--to user:NAME"),
        (["rbac", "--group", "ops"], "--to group:NAME"),
        (["rbac", "--account", "a/b"], "--to account:NS/NAME"),
        (["library", "apply", "team-a"], "regctl registry"),
        (["library", "render", "a"], "regctl registry apply --dry-run=client -o yaml"),
        (["registry", "apply", "--secret", "users"], "--auth-secret NS/NAME"),
        (["auth", "fix"], "regctl auth check --fix"),
        (["auth", "consumers"], "regctl auth check --for all"),
        (["auth", "cost"], "regctl auth check -o wide"),
        (["auth", "expire"], "regctl auth lock --expired"),
        (["users", "--wide"], "-o wide"),
        (["auth", "diff"], "regctl auth push --auth-secret NS/NAME --check"),
        (["auth", "push", "-n", "a"], "--auth-secret NS/NAME"),
        (["auth", "push", "--namespace", "a"], "--auth-secret NS/NAME"),
        (["auth", "push", "--secret", "users"], "--auth-secret NS/NAME"),
        (["auth", "pull", "-n", "a"], "--auth-secret NS/NAME"),
        (["auth", "pull", "--namespace", "a"], "--auth-secret NS/NAME"),
        (["auth", "pull", "--secret", "users"], "--auth-secret NS/NAME"),
        (["rbac", "--service-account", "default"], "--attach NAME"),
        (["secret", "diff"], "regctl secret create --check"),
        (["secret", "check", "--image", "r.io/app"], "regctl doctor IMAGE -n NS"),
        (
            ["secret", "check", "--service-account", "x"],
            "regctl doctor IMAGE -n NS --service-account NAME",
        ),
        (["secret", "create", "--service-account", "default"], "--attach NAME"),
        (["secret", "create", "--all-service-accounts"], "--attach all"),
    ],
)
def test_an_old_name_is_a_usage_error_that_names_the_new_one(line: list[str], new: str) -> None:
    result = run(*line)
    assert result.exit_code == 2
    assert f"`{new}`" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("push app.tar a.io/app", "you may want `regctl image push`"),
        ("pull a.io/app", "you may want `regctl doctor IMAGE -n NS`"),
        ("inspect a.io/app", "you may want `regctl image inspect`"),
        ("lock alice", "you may want `regctl auth lock`"),
        ("passwd alice", "you may want `regctl adduser`"),
        ("user add alice", "you may want `regctl adduser`"),
        ("user rm alice", "you may want `regctl deluser`"),
        ("status", "you may want `regctl doctor`"),
        ("ls", "you may want `regctl catalog`"),
        ("adduser -D alice", "you may want `regctl deluser NAME`"),
        ("adduser -cB alice", "`regctl adduser NAME` creates the file if it does not exist"),
        ("adduser -nbB alice secret", "you may want `regctl adduser NAME -f -`"),
        ("users --watch", "`watch regctl users` repeats it"),
        ("catalog -w", "`watch regctl catalog` repeats it"),
        ("deluser alice --wait 5s -y", "`regctl deluser --help` shows the usage"),
        ("secret create --dry-run client", "`regctl secret create --help` shows the usage"),
    ],
)
def test_a_hint_names_the_command(line: str, hint: str, tmp_path: Path) -> None:
    result = run(*line.split())
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"hint: {hint}"
    assert not (tmp_path / "auth").exists()


def test_every_command_that_a_hint_names_exists() -> None:
    named = (one for one in (*COMMANDS.values(), *OPTIONS.values()) if "`" not in one)
    for words in map(str.split, named):
        command: click.Command = main
        while words and isinstance(command, click.Group):
            command = command.commands[words.pop(0)]


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("version", "--version"),
        ("help", "--help"),
        ("help secret create", "secret create --help"),
        ("secret ls --help", "secret list --help"),
        ("secret get --help", "secret list --help"),
        ("secret rm --help", "secret delete --help"),
        ("registry ls --help", "registry list --help"),
        ("image rm --help", "image delete --help"),
        ("-o json users", "users -o json"),
        ("-ojson -v users", "users -v -o json"),
        ("--output=name -f auth users", "users -f auth -o name"),
        ("-q adduser -B -b -C 4 alice wonderland", "adduser alice wonderland -q --cost 4"),
        ("-A -n default rbac secret list", "rbac secret list -A -n default"),
    ],
)
def test_a_habit_works_as_the_plain_line_does(
    typed: str, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_ok("adduser", "alice", "wonderland", "--cost", "4")
    expected, result = run(*plain.split()), run(*typed.split())
    assert result.output == expected.output
    assert result.exit_code == expected.exit_code


def test_secret_get_with_a_name_shows_one() -> None:
    assert (
        run("secret", "get", "team-a/one", "--help").output
        == run(*["secret", "show", "team-a/one", "--help"]).output
    )


def test_the_password_of_htpasswd_i_is_read_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    run_ok("adduser", "-i", "-C", "4", "alice", "-f", file, stdin="wonderland\n")
    run_ok("verify", "alice", "wonderland", "-f", file)


def test_adduser_writes_a_file_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = run_ok("adduser", "-C", "4", "alice", "wonderland", "-f", "-", stdin="").stdout
    assert first.startswith("alice:$2y$04$")
    assert first.count("\n") == 1
    both = run_ok("adduser", "-C", "4", "bob", "looking-glass", "-f", "-", stdin=first).stdout
    assert both.startswith(first)
    assert both.splitlines()[1].startswith("bob:$2y$04$")
    for flag in ("--generate", "--password-stdin", "-i"):
        assert run("adduser", "bob", "-f", "-", flag, stdin=first).exit_code == 2
    for other in ("users", "deluser alice -y", "auth write", "auth lock alice"):
        result = run(*other.split(), "-f", "-", stdin=first)
        assert result.exit_code == 2
        assert "the auth file cannot be standard input" in result.stderr
    assert not (tmp_path / "-").exists()


def test_a_line_of_kubectl_works_without_its_program() -> None:
    flags = "--docker-server=a.io --docker-username=ci --docker-password=wonderland -n team-a"
    line = f"secret create docker-registry regcred {flags} --dry-run=client -o json"
    secret = json.loads(run_ok(*line.split()).stdout)
    assert secret["metadata"]["name"] == "regcred"
    result = run(*f"secret create docker-registry {flags} --dry-run=client".split())
    assert result.exit_code == 2
    assert "docker-registry is kubectl's word" in result.stderr
    assert run(*f"secret create one two {flags}".split()).exit_code == 2


def test_http_in_a_pasted_address_means_plain_http(registry: DockerRegistry) -> None:
    registry.push_image("typed/app", "1.0")
    address = f"http://{registry.host}"
    for line in (
        f"login {address} -u ci -p right",
        f"ping {address}",
        f"catalog {address}",
        f"tags {address}/typed/app",
        f"image inspect {address}/typed/app:1.0",
        f"image tag {address}/typed/app:1.0 {registry.host}/typed/app:prod",
        f"doctor {address}/typed/app:prod",
    ):
        result = run(*line.split())
        assert result.stderr.count("without TLS, as http:// says") == 1
        assert "speaks HTTP" not in result.stderr
    result = run("image", "tag", f"{address}/typed/app:1.0", f"{registry.host}/other:prod")
    assert result.exit_code == 2
    assert "a tag stays in its repository" in result.stderr
