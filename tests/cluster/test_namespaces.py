"""The selection of namespaces."""

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.namespaces import Targets, require_namespace
from regctl.cluster.resource import NAMESPACES, Namespace
from regctl.errors import (
    InvalidNamespaceError,
    NamespaceMissingError,
    NotPermittedError,
)
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer, namespace: str) -> Cluster:
    """A cluster with three more namespaces: NS-a and NS-b are blue, NS-kube is red."""
    for suffix, team in (("a", "blue"), ("b", "blue"), ("kube", "red")):
        kubernetes.create_namespace(f"{namespace}-{suffix}", {"team": f"{team}-{namespace}"})
    return Cluster(Kubeconfig({}, kubernetes.kubeconfig))


def names(cluster: Cluster, targets: Targets) -> list[str]:
    return [space.name for space in targets.resolve(cluster)]


def test_named_namespaces_are_sorted_and_unique(cluster: Cluster) -> None:
    assert names(cluster, Targets(("b", "a", "b"))) == ["a", "b"]


def test_the_default_is_the_namespace_of_the_context(cluster: Cluster) -> None:
    assert names(cluster, Targets()) == ["default"]


def test_all_skips_system_namespaces_unless_named(cluster: Cluster) -> None:
    everywhere = names(cluster, Targets(everywhere=True))
    assert "default" in everywhere
    assert not [name for name in everywhere if name.startswith("kube-")]
    assert "kube-public" in names(cluster, Targets(("kube-public",), everywhere=True))


def test_a_selector_adds_namespaces_and_globs_exclude_some(
    cluster: Cluster, namespace: str
) -> None:
    blue = f"team=blue-{namespace}"
    assert names(cluster, Targets(selector=blue)) == [f"{namespace}-a", f"{namespace}-b"]
    assert names(cluster, Targets(("x",), selector=blue, exclude=("*-b",))) == [
        f"{namespace}-a",
        "x",
    ]


def test_a_selector_that_matches_nothing_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(NamespaceMissingError, match="team=none"):
        names(cluster, Targets(selector="team=none"))
    with pytest.raises(NamespaceMissingError):
        names(cluster, Targets(("a",), exclude=("*",)))


def test_a_listed_namespace_is_marked_as_terminating(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.terminate_namespace(f"{namespace}-a")
    found = Targets(selector=f"team=blue-{namespace}").resolve(cluster)
    assert [space.terminating for space in found] == [True, False]
    assert cluster.get(NAMESPACES, None, f"{namespace}-a") is not None


def test_a_user_who_may_not_list_gets_a_hint_to_name_them(kubernetes: ApiServer) -> None:
    alice = Cluster(Kubeconfig({}, kubernetes.kubeconfig_for("alice")))
    with pytest.raises(NotPermittedError) as caught:
        Targets(everywhere=True).resolve(alice)
    assert "--namespaces-from" in (caught.value.hint or "")
    assert names(alice, Targets(("a",))) == ["a"]


def test_without_the_cluster_only_named_namespaces_are_known() -> None:
    assert Targets(("b", "a", "c"), exclude=("c",)).known == (Namespace("a"), Namespace("b"))
    for targets in (Targets(), Targets(("a",), everywhere=True), Targets(selector="team=blue")):
        assert targets.known is None


def test_a_name_that_breaks_rfc_1123_is_refused() -> None:
    with pytest.raises(InvalidNamespaceError):
        Targets(("Team_A",))


def test_a_missing_namespace_is_an_error_that_begins_with_the_attempt(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    require_namespace(cluster, namespace, "cannot create it")
    with pytest.raises(NamespaceMissingError, match=r"^cannot create it: no such namespace$"):
        require_namespace(cluster, "nowhere", "cannot create it")
    # A user who may not read namespaces gets the error of the next request.
    alice = Cluster(Kubeconfig({}, kubernetes.kubeconfig_for("alice")))
    require_namespace(alice, "nowhere", "cannot create it")
