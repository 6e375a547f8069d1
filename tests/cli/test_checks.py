"""The exit code of `--check`: 1 for a difference, else 3 for what cannot be seen, else 0."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from regctl.authfile import hashes
from regctl.cli.main import main
from tests.cli import run
from tests.servers.kubernetes import ApiServer
from tests.servers.process import free_port

SYNC = """
name: tests
secrets:
  - registries:
      - server: registry.foo.com
        credential:
          file: {{username: ci, path: password}}
    targets:
      namespaces: [{namespace}]
"""
CREATE = ["--server", "registry.foo.com", "--username", "ci", "--password-file", "password"]
# How each command is run where it cannot see what it asks for: as a user without rights, with a
# folder for the auth file, and at a port where nothing listens.
UNSEEN = {
    "auth push": ["--auth-secret", "{namespace}/users", "-f", "auth"],
    "auth pull": ["--auth-secret", "{namespace}/users", "-f", "auth"],
    "auth write": ["list", "-f", "folder"],
    "secret create": [*CREATE, "-n", "{namespace}"],
    "secret sync": ["sync.yaml"],
    "registry apply": ["r", "--host", "foo.com", "--tls-secret", "tls", "-n", "{namespace}"],
    "image prune": ["127.0.0.1:{port}/team/app", "--keep-last", "1", "--plain-http"],
}


def with_check(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the commands that have --check; that of rbac is the flag of another command."""
    for name in group.commands:
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from with_check(command, (*words, name))
        elif name != "rbac" and any("--check" in param.opts for param in command.params):
            yield " ".join((*words, name))


def test_every_command_with_check_is_tried() -> None:
    assert set(with_check(main)) == UNSEEN.keys()


@pytest.fixture
def blind(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A namespace that the user may not read, and files to run the commands with."""
    monkeypatch.chdir(tmp_path)
    Path("auth").write_text(f"alice:{hashes.make('secret', cost=4)}\n")
    Path("list").write_text("alice:secret\n")
    Path("password").write_text("secret\n")
    Path("sync.yaml").write_text(SYNC.format(namespace=namespace))
    Path("folder").mkdir()
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("carol")))
    return namespace


@pytest.mark.parametrize("command", UNSEEN)
def test_what_cannot_be_seen_is_3(blind: str, command: str) -> None:
    values = {"namespace": blind, "port": str(free_port())}
    args = [arg.format_map(values) for arg in UNSEEN[command]]
    result = run(*command.split(), *args, "--check")
    assert result.exit_code == 3, result.output
    as_json = run(*command.split(), *args, "--check", "-o", "json")
    assert as_json.exit_code == 3
    json.loads(as_json.stdout)


def test_an_api_server_that_does_not_answer_is_3(
    blind: str, kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    text = kubernetes.kubeconfig.read_text()
    config.write_text(text.replace(kubernetes.url, f"https://127.0.0.1:{free_port()}"))
    monkeypatch.setenv("KUBECONFIG", str(config))
    result = run("secret", "create", *CREATE, "-n", blind, "--check", "--timeout", "1s")
    assert result.exit_code == 3, result.output


def test_a_difference_is_1_also_if_something_cannot_be_seen(
    blind: str, kubernetes: ApiServer
) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets", "namespaces"], "verbs": ["get"]}
    kubernetes.grant("carol", blind, [rule])
    result = run("secret", "create", *CREATE, "-n", f"{blind},default", "--check")
    assert result.exit_code == 1, result.output
    assert "error: cannot read secret registry.foo.com in namespace default" in result.stderr


def test_a_wrong_command_line_is_2(blind: str) -> None:
    assert run("secret", "create", *CREATE, "-n", blind, "--check", "--nonsense").exit_code == 2
    assert run("auth", "push", "--for", "nobody", "--check").exit_code == 2
