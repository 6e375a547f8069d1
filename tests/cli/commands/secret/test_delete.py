"""`secret delete` on the real API server."""

import pytest

from tests.cli.commands.secret import KEY, as_user, create, refused, run
from tests.servers.kubernetes import ApiServer


def test_delete_asks_detaches_and_deletes(kubernetes: ApiServer, namespace: str) -> None:
    kubernetes.create_service_account(namespace, pull_secrets=["theirs"])
    assert create("-n", namespace, "--attach", "default").exit_code == 0
    command = ["secret", "delete", "registry.foo.com", "-n", namespace]
    asked = run(*command)
    refused(asked, 1, "not confirmed", "--yes", f"{namespace}/secret/registry.foo.com deleted")
    assert f"{namespace}/serviceaccount/default configured (no longer uses" in asked.stderr
    for flag, words in (("--dry-run", "dry run"), ("--dry-run=server", "server dry run")):
        dry = run(*command, flag)
        assert f"{namespace}/secret/registry.foo.com deleted ({words})" in dry.stdout
    assert kubernetes.secret(namespace, "registry.foo.com")
    done = run(*command, "--yes")
    assert done.stdout == (
        f"{namespace}/secret/registry.foo.com deleted\n"
        f"{namespace}/serviceaccount/default configured (no longer uses registry.foo.com)\n"
    )
    account = kubernetes.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    assert account["imagePullSecrets"] == [{"name": "theirs"}]
    again = run(*command, "--yes")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "cannot delete secret registry.foo.com: no selected namespace has it" in again.stderr


def test_delete_needs_adopt_for_a_secret_of_another_owner(
    kubernetes: ApiServer, namespace: str
) -> None:
    kind = {"metadata": {"name": "hand"}, "type": "kubernetes.io/dockerconfigjson"}
    kubernetes.create_secret(namespace, {**kind, "data": {KEY: "e30="}})
    command = ["secret", "delete", "hand", "-n", namespace, "--yes"]
    refused(run(*command), 1, "managed by Python-urllib, not by regctl", "--adopt")
    assert run(*command, "--adopt").stdout == f"{namespace}/secret/hand deleted\n"


@pytest.mark.parametrize("labels", [{}, {"app.kubernetes.io/managed-by": "regctl"}])
@pytest.mark.parametrize("options", [[], ["--adopt"]])
def test_only_pull_secrets_are_deleted(
    kubernetes: ApiServer, namespace: str, labels: dict[str, str], options: list[str]
) -> None:
    """Not the auth Secret, without which nobody can log in, and no other type."""
    kubernetes.create_service_account(namespace, pull_secrets=["users", "token"])
    kinds = {"users": ("Opaque", "auth"), "token": ("example.com/token", "token")}
    for name, (kind, key) in kinds.items():
        secret = {"metadata": {"name": name, "labels": labels}, "type": kind, "data": {key: "eA=="}}
        kubernetes.create_secret(namespace, secret)
        for flags in (["--yes"], ["--yes", "--dry-run=server"], []):
            result = run("secret", "delete", name, "-n", namespace, *flags, *options)
            refused(result, 1, f"its type is {kind}, so it is no pull secret")
            assert "--adopt" not in result.stderr
        assert kubernetes.secret(namespace, name)
    account = kubernetes.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    assert len(account["imagePullSecrets"]) == 2


@pytest.mark.parametrize("kind", ["dockerconfigjson", "dockercfg"])
def test_both_types_of_pull_secrets_are_deleted(
    kubernetes: ApiServer, namespace: str, kind: str
) -> None:
    secret = {"metadata": {"name": "hand"}, "type": f"kubernetes.io/{kind}"}
    kubernetes.create_secret(namespace, {**secret, "data": {f".{kind}": "e30="}})
    done = run("secret", "delete", "hand", "-n", namespace, "--yes", "--adopt")
    assert done.stdout == f"{namespace}/secret/hand deleted\n"


def test_a_secret_is_kept_if_it_cannot_be_detached(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubernetes.create_service_account(namespace)
    assert create("-n", namespace, "--attach", "default").exit_code == 0
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "delete"]}
    accounts = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "get"]}
    kubernetes.grant("bob", namespace, [secrets, accounts])
    as_user(kubernetes, "bob", monkeypatch)
    result = run("secret", "delete", "registry.foo.com", "-n", namespace, "--yes")
    assert result.exit_code != 0
    assert "forbidden" in result.stderr
    assert "was not deleted: service account default still uses it" in result.stderr
    assert kubernetes.secret(namespace, "registry.foo.com")


def test_the_accounts_keep_a_secret_that_cannot_be_deleted(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubernetes.create_service_account(namespace)
    assert create("-n", namespace, "--attach", "default").exit_code == 0
    rights = {"secrets": ["get"], "serviceaccounts": ["list", "get", "patch"]}
    rules = [
        {"apiGroups": [""], "resources": [resource], "verbs": verbs}
        for resource, verbs in rights.items()
    ]
    kubernetes.grant("bob", namespace, rules)
    as_user(kubernetes, "bob", monkeypatch)
    refused(run("secret", "delete", "registry.foo.com", "-n", namespace, "--yes"), 4, "forbidden")
    account = kubernetes.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    assert account["imagePullSecrets"] == [{"name": "registry.foo.com"}]
