"""Which namespaces are meant."""

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.resource import NAMESPACES
from regctl.errors import (
    InvalidInputError,
    InvalidNamespaceError,
    NamespaceMissingError,
    NotPermittedError,
)
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer, namespace: str) -> Cluster:
    """A cluster with three namespaces of our own: NS-a and NS-b are blue, NS-kube is not."""
    for suffix, team in (("a", "blue"), ("b", "blue"), ("kube", "red")):
        kubernetes.create_namespace(f"{namespace}-{suffix}", {"team": f"{team}-{namespace}"})
    return Cluster.from_environment({}, kubeconfig=kubernetes.kubeconfig)


def names(cluster: Cluster, targets: Targets) -> list[str]:
    return [space.name for space in targets.resolve(cluster)]


def test_named_ones_are_taken_as_they_are_each_once_and_sorted(cluster: Cluster) -> None:
    assert names(cluster, Targets(("b", "a", "b"))) == ["a", "b"]


def test_none_named_means_the_contexts_own(cluster: Cluster) -> None:
    assert names(cluster, Targets()) == ["default"]


def test_all_means_all_but_those_of_the_system_unless_named(cluster: Cluster) -> None:
    everywhere = names(cluster, Targets(everywhere=True))
    assert "default" in everywhere
    assert not [name for name in everywhere if name.startswith("kube-")]
    assert "kube-public" in names(cluster, Targets(("kube-public",), everywhere=True))


def test_a_selector_adds_to_those_named_and_globs_are_left_out(
    cluster: Cluster, namespace: str
) -> None:
    blue = f"team=blue-{namespace}"
    assert names(cluster, Targets(selector=blue)) == [f"{namespace}-a", f"{namespace}-b"]
    assert names(cluster, Targets(("x",), selector=blue, exclude=("*-b",))) == [
        f"{namespace}-a",
        "x",
    ]


def test_a_selector_that_matches_nothing_is_told(cluster: Cluster) -> None:
    with pytest.raises(NamespaceMissingError, match="team=none"):
        names(cluster, Targets(selector="team=none"))
    with pytest.raises(NamespaceMissingError):
        names(cluster, Targets(("a",), exclude=("*",)))


def test_one_that_ends_is_known_as_such_when_listed(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.terminate_namespace(f"{namespace}-a")
    found = Targets(selector=f"team=blue-{namespace}").resolve(cluster)
    assert [space.terminating for space in found] == [True, False]
    assert cluster.get(NAMESPACES, None, f"{namespace}-a") is not None


def test_who_may_not_list_is_told_to_name_them(kubernetes: ApiServer) -> None:
    alice = Cluster.from_environment({}, kubeconfig=kubernetes.kubeconfig_for("alice"))
    with pytest.raises(NotPermittedError) as caught:
        Targets(everywhere=True).resolve(alice)
    assert "--namespaces-from" in (caught.value.hint or "")
    assert names(alice, Targets(("a",))) == ["a"]


def test_without_the_cluster_only_named_ones_are_known() -> None:
    assert [space.name for space in Targets(("b", "a")).offline()] == ["a", "b"]
    for targets in (Targets(), Targets(("a",), everywhere=True)):
        with pytest.raises(InvalidInputError):
            targets.offline()


def test_a_name_that_breaks_rfc_1123_is_refused() -> None:
    with pytest.raises(InvalidNamespaceError):
        Targets(("Team_A",))
