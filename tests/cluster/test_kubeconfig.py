"""The kubeconfig, credential plug-ins, and a Pod's service account."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import (
    NAMESPACES,
    SECRETS,
)
from regctl.errors import (
    KubeconfigError,
    NotAuthenticatedError,
)
from tests.cluster import refused
from tests.servers.kubernetes import ApiServer, token_of


def kubeconfig(path: Path, server: ApiServer, user: dict[str, Any]) -> Path:
    document = json.loads(server.kubeconfig.read_text())
    document["users"][0]["user"] = user
    path.write_text(json.dumps(document))
    return path


def test_a_wrong_token_is_not_authenticated(kubernetes: ApiServer, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", kubernetes, {"token": "wrong"})
    cluster = Cluster(Kubeconfig({}, path))
    error = refused(NotAuthenticatedError, lambda: cluster.get(SECRETS, "default", "x"))
    assert error.exit_code == 4


def test_a_plug_in_runs_once_more_for_an_expired_token(
    kubernetes: ApiServer, namespace: str, tmp_path: Path
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
    cluster = Cluster(Kubeconfig({}, path))
    (tmp_path / "valid").touch()
    assert cluster.get(NAMESPACES, None, namespace) is not None
    assert cluster.get(NAMESPACES, None, namespace) is not None
    assert (tmp_path / "runs").read_text().count("run") == 2
    (tmp_path / "valid").unlink()
    never = Cluster(Kubeconfig({}, path))
    refused(NotAuthenticatedError, lambda: never.get(NAMESPACES, None, namespace))
    assert (tmp_path / "runs").read_text().count("run") == 4


def test_a_failing_plug_in_is_an_error(
    kubernetes: ApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text("#!/bin/sh\necho please log in >&2\nexit 1\n")
    plugin.chmod(0o755)
    api = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = kubeconfig(tmp_path / "config", kubernetes, {"exec": {"command": str(plugin), **api}})
    with pytest.raises(KubeconfigError, match="please log in"):
        Cluster(Kubeconfig({}, path))
    assert capfd.readouterr().err == ""


def test_impersonation_is_refused(kubernetes: ApiServer, tmp_path: Path) -> None:
    """The kubernetes package passes `as` over: requests would have more rights than meant."""
    token = token_of("admin")
    path = kubeconfig(tmp_path / "config", kubernetes, {"token": token, "as": "alice"})
    with pytest.raises(KubeconfigError, match="impersonates another"):
        Cluster(Kubeconfig({}, path))


def test_the_context_names_cluster_and_namespace(kubernetes: ApiServer) -> None:
    path = kubernetes.kubeconfig_for("admin", namespace="elsewhere")
    assert Cluster(Kubeconfig({}, path)).context_namespace == "elsewhere"
    assert Cluster(Kubeconfig({"KUBECONFIG": f"/none:{path}"})).server == kubernetes.url
    with pytest.raises(KubeconfigError, match="has no context other"):
        Cluster(Kubeconfig({}, path, context="other"))


def test_the_file_in_the_home_folder_is_used_last(kubernetes: ApiServer, tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(kubernetes.kubeconfig.read_text())
    assert Cluster(Kubeconfig({"HOME": str(tmp_path)})).server == kubernetes.url


def test_a_pod_uses_its_service_account(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a CronJob: no kubeconfig, a token and a namespace in mounted files."""
    (tmp_path / "token").write_text(token_of("admin"))
    (tmp_path / "namespace").write_text("infra")
    module = "regctl.cluster.kubeconfig.in_cluster"
    monkeypatch.setattr(f"{module}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{module}.SERVICE_CERT_FILENAME", str(kubernetes.ca_file))
    host, _, port = kubernetes.url.removeprefix("https://").partition(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    cluster = Cluster(Kubeconfig(environ))
    assert cluster.context_namespace == "infra"
    assert cluster.get(NAMESPACES, None, namespace) is not None


def test_a_missing_kubeconfig_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="no kubeconfig") as caught:
        Cluster(Kubeconfig({"HOME": str(tmp_path)}))
    assert "--kubeconfig" in (caught.value.hint or "")
    with pytest.raises(KubeconfigError, match="no such file"):
        Cluster(Kubeconfig({"KUBECONFIG": str(tmp_path / "none")}))
    with pytest.raises(KubeconfigError, match="no such file"):
        Cluster(Kubeconfig({}, tmp_path / "none"))


@pytest.mark.parametrize(
    "content", ["", "[]", "a: [", "text", "{}", yaml.safe_dump({"contexts": 5})]
)
def test_a_malformed_kubeconfig_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(KubeconfigError):
        Cluster(Kubeconfig({}, path))
