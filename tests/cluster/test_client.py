"""The API server: connecting, authentication, and every refusal under its name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from regctl.cluster.client import Cluster
from regctl.cluster.resource import (
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    check_namespace,
    check_object_name,
)
from regctl.errors import (
    ClusterError,
    ClusterUnreachableError,
    ConflictError,
    FieldOwnedError,
    ImmutableError,
    InvalidNamespaceError,
    InvalidObjectNameError,
    KubeconfigError,
    NamespaceMissingError,
    NamespaceTerminatingError,
    NotAuthenticatedError,
    NotPermittedError,
    RegctlError,
)
from tests.servers.kubernetes import ApiServer, token_of

if TYPE_CHECKING:
    from regctl.retry import RequestTrace

EMPTY = "e30="
TYPE = "kubernetes.io/dockerconfigjson"


def connect(server: ApiServer, user: str = "admin", **options: Any) -> Cluster:
    return Cluster.from_environment({}, kubeconfig=server.kubeconfig_for(user), **options)


@pytest.fixture
def cluster(kubernetes: ApiServer) -> Cluster:
    return connect(kubernetes)


def manifest(namespace: str, name: str = "pull", **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": TYPE,
        "data": {".dockerconfigjson": EMPTY},
        **changes,
    }


def refused(kind: type[RegctlError], attempt: Callable[[], object]) -> RegctlError:
    """The error of *attempt*, which is exactly of *kind* and shows nothing of the data."""
    with pytest.raises(RegctlError) as caught:
        attempt()
    assert type(caught.value) is kind, caught.value.message
    assert "aGlkZGVu" not in caught.value.message
    return caught.value


# Objects


def test_an_applied_object_is_created_once_and_then_kept(cluster: Cluster, namespace: str) -> None:
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


def test_an_absent_object_is_none_and_deleting_it_false(cluster: Cluster, namespace: str) -> None:
    assert cluster.get(SECRETS, namespace, "none") is None
    assert cluster.delete(SECRETS, namespace, "none") is False


def test_lists_go_on_until_the_last_page(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regctl.cluster.client.PAGE_SIZE", 2)
    for number in range(5):
        cluster.apply(SECRETS, manifest(namespace, f"pull-{number}"))
    found = [item["metadata"]["name"] for item in cluster.list(SECRETS, namespace=namespace)]
    assert found == [f"pull-{number}" for number in range(5)]


def test_namespaces_are_listed_by_label_and_with_their_end(
    cluster: Cluster, kubernetes: ApiServer
) -> None:
    kubernetes.create_namespace("labelled-a", {"team": "blue"})
    kubernetes.create_namespace("labelled-b", {"team": "blue"})
    kubernetes.terminate_namespace("labelled-b")
    found = {space.name: space.terminating for space in cluster.namespaces("team=blue")}
    assert found == {"labelled-a": False, "labelled-b": True}


def test_deleting_spares_an_object_made_anew(cluster: Cluster, namespace: str) -> None:
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


# The table of refusals, each from the real API server


def test_a_stale_version_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    stale = manifest(namespace)
    stale["metadata"]["resourceVersion"] = "1"
    refused(ConflictError, lambda: cluster.apply(SECRETS, stale))


def test_an_object_that_is_gone_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    """The UID makes an apply update and never create; the version alone does not."""
    gone = manifest(namespace)
    gone["metadata"]["uid"] = "f0d2e1c8-0000-0000-0000-000000000000"
    refused(ConflictError, lambda: cluster.apply(SECRETS, gone))


def test_creating_what_is_there_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    path = SECRETS.path(namespace)
    error = refused(ConflictError, lambda: cluster.create(path, manifest(namespace), "cannot try"))
    assert error.message == "cannot try: it already exists"


def test_a_field_of_another_manager_names_it(
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
def test_content_that_the_server_refuses_is_named_by_field_alone(
    cluster: Cluster, namespace: str, changes: dict[str, Any], field: str
) -> None:
    wrong = manifest(namespace, **changes)
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, wrong))
    assert field.replace("\\", "") in error.message


def test_a_bad_name_says_what_a_name_is(cluster: Cluster, namespace: str) -> None:
    bad = manifest(namespace, "Bad_Name")
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, bad))
    assert "metadata.name" in error.message
    assert "RFC 1123" in error.message


def test_a_body_that_the_server_repeats_is_not_shown(cluster: Cluster, namespace: str) -> None:
    bad = manifest(namespace, data={".dockerconfigjson": "aGlkZGVu!"})
    path = SECRETS.path(namespace)
    error = refused(ClusterError, lambda: cluster.create(path, bad, "cannot try"))
    assert error.message == "cannot try: the API server answers 400 Bad Request"
    refused(ClusterError, lambda: cluster.apply(SECRETS, bad))


def test_a_namespace_that_is_not_there_is_missing(cluster: Cluster) -> None:
    error = refused(NamespaceMissingError, lambda: cluster.apply(SECRETS, manifest("nowhere")))
    assert error.message == "cannot apply secret pull in namespace nowhere: no such namespace"


def test_a_namespace_that_ends_takes_nothing_new(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    cluster.apply(SECRETS, manifest(namespace))
    kubernetes.terminate_namespace(namespace)
    refused(
        NamespaceTerminatingError, lambda: cluster.apply(SECRETS, manifest(namespace, "another"))
    )


def test_a_user_without_rights_is_told_who_it_is(kubernetes: ApiServer, namespace: str) -> None:
    alice = connect(kubernetes, "alice")
    error = refused(NotPermittedError, lambda: alice.apply(SECRETS, manifest(namespace)))
    assert error.message.endswith('forbidden for user "alice"')
    assert "regctl rbac" in (error.hint or "")
    assert error.exit_code == 4
    refused(NotPermittedError, lambda: alice.get(SECRETS, namespace, "pull"))
    refused(NotPermittedError, lambda: list(alice.namespaces()))


def test_applying_without_the_right_to_create_is_forbidden(
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


def test_a_name_with_a_slash_stays_one_name(cluster: Cluster, namespace: str) -> None:
    """A name is quoted, and can't reach another resource."""
    assert cluster.get(NAMESPACES, None, namespace) is not None
    assert cluster.get(SECRETS, namespace, f"../../{namespace}") is None


