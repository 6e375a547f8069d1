"""`regctl rbac`: the Role that it prints is enough, and no more than that."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from regctl import hashes
from regctl.cli import main
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args, prog_name="regctl")


def grant(kubernetes: ApiServer, *args: str) -> None:
    """Create what `regctl rbac` prints."""
    result = run("rbac", *args)
    assert result.exit_code == 0, result.stderr
    for manifest in yaml.safe_load_all(result.stdout):
        space = manifest["metadata"].get("namespace")
        where = f"/namespaces/{space}" if space else ""
        plural = manifest["kind"].lower() + "s"
        path = f"/apis/rbac.authorization.k8s.io/v1{where}/{plural}"
        status, answer = kubernetes.request("POST", path, manifest)
        assert status == 201, answer


@pytest.fixture(autouse=True)
def carol(kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody without any right, in a namespace with an account."""
    kubernetes.create_service_account(namespace)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("carol")))
    monkeypatch.setenv("REGCTL_REGISTRY", "r.io")
    monkeypatch.setenv("REGCTL_USERNAME", "alice")
    monkeypatch.setenv("REGCTL_PASSWORD", "secret")


def test_what_it_prints_for_create_is_enough_for_create_and_for_no_other_name(
    kubernetes: ApiServer, namespace: str
) -> None:
    flags = ["-n", namespace, "--service-account", "default"]
    assert run("secret", "create", *flags).exit_code == 4
    grant(kubernetes, "create", "r.io", *flags, "--user", "carol")
    assert run("secret", "create", *flags).exit_code == 0
    assert run("secret", "diff", *flags).exit_code == 0
    assert run("secret", "create", *flags, "--username", "bob").exit_code == 0
    assert run("secret", "create", "another", *flags).exit_code == 4
    assert run("secret", "delete", "r.io", "-n", namespace, "--yes").exit_code != 0


def test_what_it_prints_for_delete_and_list_is_enough(
    kubernetes: ApiServer, namespace: str
) -> None:
    flags = ["-n", namespace]
    grant(kubernetes, "create", "r.io", *flags, "--user", "carol")
    assert run("secret", "create", *flags).exit_code == 0
    assert run("secret", "list", *flags).exit_code == 4
    grant(kubernetes, "list", *flags, "--user", "carol")
    assert run("secret", "list", *flags).stdout.startswith(f"{namespace}\tr.io\t")
    grant(kubernetes, "delete", "r.io", *flags, "--user", "carol")
    assert run("secret", "delete", "r.io", *flags, "--yes").exit_code == 0


def test_it_binds_users_groups_and_accounts_one_at_a_time() -> None:
    [role, binding] = yaml.safe_load_all(run("rbac", "sync", "--for-account", "a/b").stdout)
    assert role["kind"] == "ClusterRole"
    subject = {"kind": "ServiceAccount", "name": "b", "namespace": "a"}
    assert binding["subjects"] == [subject]
    [_, binding] = yaml.safe_load_all(run("rbac", "list", "--group", "ops").stdout)
    assert binding["subjects"][0]["kind"] == "Group"
    assert run("rbac", "list", "--group", "x", "--user", "y").exit_code == 2
    assert run("rbac", "list", "--for-account", "b").exit_code == 2
    assert run("rbac", "list", "-n", "Bad_Name").exit_code == 2


def rules_of(need: str, name: str | None, namespace: str) -> list[dict[str, Any]]:
    """The rules of the Role, each with one verb only."""
    named = [name] if name else []
    (role,) = yaml.safe_load_all(run("rbac", need, *named, "-n", namespace).stdout)
    return [{**rule, "verbs": [verb]} for rule in role["rules"] for verb in rule["verbs"]]


NEEDS = {
    "push": ["auth", "push", "--secret", "users", "--yes"],
    "pull": ["auth", "pull", "--secret", "users", "--yes"],
    "rotate": ["rotate", "alice", "--plain-http", "--grace", "0", "--wait", "0"],
}


@pytest.fixture
def at_work(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registry whose users are in a file and in the Secret `users`, and who pulls with one."""
    monkeypatch.delenv("REGCTL_USERNAME")
    monkeypatch.delenv("REGCTL_PASSWORD")
    auth = tmp_path / "auth"
    auth.write_text(f"alice:{hashes.make('secret', cost=4)}\n")
    monkeypatch.setenv("REGCTL_AUTH_FILE", str(auth))
    host = serve(docker_registry(tmp_path / "registry", auth_file=auth)).host
    monkeypatch.setenv("REGCTL_REGISTRY", host)
    admin = ["--kubeconfig", str(kubernetes.kubeconfig), "-n", namespace]
    assert run("auth", "push", "--secret", "users", "--yes", *admin).exit_code == 0
    create = ["secret", "create", "regcred", "--username", "alice", "--password-stdin", *admin]
    assert CliRunner().invoke(main, create, input="secret").exit_code == 0


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("need", NEEDS)
def test_each_right_is_needed_and_all_are_enough(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch, need: str
) -> None:
    """With one right less the command is not permitted what it wants; with all of them it is."""
    name = None if need == "rotate" else "users"
    rules = rules_of(need, name, namespace)
    if need == "push":
        kubernetes.request("DELETE", f"/api/v1/namespaces/{namespace}/secrets/users")
    for missing in range(len(rules)):
        user = f"clerk-{missing}"
        kubernetes.grant(user, namespace, [r for i, r in enumerate(rules) if i != missing])
        monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for(user)))
        told = run(*NEEDS[need], "-n", namespace)
        assert told.exit_code in {3, 4}, (rules[missing], told.stdout, told.stderr)
        assert "forbidden" in told.stderr
    user = f"clerk-{len(rules)}"
    kubernetes.grant(user, namespace, rules)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for(user)))
    told = run(*NEEDS[need], "-n", namespace)
    assert told.exit_code == 0, told.stderr
