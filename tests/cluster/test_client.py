"""The client of the API server: objects, lists, deletion, and servers that do not answer."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import (
    NAMESPACES,
    SECRETS,
)
from regctl.errors import (
    ClusterUnreachableError,
    ConflictError,
)
from tests.cluster import EMPTY, connect, manifest, refused
from tests.servers.kubernetes import ApiServer, token_of

if TYPE_CHECKING:
    from regctl.retry import RequestTrace


def test_apply_creates_an_object_once(cluster: Cluster, namespace: str) -> None:
    first = cluster.apply(SECRETS, manifest(namespace))
    second = cluster.apply(SECRETS, manifest(namespace))
    assert (first.status, second.status) == (201, 200)
    assert "data" not in second.body
    version = first.body["metadata"]["resourceVersion"]
    assert second.body["metadata"]["resourceVersion"] == version
    found = cluster.get(SECRETS, namespace, "pull")
    assert found is not None
    assert found["metadata"]["managedFields"][0]["manager"] == "regctl"
    assert found["metadata"]["managedFields"][0]["operation"] == "Apply"


def test_a_server_side_dry_run_changes_nothing(cluster: Cluster, namespace: str) -> None:
    assert cluster.apply(SECRETS, manifest(namespace), dry_run=True).status == 201
    assert cluster.get(SECRETS, namespace, "pull") is None
    version = cluster.apply(SECRETS, manifest(namespace)).body["metadata"]["resourceVersion"]
    cluster.merge_patch(SECRETS, namespace, "pull", {"data": {"new": "eA=="}}, dry_run=True)
    assert cluster.delete(SECRETS, namespace, "pull", dry_run=True) is True
    found = cluster.get(SECRETS, namespace, "pull")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == version


def test_get_returns_none_and_delete_false_for_a_missing_object(
    cluster: Cluster, namespace: str
) -> None:
    assert cluster.get(SECRETS, namespace, "none") is None
    assert cluster.delete(SECRETS, namespace, "none") is False


def test_a_list_has_all_pages(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regctl.cluster.client.PAGE_SIZE", 2)
    for number in range(5):
        cluster.apply(SECRETS, manifest(namespace, f"pull-{number}"))
    found = [item["metadata"]["name"] for item in cluster.list(SECRETS, namespace=namespace)]
    assert found == [f"pull-{number}" for number in range(5)]


def test_namespaces_are_listed_by_label_and_terminating_ones_are_marked(
    cluster: Cluster, kubernetes: ApiServer
) -> None:
    kubernetes.create_namespace("labelled-a", {"team": "blue"})
    kubernetes.create_namespace("labelled-b", {"team": "blue"})
    kubernetes.terminate_namespace("labelled-b")
    found = {space.name: space.terminating for space in cluster.namespaces("team=blue")}
    assert found == {"labelled-a": False, "labelled-b": True}


def test_delete_by_uid_keeps_a_recreated_object(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    refused(ConflictError, lambda: cluster.delete(SECRETS, namespace, "pull", uid="another"))
    assert cluster.get(SECRETS, namespace, "pull") is not None
    assert cluster.delete(SECRETS, namespace, "pull") is True


def test_each_request_is_reported_without_headers_and_bodies(
    kubernetes: ApiServer, namespace: str
) -> None:
    seen: list[RequestTrace] = []
    cluster = connect(kubernetes, on_request=seen.append)
    cluster.apply(SECRETS, manifest(namespace))
    assert [(trace.method, trace.status) for trace in seen] == [("PATCH", 201)]
    assert token_of("admin") not in repr(seen)
    assert EMPTY not in repr(seen)
    assert token_of("admin") not in repr(cluster)


def test_a_name_with_a_slash_is_quoted(cluster: Cluster, namespace: str) -> None:
    """A name is quoted, and can't reach another resource."""
    assert cluster.get(NAMESPACES, None, namespace) is not None
    assert cluster.get(SECRETS, namespace, f"../../{namespace}") is None


def test_a_stopped_server_is_unreachable(kubernetes: ApiServer, tmp_path: Path) -> None:
    document = json.loads(kubernetes.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(document))
    cluster = Cluster(Kubeconfig({}, tmp_path / "config"), timeout=0.05)
    error = refused(ClusterUnreachableError, lambda: cluster.get(SECRETS, "default", "x"))
    assert "https://127.0.0.1:1" in error.message
    assert "refused" in error.message


def test_an_untrusted_certificate_is_an_error_without_retries(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    document = json.loads(kubernetes.kubeconfig.read_text())
    del document["clusters"][0]["cluster"]["certificate-authority"]
    (tmp_path / "config").write_text(json.dumps(document))
    cluster = Cluster(Kubeconfig({}, tmp_path / "config"))
    error = refused(ClusterUnreachableError, lambda: cluster.get(SECRETS, "default", "x"))
    assert "certificate" in error.message
    assert "certificate-authority" in (error.hint or "")


# Conflicts


def test_a_conflict_is_retried_with_a_new_plan(kubernetes: ApiServer) -> None:
    cluster = connect(kubernetes)
    cluster.sleep = lambda _: None
    replanned = iter(range(1, 10))

    def change(planned: int) -> str:
        if planned < 3:
            raise ConflictError(f"conflict {planned}")
        return f"done with {planned}"

    assert cluster.retry_on_conflict(change, 0, lambda: next(replanned)) == "done with 3"


def test_a_conflict_that_stays_is_raised(kubernetes: ApiServer) -> None:
    cluster = connect(kubernetes)
    slept: list[float] = []
    cluster.sleep = slept.append

    def change(_planned: object) -> None:
        raise ConflictError("conflict")

    with pytest.raises(ConflictError):
        cluster.retry_on_conflict(change, None, lambda: None)
    assert len(slept) == 39
    cluster.sleep = None
    cluster.stop()
    with pytest.raises(ConflictError):
        cluster.retry_on_conflict(change, None, lambda: None)
