"""Uploading an auth Secret while somebody else writes it too."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from regctl.authfile.readers import DEFAULT_READER
from regctl.authsecret.compare import UserChange
from regctl.authsecret.push import prepare
from regctl.authsecret.secret import AuthSecret, fetch, read
from regctl.cluster.client import ApiResponse, Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import SECRETS, Resource
from regctl.errors import ConflictError
from regctl.outcome import Outcome
from tests.authsecret.files import NAME, A, B, desired
from tests.servers.kubernetes import ApiServer


class Racing(Cluster):
    """A cluster where *meanwhile* runs just before a change is sent."""

    meanwhile: Callable[[], object] | None = None

    def _race(self) -> None:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()

    def apply(self, resource: Resource, manifest: Mapping[str, Any], **more: Any) -> ApiResponse:
        self._race()
        return super().apply(resource, manifest, **more)

    def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        **more: Any,
    ) -> ApiResponse:
        self._race()
        return super().merge_patch(resource, namespace, name, patch, **more)


@pytest.fixture
def cluster(kubernetes: ApiServer, tmp_path: Path) -> Racing:
    made = Racing(Kubeconfig({"HOME": str(tmp_path)}, kubernetes.kubeconfig))
    assert isinstance(made, Racing)
    return made


def push(cluster: Cluster, wanted: AuthSecret, namespace: str) -> Outcome:
    [outcome] = prepare(cluster, wanted, [(namespace, NAME)]).run()
    return outcome


def names(outcome: Outcome) -> list[tuple[str, ...]]:
    return [tuple(user.values()) for user in outcome.details["users"]]


def content(cluster: Cluster, namespace: str) -> bytes:
    return read(fetch(cluster, namespace, NAME), DEFAULT_READER).content


def other(kubernetes: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster(Kubeconfig({"HOME": str(tmp_path)}, kubernetes.kubeconfig))


def test_a_push_plans_again_after_a_conflict(
    cluster: Racing, kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    push(cluster, desired(f"a:{A}"), namespace)
    second = other(kubernetes, tmp_path)
    cluster.meanwhile = lambda: push(second, desired(f"a:{B}"), namespace)
    mark = kubernetes.audit_mark()
    outcome = push(cluster, desired(f"a:{A}", f"b:{A}"), namespace)
    assert outcome.result == "configured"
    assert names(outcome) == [UserChange("a", "changed"), UserChange("b", "added")]
    assert content(cluster, namespace) == desired(f"a:{A}", f"b:{A}").users.content
    assert 409 in {event.code for event in kubernetes.audit(mark)}


def test_a_foreign_secret_created_meanwhile_is_not_overwritten(
    cluster: Racing, kubernetes: ApiServer, namespace: str
) -> None:
    body = {"metadata": {"name": NAME}, "data": {"auth": "eDp5Cg=="}}
    cluster.meanwhile = lambda: kubernetes.create_secret(namespace, body)
    outcome = push(cluster, desired(f"a:{A}"), namespace)
    assert outcome.result == "refused"
    assert content(cluster, namespace) == b"x:y\n"


def test_a_user_added_meanwhile_is_not_removed(
    cluster: Racing, kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    push(cluster, desired(f"a:{A}"), namespace)
    second = other(kubernetes, tmp_path)
    cluster.meanwhile = lambda: push(second, desired(f"a:{A}", f"new:{A}"), namespace)
    outcome = push(cluster, desired(f"a:{B}"), namespace)
    assert isinstance(outcome.error, ConflictError)
    assert "somebody else added new" in outcome.error.message
    assert b"new:" in content(cluster, namespace)


def test_a_push_never_deletes_the_secret(cluster: Racing, namespace: str) -> None:
    for hash_ in (A, B, A):
        push(cluster, desired(f"a:{hash_}"), namespace)
        assert cluster.get(SECRETS, namespace, NAME) is not None
