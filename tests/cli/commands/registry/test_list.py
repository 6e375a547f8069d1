"""`regctl registry list` on the real API server."""

import base64
import json

import pytest

from tests.cli.commands.registry.registries import (
    HOST,
    MANAGED,
    NGINX,
    applied,
    refused,
    run,
    single_rules,
    with_users,
)
from tests.servers.kubernetes import ApiServer


def test_a_registry_is_listed_with_users_and_pull_secrets(
    kubernetes: ApiServer, namespace: str
) -> None:
    host = f"{namespace}.foo.com"
    with_users(kubernetes, namespace, "alice", "bob", **MANAGED)
    applied(namespace, *NGINX, "--host", host)
    for name, server in (("a", host), ("b", f"{host}/team"), ("c", f"x.{host}")):
        auths = json.dumps({"auths": {server: {"username": "alice", "password": "x"}}})
        data = {".dockerconfigjson": base64.b64encode(auths.encode()).decode()}
        secret = {"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson"}
        kubernetes.create_secret(namespace, {**secret, "data": data})
    line = f"{namespace}\tfoo\t{host}\t0/1\t2\t2\n"
    assert run("list", "-n", namespace).stdout == line
    assert line in run("list", "-A").stdout
    wide = run("list", "-n", namespace, "-o", "wide").stdout.split()
    assert wide[-4:] == ["ingress", "registry:3", "alice,bob", f"{namespace}/a,{namespace}/b"]
    [record] = json.loads(run("list", "-n", namespace, "-o", "json").stdout)["registries"]
    assert record["users"] == ["alice", "bob"]
    assert record["pull_secrets"] == [f"{namespace}/a", f"{namespace}/b"]
    assert run("list", "-n", namespace, "-o", "name").stdout == f"{namespace}/registry/foo\n"


def test_users_that_cannot_be_read_are_not_counted(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(namespace, *NGINX)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    refused(run("list", "-n", namespace), 4, "forbidden")
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}
    kubernetes.grant("bob", namespace, [rule])
    assert run("list", "-n", namespace).stdout == f"{namespace}\tfoo\t{HOST}\t0/1\t?\t?\n"
    assert run("list", "-n", f"{namespace},default").exit_code == 3


def test_an_empty_list_is_not_an_error(namespace: str) -> None:
    result = run("list", "-n", namespace)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no registries found" in result.stderr


def test_the_rights_to_list_are_sufficient(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX)
    kubernetes.grant("bob", namespace, single_rules("registry list", namespace))
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    assert run("list", "-n", namespace).stdout == f"{namespace}\tfoo\t{HOST}\t0/1\t1\t?\n"
