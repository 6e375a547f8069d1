"""`regctl rbac`: the Role that it prints is enough, and no more than that."""

import pytest
import yaml
from click.testing import CliRunner, Result

from regctl.cli import main
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
