"""Deleting what is not there: exit code 1, and 0 with --ignore-not-found."""

import json
from pathlib import Path

import pytest

from tests.cli import run
from tests.servers.docker_registry import DockerRegistry
from tests.servers.kubernetes import ApiServer

Lines = dict[str, list[str]]


@pytest.fixture
def lines(
    kubernetes: ApiServer,
    namespace: str,
    registry: DockerRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Lines:
    """Return a command line for each noun that deletes something that does not exist."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    (tmp_path / "auth").write_text("alice:$2y$04$x\n")
    registry.push_image("missing/app", "1.0")
    return {
        "user": ["deluser", "bob", "-f", str(tmp_path / "auth")],
        "secret": ["secret", "delete", "none", "-n", namespace],
        "secrets": ["secret", "delete", "none", "-A"],
        "registry": ["registry", "delete", "none", "-n", namespace],
        "namespace": ["registry", "delete", "none", "-n", "no-such-namespace"],
        "tag": ["image", "delete", f"{registry.host}/missing/app:2.0", "--plain-http"],
        "repository": ["image", "delete", f"{registry.host}/missing/no:1", "--plain-http"],
    }


NOUNS = ["user", "secret", "secrets", "registry", "namespace", "tag", "repository"]


@pytest.mark.parametrize("noun", NOUNS)
def test_it_is_a_failure(lines: Lines, noun: str) -> None:
    result = run(*lines[noun], "--yes")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("noun", NOUNS)
def test_it_can_be_ignored(lines: Lines, noun: str) -> None:
    result = run(*lines[noun], "--yes", "--ignore-not-found", "-o", "json")
    assert result.exit_code == 0
    assert "error" not in result.stderr
    assert json.loads(result.stdout) == {"results": []}


def test_a_namespace_that_was_named_and_lacks_the_secret_is_a_failure_beside_others(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    other = f"{namespace}-other"
    kubernetes.create_namespace(other)
    created = ["--server", "a.io", "-u", "ci", "--password-stdin", "--no-verify"]
    assert run("secret", "create", "some", *created, "-n", namespace, stdin="x").exit_code == 0
    line = ["secret", "delete", "some", "-n", f"{namespace},{other}", "--yes"]
    result = run(*line, "--dry-run")
    assert result.exit_code == 3
    assert f"there is no secret some in namespace {other}" in result.stderr
    result = run(*line, "--ignore-not-found")
    assert result.exit_code == 0
    assert result.stdout == f"{namespace}/secret/some deleted\n"
