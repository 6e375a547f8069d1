"""Every error of the real API server has its own exception."""

from typing import Any

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.resource import SECRETS, SERVICE_ACCOUNTS
from regctl.errors import (
    ClusterError,
    ConflictError,
    FieldOwnedError,
    ImmutableError,
    NamespaceMissingError,
    NamespaceTerminatingError,
    NotPermittedError,
)
from tests.cluster import EMPTY, connect, manifest, refused
from tests.servers.kubernetes import ApiServer


def test_a_stale_version_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    stale = manifest(namespace)
    stale["metadata"]["resourceVersion"] = "1"
    refused(ConflictError, lambda: cluster.apply(SECRETS, stale))


def test_applying_to_a_deleted_object_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    """The UID makes an apply update and never create; the version alone does not."""
    gone = manifest(namespace)
    gone["metadata"]["uid"] = "f0d2e1c8-0000-0000-0000-000000000000"
    refused(ConflictError, lambda: cluster.apply(SECRETS, gone))


def test_creating_an_existing_object_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    path = SECRETS.path(namespace)
    error = refused(ConflictError, lambda: cluster.create(path, manifest(namespace), "cannot try"))
    assert error.message == "cannot try: it already exists"


def test_a_field_of_another_manager_is_an_error_with_its_name(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets?fieldManager=kubectl-create"
    kubernetes.request("POST", path, manifest(namespace, data={".dockerconfigjson": "bnVsbA=="}))
    error = refused(FieldOwnedError, lambda: cluster.apply(SECRETS, manifest(namespace)))
    assert "kubectl-create" in error.message
    assert cluster.apply(SECRETS, manifest(namespace), force=True).status == 200


def test_another_type_is_immutable(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace, type="Opaque"))
    refused(ImmutableError, lambda: cluster.apply(SECRETS, manifest(namespace), force=True))


def test_data_of_an_immutable_secret_is_immutable(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace, immutable=True))
    other = manifest(namespace, immutable=True, data={".dockerconfigjson": "bnVsbA=="})
    refused(ImmutableError, lambda: cluster.apply(SECRETS, other))
    refused(ImmutableError, lambda: cluster.apply(SECRETS, manifest(namespace)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"data": {}}, r"data\[.dockerconfigjson\]"),
        ({"data": {".dockerconfigjson": "aGlkZGVu"}}, r"data\[.dockerconfigjson\]"),
        ({"data": {".dockerconfigjson": EMPTY, "x": "aGlkZGVu" * 200_000}}, "data"),
    ],
)
def test_invalid_content_is_named_by_its_field_only(
    cluster: Cluster, namespace: str, changes: dict[str, Any], field: str
) -> None:
    wrong = manifest(namespace, **changes)
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, wrong))
    assert field.replace("\\", "") in error.message


def test_a_bad_name_is_an_error_with_the_rule(cluster: Cluster, namespace: str) -> None:
    bad = manifest(namespace, "Bad_Name")
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, bad))
    assert "metadata.name" in error.message
    assert "RFC 1123" in error.message


def test_a_body_that_the_server_repeats_is_not_shown(cluster: Cluster, namespace: str) -> None:
    bad = manifest(namespace, data={".dockerconfigjson": "aGlkZGVu!"})
    path = SECRETS.path(namespace)
    error = refused(ClusterError, lambda: cluster.create(path, bad, "cannot try"))
    assert error.message == "cannot try: the API server answers 400 BadRequest"
    refused(ClusterError, lambda: cluster.apply(SECRETS, bad))


def test_a_missing_namespace_has_its_own_error(cluster: Cluster) -> None:
    error = refused(NamespaceMissingError, lambda: cluster.apply(SECRETS, manifest("nowhere")))
    assert error.message == "cannot apply secret pull in namespace nowhere: no such namespace"


def test_nothing_is_created_in_a_terminating_namespace(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    kubernetes.terminate_namespace(namespace)
    refused(
        NamespaceTerminatingError, lambda: cluster.apply(SECRETS, manifest(namespace, "another"))
    )


def test_a_user_without_rights_gets_an_error_with_the_user(
    kubernetes: ApiServer, namespace: str
) -> None:
    alice = connect(kubernetes, "alice")
    error = refused(NotPermittedError, lambda: alice.apply(SECRETS, manifest(namespace)))
    assert error.message.endswith('forbidden for user "alice"')
    assert "regctl rbac" in (error.hint or "")
    assert error.exit_code == 4
    refused(NotPermittedError, lambda: alice.get(SECRETS, namespace, "pull"))
    refused(NotPermittedError, lambda: list(alice.namespaces()))


def test_apply_without_the_right_to_create_is_forbidden(
    kubernetes: ApiServer, namespace: str
) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"]}
    kubernetes.grant("alice", namespace, [rule])
    alice = connect(kubernetes, "alice")
    refused(NotPermittedError, lambda: alice.apply(SECRETS, manifest(namespace)))


def test_a_role_for_one_secret_name_is_enough(kubernetes: ApiServer, namespace: str) -> None:
    rule = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["pull"],
        "verbs": ["get", "patch", "create", "delete"],
    }
    kubernetes.grant("bob", namespace, [rule])
    bob = connect(kubernetes, "bob")
    assert bob.apply(SECRETS, manifest(namespace)).status == 201
    assert bob.delete(SECRETS, namespace, "pull") is True


def test_a_stale_service_account_is_a_conflict(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    patch = {"metadata": {"resourceVersion": "1"}, "imagePullSecrets": [{"name": "x"}]}
    refused(
        ConflictError, lambda: cluster.merge_patch(SERVICE_ACCOUNTS, namespace, "default", patch)
    )
