"""`registry apply --network-policy`: who reaches the registry inside the cluster."""

from pathlib import Path
from typing import Any

from tests.cli.commands.registry.registries import (
    HOST,
    MANAGED,
    NGINX,
    applied,
    apply,
    live,
    refused,
    run,
    with_users,
)
from tests.conftest import Servers
from tests.servers.kubernetes import ApiServer
from tests.servers.standin_api import standin_api

LABEL = "kubernetes.io/metadata.name"


def labeled(kubernetes: ApiServer, name: str) -> str:
    """Create a namespace with the label that Kubernetes 1.21 and later add."""
    return kubernetes.create_namespace(name, {LABEL: name})


def policy(kubernetes: ApiServer, namespace: str) -> dict[str, Any]:
    return live(kubernetes, namespace, "networkpolicies")


def test_only_the_named_namespaces_are_admitted(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    spaces = [labeled(kubernetes, f"{namespace}-{name}") for name in ("ingress", "ci")]
    assert not any("networkpolicy" in line for line in applied(namespace, *NGINX))
    flags = [*NGINX, "--network-policy", ",".join(spaces)]
    assert "networkpolicy/foo created" in applied(namespace, *flags)
    spec = policy(kubernetes, namespace)["spec"]
    selected = spec["podSelector"]["matchLabels"].items()
    deployment = live(kubernetes, namespace, "deployments")["spec"]
    assert selected <= deployment["template"]["metadata"]["labels"].items()
    assert selected <= deployment["selector"]["matchLabels"].items()
    assert spec["policyTypes"] == ["Ingress"]
    [rule] = spec["ingress"]
    [port] = rule["ports"]
    assert (port["protocol"], port["port"]) == ("TCP", 5000)
    [source] = rule["from"]
    assert source == {
        "namespaceSelector": {
            "matchExpressions": [{"key": LABEL, "operator": "In", "values": spaces}]
        }
    }
    assert {line.split()[1] for line in applied(namespace, *flags)} == {"unchanged"}
    each = ["--network-policy", spaces[0], "--network-policy", spaces[1]]
    assert {line.split()[1] for line in applied(namespace, *NGINX, *each)} == {"unchanged"}


def test_without_the_option_or_the_registry_the_policy_is_deleted(
    kubernetes: ApiServer, namespace: str
) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    flags = [*NGINX, "--network-policy", namespace]
    applied(namespace, *flags)
    assert "networkpolicy/foo deleted (no longer needed)" in applied(namespace, *NGINX)
    assert policy(kubernetes, namespace)["reason"] == "NotFound"
    applied(namespace, *flags)
    deleted = run("delete", "foo", "-n", namespace, "--yes")
    assert f"{namespace}/networkpolicy/foo deleted" in deleted.stdout
    assert policy(kubernetes, namespace)["reason"] == "NotFound"


def test_a_policy_that_would_admit_nobody_is_refused(
    kubernetes: ApiServer, namespace: str, serve: Servers, tmp_path: Path
) -> None:
    nowhere = f"{namespace}-nowhere"
    missing = apply(namespace, *NGINX, "--network-policy", nowhere)
    refused(missing, 1, nowhere, "no such namespace")
    assert live(kubernetes, namespace, "services")["reason"] == "NotFound"
    refused(apply(namespace, *NGINX, "--network-policy", "Bad_Name"), 2, "not a namespace")
    # A cluster that does not label namespaces, as before Kubernetes 1.21.
    old = serve(standin_api(tmp_path))
    for name in ("team", "ingress"):
        old.create_namespace(name)
    flags = ["--host", HOST, *NGINX, "--network-policy", "ingress"]
    unlabeled = run("apply", "foo", "-n", "team", *flags, "--kubeconfig", str(old.kubeconfig))
    label = f"{LABEL}=ingress"
    refused(unlabeled, 1, f"has no label {label}", f"`kubectl label namespace ingress {label}`")
