"""Changes that are carried out together or not at all."""

from pathlib import Path
from typing import Any

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import NAMESPACES
from regctl.errors import ForeignObjectError, NotPermittedError
from regctl.provisioning.objects import SERVICES
from regctl.provisioning.plan import Change, Plan, refusal
from tests.servers.kubernetes import ApiServer

METADATA = {"name": "foo", "namespace": "team", "uid": "1"}
MANAGED = {**METADATA, "labels": {"app.kubernetes.io/managed-by": "regctl"}}
FOREIGN = ForeignObjectError("no")


@pytest.fixture
def no_cluster(kubernetes: ApiServer, tmp_path: Path) -> Cluster:
    """Return a cluster that fails the test on any request."""

    def fail(_request: object) -> None:
        pytest.fail("a request was sent")

    return Cluster(Kubeconfig({"HOME": str(tmp_path)}, kubernetes.kubeconfig), on_request=fail)


def test_one_refused_change_prevents_all_others(no_cluster: Cluster) -> None:
    changes = (
        Change(SERVICES, "team", "foo", "create"),
        Change(SERVICES, "team", "bar", "refuse", error=FOREIGN),
    )
    outcomes = list(Plan(no_cluster, changes).run())
    assert [(outcome.subject, outcome.result) for outcome in outcomes] == [
        ("team/service/bar", "refused")
    ]


@pytest.mark.parametrize("creates_namespace", [False, True])
def test_one_rejected_change_prevents_all_others(
    cluster: Cluster, namespace: str, *, creates_namespace: bool
) -> None:
    """A user who may not read namespaces may apply one that exists."""

    def service(name: str, **port: Any) -> Change:
        metadata = {"name": name, "namespace": namespace}
        spec = {"ports": [{"protocol": "TCP", **port}], "selector": {"app": name}}
        manifest = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        return Change(SERVICES, namespace, name, "create", manifest=manifest)

    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    created = Change(NAMESPACES, None, namespace, "create", manifest=manifest)
    changes = (service("good", port=80), service("bad", port=0))
    outcomes = list(Plan(cluster, changes, created if creates_namespace else None).run())
    assert [(outcome.name, outcome.result) for outcome in outcomes[-1:]] == [("bad", "failed")]
    assert len(outcomes) == 1 + creates_namespace
    assert cluster.get(SERVICES, namespace, "good") is None


def test_a_client_dry_run_sends_no_request(no_cluster: Cluster) -> None:
    changes = (
        Change(SERVICES, "team", "foo", "create"),
        Change(SERVICES, "team", "bar", "delete", "no longer needed"),
        Change(SERVICES, "team", "baz", "keep"),
    )
    plan = Plan(no_cluster, changes, namespace=Change(NAMESPACES, None, "team", "create"))
    assert [(outcome.subject, outcome.result) for outcome in plan.run("client")] == [
        ("namespace/team", "created"),
        ("team/service/foo", "created"),
        ("team/service/bar", "deleted"),
        ("team/service/baz", "skipped"),
    ]


def test_a_namespace_that_cannot_be_created_ends_the_plan(no_cluster: Cluster) -> None:
    namespace = Change(NAMESPACES, None, "team", "create", error=NotPermittedError("no"))
    plan = Plan(no_cluster, (Change(SERVICES, "team", "foo", "create"),), namespace)
    assert [outcome.result for outcome in plan.run()] == ["failed"]


def test_objects_of_others_are_refused_unless_adopted() -> None:
    assert refusal(SERVICES, {"metadata": MANAGED}, adopt=False) is None
    assert refusal(SERVICES, {"metadata": METADATA}, adopt=True) is None
    error = refusal(SERVICES, {"metadata": METADATA}, adopt=False)
    assert error is not None
    assert error.message.startswith("cannot change service foo in namespace team")
    deletion = refusal(SERVICES, {"metadata": METADATA}, adopt=False, verb="delete")
    assert deletion is not None
    assert deletion.message.startswith("cannot delete service foo")
