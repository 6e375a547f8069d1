"""The stand-in keeps objects as a real API server does: each test runs against both."""

import base64

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import SECRETS
from regctl.cluster.secret import Secret, get_secret
from regctl.errors import ConflictError, ObjectNotFoundError
from tests.conftest import Servers
from tests.servers.kubernetes import MERGE_PATCH, Api
from tests.servers.standin_api import standin_api

NAMESPACE = "stand-in"
PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/x"


@pytest.fixture(params=["real", "stand-in"], scope="module")
def api(
    request: pytest.FixtureRequest,
    serve_module: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Api:
    found: Api
    if request.param == "real":
        found = request.getfixturevalue("kubernetes")
    else:
        found = serve_module(standin_api(tmp_path_factory.mktemp("stand-in")))
    found.create_namespace(NAMESPACE)
    return found


@pytest.fixture
def cluster(api: Api) -> Cluster:
    cluster = Cluster(Kubeconfig({}, api.kubeconfig))
    cluster.delete(SECRETS, NAMESPACE, "x")
    return cluster


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def manifest(value: str, **metadata: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "x", "namespace": NAMESPACE, **metadata},
        "data": {"key": encoded(value)},
    }


def secret(cluster: Cluster) -> Secret:
    found = get_secret(cluster, NAMESPACE, "x")
    assert found is not None
    return found


def test_only_a_change_raises_the_version(cluster: Cluster) -> None:
    assert cluster.apply(SECRETS, manifest("1")).status == 201
    first = secret(cluster)
    assert cluster.apply(SECRETS, manifest("1")).status == 200
    assert secret(cluster) == first
    assert cluster.apply(SECRETS, manifest("2"), dry_run=True).status == 200
    assert secret(cluster) == first
    cluster.apply(SECRETS, manifest("2"))
    second = secret(cluster)
    assert second.data == {"key": b"2"}
    assert second.uid == first.uid
    assert second.resource_version != first.resource_version


def test_a_field_belongs_to_who_wrote_it_last(cluster: Cluster, api: Api) -> None:
    cluster.apply(SECRETS, manifest("1"))
    patch = {"data": {"key": encoded("2")}}
    status, _ = api.request(
        "PATCH", f"{PATH}?fieldManager=kubectl-edit", patch, content_type=MERGE_PATCH
    )
    assert status == 200
    assert [manager.name for manager in secret(cluster).ownership.data_managers] == ["kubectl-edit"]
    cluster.apply(SECRETS, manifest("3"), force=True)
    assert secret(cluster).data == {"key": b"3"}
    assert secret(cluster).ownership.data_managers == ()


def test_an_old_version_or_another_uid_is_a_conflict(cluster: Cluster) -> None:
    cluster.apply(SECRETS, manifest("1"))
    old = secret(cluster)
    cluster.apply(SECRETS, manifest("2"))
    with pytest.raises(ConflictError):
        cluster.apply(SECRETS, manifest("3", resourceVersion=old.resource_version))
    with pytest.raises(ConflictError):
        cluster.merge_patch(
            SECRETS, NAMESPACE, "x", {"metadata": {"resourceVersion": old.resource_version}}
        )
    with pytest.raises(ConflictError):
        cluster.delete(SECRETS, NAMESPACE, "x", uid="another")
    assert secret(cluster).data == {"key": b"2"}


def test_what_does_not_exist_is_not_found(cluster: Cluster) -> None:
    with pytest.raises(ObjectNotFoundError):
        cluster.merge_patch(SECRETS, NAMESPACE, "x", {"data": {}})
    assert get_secret(cluster, NAMESPACE, "x") is None
    assert not cluster.delete(SECRETS, NAMESPACE, "x")


def test_a_list_has_the_selected_objects(cluster: Cluster) -> None:
    cluster.apply(SECRETS, manifest("1"))
    cluster.apply(SECRETS, {**manifest("1", name="y"), "type": "example.com/y"})
    for selector, names in {
        None: ["x", "y"],
        "metadata.name=x": ["x"],
        "type=example.com/y": ["y"],
    }.items():
        found = cluster.list(SECRETS, namespace=NAMESPACE, field_selector=selector)
        assert sorted(item["metadata"]["name"] for item in found) == names
    cluster.delete(SECRETS, NAMESPACE, "y")


def test_a_post_creates_an_object_once(cluster: Cluster, api: Api) -> None:
    created = api.create_secret(NAMESPACE, manifest("1"))
    assert created["metadata"]["creationTimestamp"]
    status, answer = api.request("POST", PATH.removesuffix("/x"), manifest("1"))
    assert (status, answer["reason"]) == (409, "AlreadyExists")
    assert secret(cluster).data == {"key": b"1"}