# Configuration


def kubeconfig(path: Path, server: ApiServer, user: dict[str, Any]) -> Path:
    document = json.loads(server.kubeconfig.read_text())
    document["users"][0]["user"] = user
    path.write_text(json.dumps(document))
    return path


def test_a_wrong_token_is_not_authenticated(kubernetes: ApiServer, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", kubernetes, {"token": "wrong"})
    cluster = Cluster.from_environment({}, kubeconfig=path)
    error = refused(NotAuthenticatedError, lambda: cluster.get(SECRETS, "default", "x"))
    assert error.exit_code == 4


def test_an_expired_token_of_a_plug_in_is_asked_for_again_once(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    """The first token is refused with 401; the plug-in is run again, once for all requests."""
    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        f"echo run >> {tmp_path}/runs\n"
        f"if [ -e {tmp_path}/valid ]; then token={token_of('admin')}; else token=expired; fi\n"
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        '"status": {"token": "\'$token\'"}}\'\n'
    )
    plugin.chmod(0o755)
    api = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = kubeconfig(tmp_path / "config", kubernetes, {"exec": {"command": str(plugin), **api}})
    cluster = Cluster.from_environment({}, kubeconfig=path)
    (tmp_path / "valid").touch()
    assert cluster.get(NAMESPACES, None, "default") is not None
    assert cluster.get(NAMESPACES, None, "default") is not None
    assert (tmp_path / "runs").read_text().count("run") == 2
    (tmp_path / "valid").unlink()
    never = Cluster.from_environment({}, kubeconfig=path)
    refused(NotAuthenticatedError, lambda: never.get(NAMESPACES, None, "default"))
    assert (tmp_path / "runs").read_text().count("run") == 4


def test_a_plug_in_that_fails_is_an_error_and_nobody_goes_on_without_it(
    kubernetes: ApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text("#!/bin/sh\necho please log in >&2\nexit 1\n")
    plugin.chmod(0o755)
    api = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = kubeconfig(tmp_path / "config", kubernetes, {"exec": {"command": str(plugin), **api}})
    with pytest.raises(KubeconfigError, match="please log in"):
        Cluster.from_environment({}, kubeconfig=path)
    assert capfd.readouterr().err == ""


def test_a_user_who_acts_as_another_is_refused(kubernetes: ApiServer, tmp_path: Path) -> None:
    """The kubernetes package passes `as` over: requests would have more rights than meant."""
    token = token_of("admin")
    path = kubeconfig(tmp_path / "config", kubernetes, {"token": token, "as": "alice"})
    with pytest.raises(KubeconfigError, match="impersonates another"):
        Cluster.from_environment({}, kubeconfig=path)


def test_the_context_says_cluster_and_namespace(kubernetes: ApiServer) -> None:
    path = kubernetes.kubeconfig_for("admin", namespace="elsewhere")
    assert Cluster.from_environment({}, kubeconfig=path).context_namespace == "elsewhere"
    assert Cluster.from_environment({"KUBECONFIG": f"/none:{path}"}).server == kubernetes.url
    with pytest.raises(KubeconfigError, match="the context other"):
        Cluster.from_environment({}, kubeconfig=path, context="other")


def test_the_file_in_the_home_folder_is_the_last_resort(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(kubernetes.kubeconfig.read_text())
    assert Cluster.from_environment({"HOME": str(tmp_path)}).server == kubernetes.url


def test_in_a_pod_its_service_account_is_used(
    kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a CronJob: no kubeconfig, a token and a namespace in mounted files."""
    (tmp_path / "token").write_text(token_of("admin"))
    (tmp_path / "namespace").write_text("infra")
    module = "regctl.cluster.kubeconfig.in_cluster"
    monkeypatch.setattr(f"{module}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{module}.SERVICE_CERT_FILENAME", str(kubernetes.ca_file))
    host, _, port = kubernetes.url.removeprefix("https://").partition(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    cluster = Cluster.from_environment(environ)
    assert cluster.context_namespace == "infra"
    assert cluster.get(NAMESPACES, None, "default") is not None


def test_without_any_kubeconfig_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="no kubeconfig") as caught:
        Cluster.from_environment({"HOME": str(tmp_path)})
    assert "--kubeconfig" in (caught.value.hint or "")
    with pytest.raises(KubeconfigError, match="no such file"):
        Cluster.from_environment({"KUBECONFIG": str(tmp_path / "none")})
    with pytest.raises(KubeconfigError, match="no such file"):
        Cluster.from_environment({}, kubeconfig=tmp_path / "none")


@pytest.mark.parametrize(
    "content", ["", "[]", "a: [", "text", "{}", yaml.safe_dump({"contexts": 5})]
)
def test_what_is_no_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(KubeconfigError):
        Cluster.from_environment({}, kubeconfig=path)


def test_a_server_that_is_down_is_unreachable(kubernetes: ApiServer, tmp_path: Path) -> None:
    document = json.loads(kubernetes.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(document))
    cluster = Cluster.from_environment({}, kubeconfig=tmp_path / "config", timeout=0.05)
    error = refused(ClusterUnreachableError, lambda: cluster.get(SECRETS, "default", "x"))
    assert "https://127.0.0.1:1" in error.message
    assert "refused" in error.message


def test_a_certificate_that_is_not_trusted_is_told_at_once(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    document = json.loads(kubernetes.kubeconfig.read_text())
    del document["clusters"][0]["cluster"]["certificate-authority"]
    (tmp_path / "config").write_text(json.dumps(document))
    cluster = Cluster.from_environment({}, kubeconfig=tmp_path / "config")
    error = refused(ClusterUnreachableError, lambda: cluster.get(SECRETS, "default", "x"))
    assert "certificate" in error.message
    assert "certificate-authority" in (error.hint or "")


@pytest.mark.parametrize("name", ["", "Upper", "a.b", "a_b", "-a", "a-", "x" * 64, "ä"])
def test_what_is_no_namespace_is_refused(name: str) -> None:
    with pytest.raises(InvalidNamespaceError):
        check_namespace(name)


def test_names_are_checked_by_rfc_1123() -> None:
    assert check_namespace("a-1") == "a-1"
    assert check_object_name("a.b-c.1", "Secret") == "a.b-c.1"
    with pytest.raises(InvalidObjectNameError):
        check_object_name("a..b", "Secret")
