"""The kubeconfig, credential plug-ins, and a Pod's service account."""

import base64
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import Configuration
from kubernetes.config import kube_config

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.proxies import environment_proxy
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
    """Without `as` the requests would have more rights than meant."""
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
    (tmp_path / "ca.crt").write_text(kubernetes.ca_file.read_text())
    monkeypatch.setattr("regctl.cluster.kubeconfig.SERVICE_ACCOUNT", tmp_path)
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


def test_a_kubeconfig_is_read_from_a_pipe_up_to_its_limit(tmp_path: Path) -> None:
    """Once: the second read of a pipe finds nothing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    document = config({"server": SERVER}, {"token": "abc"})
    with ThreadPoolExecutor() as writer:
        writer.submit(pipe.write_text, json.dumps(document))
        piped = Kubeconfig({}, pipe)
        assert piped.access().server == SERVER
    assert piped.namespace() == "default"
    with pytest.raises(KubeconfigError, match="/dev/zero: it has more than 4 MiB"):
        Kubeconfig({}, Path("/dev/zero")).namespace()


PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DATA = base64.b64encode(PEM).decode()
SERVER = "https://api.example:6443"

# A cluster and a user of a kubeconfig; relative paths start from its folder.
PLAIN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "token": ({"server": f"{SERVER}/"}, {"token": "abc"}),
    "path in the URL": ({"server": f"{SERVER}/k8s/clusters/c-1"}, {"token": "abc"}),
    "plain HTTP": ({"server": "http://api.example"}, {"token": "abc"}),
    "token file": ({"server": SERVER}, {"tokenFile": "pki/token"}),
    "nobody": ({"server": SERVER}, {}),
    "CA data": ({"server": SERVER, "certificate-authority-data": DATA}, {"token": "abc"}),
    "CA file": ({"server": SERVER, "certificate-authority": "pki/ca.pem"}, {"token": "abc"}),
    "certificate data": (
        {"server": SERVER},
        {"client-certificate-data": DATA, "client-key-data": DATA},
    ),
    "certificate files": (
        {"server": SERVER},
        {"client-certificate": "pki/ca.pem", "client-key": "pki/ca.pem"},
    ),
    "data before a file": (
        {"server": SERVER, "certificate-authority": "none", "certificate-authority-data": DATA},
        {"client-certificate": "none", "client-certificate-data": DATA, "client-key-data": DATA},
    ),
    "server name": ({"server": SERVER, "tls-server-name": "other.example"}, {"token": "abc"}),
    "no verification": ({"server": SERVER, "insecure-skip-tls-verify": True}, {"token": "abc"}),
}


def config(cluster: dict[str, Any], user: dict[str, Any], name: str = "one") -> dict[str, Any]:
    return {
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def by_package(files: str, context: str | None = None) -> dict[str, Any]:
    """Return what the kubernetes package reads."""
    found: Any = type.__call__(Configuration)
    kube_config.load_kube_config(files, context, found)

    def content(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return {
        "server": found.host.rstrip("/"),
        "ca": content(found.ssl_ca_cert),
        "certificate": content(found.cert_file),
        "key": content(found.key_file),
        "server_name": getattr(found, "tls_server_name", None),
        "insecure": not found.verify_ssl,
        "proxy": found.proxy,
        "headers": {s["key"].title(): s["value"] for s in found.auth_settings().values()},
    }


def by_regctl(kubeconfig: Kubeconfig) -> dict[str, Any]:
    access = kubeconfig.access()
    names = ("server", "ca", "certificate", "key", "server_name", "insecure", "proxy")
    return {**{name: getattr(access, name) for name in names}, "headers": access.headers()}


@pytest.mark.parametrize("case", PLAIN)
def test_what_the_package_reads_is_read_without_it(tmp_path: Path, case: str) -> None:
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.pem").write_bytes(PEM)
    (tmp_path / "pki" / "token").write_text("abc")
    path = tmp_path / "config"
    path.write_text(json.dumps(config(*PLAIN[case])))
    assert by_regctl(Kubeconfig({}, path)) == by_package(str(path))


def test_the_proxy_of_the_cluster_is_used_before_that_of_the_environment(tmp_path: Path) -> None:
    """Version 29 of the package reads no `proxy-url`."""
    proxy = "http://proxy.example:3128"
    path = tmp_path / "config"
    path.write_text(json.dumps(config({"server": SERVER, "proxy-url": proxy}, {})))
    assert Kubeconfig({"HTTPS_PROXY": "http://other:1"}, path).access().proxy == proxy


def test_several_files_are_merged_as_the_package_merges_them(tmp_path: Path) -> None:
    """The first of two entries with one name counts; a path starts from the folder of its file."""
    for name, token in (("a", "first"), ("b", "second")):
        (tmp_path / name / "pki").mkdir(parents=True)
        (tmp_path / name / "pki" / "ca.pem").write_bytes(PEM + name.encode())
        cluster = {"server": f"https://{name}.example", "certificate-authority": "pki/ca.pem"}
        document = config(cluster, {"token": token}, "shared")
        more = config(cluster, {"token": f"only-{token}"}, f"only-{name}")
        for kind in ("clusters", "users", "contexts"):
            document[kind] += more[kind]
        del document["current-context"]
        (tmp_path / name / "config").write_text(json.dumps(document))
    files = f"{tmp_path}/a/config:{tmp_path}/none:{tmp_path}/b/config"
    for context in ("shared", "only-a", "only-b"):
        kubeconfig = Kubeconfig({"KUBECONFIG": files}, context=context)
        assert by_regctl(kubeconfig) == by_package(files, context)
        assert kubeconfig.contexts() == ["shared", "only-a", "only-b"]


def test_the_first_current_context_of_several_files_counts_as_for_kubectl(tmp_path: Path) -> None:
    """The package takes the last one."""
    paths = []
    for name in ("one", "two"):
        document = config({"server": f"https://{name}.example"}, {"token": name}, name)
        paths.append(tmp_path / name)
        paths[-1].write_text(json.dumps(document))
    kubeconfig = Kubeconfig({"KUBECONFIG": ":".join(map(str, paths))})
    assert Cluster(kubeconfig).server == "https://one.example"


@pytest.mark.parametrize(
    ("user", "is_loaded"),
    [({"token": "abc"}, False), ({}, False), ({"username": "ci", "password": "x"}, True)],
)
def test_the_package_is_only_loaded_where_it_is_needed(
    tmp_path: Path, user: dict[str, Any], is_loaded: bool
) -> None:
    path = tmp_path / "config"
    path.write_text(json.dumps(config({"server": SERVER}, user)))
    script = (
        "import sys; from pathlib import Path; from regctl import Cluster, Kubeconfig; "
        f"Cluster(Kubeconfig({{}}, Path({str(path)!r}))); print('kubernetes' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(is_loaded)


def test_a_token_file_is_read_again(kubernetes: ApiServer, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("expired")
    path = kubeconfig(tmp_path / "config", kubernetes, {"tokenFile": "token"})
    cluster = Cluster(Kubeconfig({}, path))
    (tmp_path / "token").write_text(f"{token_of('admin')}\n")
    assert cluster.get(NAMESPACES, None, namespace) is not None


def test_a_token_that_is_not_a_header_is_not_shown(kubernetes: ApiServer, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", kubernetes, {"token": "s3cret\nX-Other: 1"})
    cluster = Cluster(Kubeconfig({}, path))
    with pytest.raises(KubeconfigError, match="not allowed in a header") as caught:
        cluster.get(SECRETS, "default", "x")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "environ", "proxy"),
    [
        (SERVER, {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (SERVER, {"https_proxy": "p:1"}, "http://p:1"),
        (SERVER, {"HTTP_PROXY": "http://p:1"}, None),
        ("http://api.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        (SERVER, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, None),
        (SERVER, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a, example"}, None),
        (SERVER, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample"}, "http://p:1"),
        (SERVER, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example:6443"}, None),
        (SERVER, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example:443"}, "http://p:1"),
        (SERVER, {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, None),
        ("https://10.1.2.3:6443", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x,10.1.2.3"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "11.0.0.0/8"}, "http://p:1"),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p:1"}, None),
    ],
)
def test_the_proxy_of_the_environment(
    server: str, environ: dict[str, str], proxy: str | None
) -> None:
    """As golang.org/x/net/http/httpproxy chooses it for kubectl."""
    assert environment_proxy(server, environ) == proxy
