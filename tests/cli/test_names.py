"""What `-o name` prints is what other commands take."""

from pathlib import Path

import pytest

from tests.cli import run, run_ok
from tests.servers.docker_registry import DockerRegistry
from tests.servers.kubernetes import ApiServer


def test_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    added = [
        run_ok("adduser", name, "--password-stdin", "--cost", "4", "-o", "name", stdin="x").stdout
        for name in ("alice", "bob")
    ]
    locked = run_ok("auth", "lock", *"".join(added).split(), "-o", "name").stdout
    assert run_ok("users", "-o", "name").stdout == locked == "alice\nbob\n"
    different = run("auth", "write", "--check", "--cost", "4", "-o", "name", stdin="alice:y\n")
    assert (different.exit_code, different.stdout) == (1, "alice\n")
    assert run_ok("deluser", *locked.split(), "--yes", "-o", "name").stdout == locked


def test_pull_secrets(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    create = ["secret", "create", "regcred", "--server", "registry.foo.com", "--username", "ci"]
    flags = ["-n", namespace, "--password-stdin", "--no-verify", "-o", "name"]
    created = run_ok(*create, *flags, stdin="secret").stdout
    listed = run_ok("secret", "list", "-n", namespace, "-o", "name").stdout
    checked = run_ok("secret", "check", "-n", namespace, "--offline", "-o", "name").stdout
    assert created == listed == checked
    name = listed.strip()
    assert run_ok("secret", "list", name, "-o", "name").stdout == listed
    assert run_ok("secret", "check", name, "--offline", "-o", "name").stdout == listed
    assert run_ok("secret", "show", name, "-o", "name").stdout == "registry.foo.com\n"
    other = run("secret", "delete", name, "-A", "--yes")
    assert other.exit_code == 2
    assert f"{name} is in namespace {namespace}" in other.stderr
    assert run_ok("secret", "delete", name, "--yes", "-o", "name").stdout == listed


def test_auth_secrets(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    run_ok("adduser", "alice", "--password-stdin", "--cost", "4", stdin="secret")
    pushed = run_ok("auth", "push", "--auth-secret", f"{namespace}/users", "-o", "name").stdout
    file = run_ok("auth", "pull", "--auth-secret", pushed.strip(), "-o", "name").stdout
    assert run_ok("users", "-f", file.strip(), "-o", "name").stdout == "alice\n"


def test_registries(kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    run_ok(
        *("registry", "apply", "foo", "--host", "registry.foo.com", "--tls-secret", "tls"),
        *("-n", namespace, "--user", "ci", "--password-stdin"),
        stdin="secret",
    )
    listed = run_ok("registry", "list", "-n", namespace, "-o", "name").stdout
    assert listed == f"{namespace}/registry/foo\n"
    run_ok("registry", "delete", listed.strip(), "--yes")
    assert run_ok("registry", "list", "-n", namespace, "-o", "name").stdout == ""


def test_images(registry: DockerRegistry) -> None:
    registry.push_image("team/app", "1")
    image = f"{registry.host}/team/app"
    moved = run_ok("image", "tag", f"{image}:1", "new", "--plain-http", "-o", "name").stdout
    assert moved == f"{image}:new\n"
    run_ok("image", "inspect", moved.strip(), "--plain-http")
