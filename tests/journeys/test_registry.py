"""The manifests of a registry, run for real: the Ingress as nginx, the Deployment as a registry."""

import base64
import hashlib
import http
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import run_ok
from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.nginx import nginx
from tests.servers.process import answers, free_port

ARGUMENTS = ["foo", "--host", "registry.foo.com", "--tls-secret", "foo-tls"]
LAYER = os.urandom(20_000_000)
NGINX = "nginx.ingress.kubernetes.io/"


class Pod:
    """The files and the environment that the kubelet would give the registry."""

    def __init__(self, folder: Path, kubernetes: ApiServer, namespace: str, *flags: str) -> None:
        self.folder, self.kubernetes, self.namespace = folder, kubernetes, namespace
        dry_run = ["--dry-run=client", "-o", "yaml"]
        printed = run_ok("registry", "apply", *ARGUMENTS, "-n", namespace, *flags, *dry_run)
        self.objects = {one["kind"]: one for one in yaml.safe_load_all(printed.stdout)}
        self.spec = self.objects["Deployment"]["spec"]["template"]["spec"]
        [self.container] = self.spec["containers"]
        self.versions = 0

    def secret(self, name: str) -> dict[str, bytes]:
        data = self.kubernetes.secret(self.namespace, name)["data"]
        return {key: base64.b64decode(value) for key, value in data.items()}

    def mount(self) -> None:
        """Mount the Secrets as the kubelet does, or update them by replacing `..data`."""
        secrets = {v["name"]: v["secret"] for v in self.spec["volumes"] if "secret" in v}
        for mount in self.container["volumeMounts"]:
            if mount["name"] not in secrets:
                continue
            assert "subPath" not in mount
            self.versions += 1
            folder = self.folder / mount["mountPath"].lstrip("/")
            data = folder / f"..{self.versions}"
            data.mkdir(parents=True)
            for key, value in self.secret(secrets[mount["name"]]["secretName"]).items():
                (data / key).write_bytes(value)
                if not (folder / key).is_symlink():
                    (folder / key).symlink_to(f"..data/{key}")
            (folder / "..next").symlink_to(data.name)
            (folder / "..next").replace(folder / "..data")

    def environment(self) -> dict[str, str]:
        """Return the environment, with the paths of this machine and without the port."""
        values = {one["name"]: one.get("value", "") for one in self.container["env"]}
        assert values.pop("REGISTRY_HTTP_ADDR") == ":5000"
        for mount in self.container["volumeMounts"]:
            path, local = mount["mountPath"], self.folder / mount["mountPath"].lstrip("/")
            local.mkdir(parents=True, exist_ok=True)
            values = {key: value.replace(path, str(local)) for key, value in values.items()}
        return values

    def start(self, serve: Servers, debug_port: int | None = None) -> DockerRegistry:
        self.mount()
        # The configuration file allows deletion, so only the environment can forbid it.
        env = self.environment()
        return serve(
            docker_registry(self.folder / "run", env=env, delete=True, debug_port=debug_port)
        )

    def ingress(self, serve: Servers, registry: DockerRegistry) -> DockerRegistry:
        """Start nginx as ingress-nginx would configure it; return the registry behind it."""
        marks = self.objects["Ingress"]["metadata"]["annotations"]
        auth_file = None
        if marks.get(f"{NGINX}auth-type") == "basic":
            auth_file = self.folder / "passwd"
            auth_file.write_bytes(self.secret(marks[f"{NGINX}auth-secret"])["auth"])
        assert marks[f"{NGINX}proxy-read-timeout"] == marks[f"{NGINX}proxy-send-timeout"]
        server = serve(
            nginx(
                self.folder / "nginx",
                upstream=registry.host,
                auth_file=auth_file,
                certificate=make_certificate(self.folder / "tls"),
                max_body=marks[f"{NGINX}proxy-body-size"],
                buffering=marks[f"{NGINX}proxy-request-buffering"] == "on",
                realm=marks.get(f"{NGINX}auth-realm", ""),
                patience=marks[f"{NGINX}proxy-read-timeout"],
            )
        )
        return replace(registry, host=server.host, url=server.url, ca_file=server.ca_file)


Start = Callable[..., Pod]


@pytest.fixture
def pod(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """Apply a registry with the users ci, added with it, and alice, of the auth file."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.chdir(tmp_path)

    def start(*flags: str) -> Pod:
        first = ["-n", namespace, "--user", "ci", "--password-stdin"]
        run_ok("registry", "apply", *ARGUMENTS, *flags, *first, stdin="battery")
        secret = ["--auth-secret", f"{namespace}/registry-basic-auth"]
        run_ok("auth", "pull", *secret)
        run_ok("adduser", "alice", "--cost", "4", "--password-stdin", stdin="staple")
        run_ok("auth", "push", *secret)
        return Pod(tmp_path / "pod", kubernetes, namespace, *flags)

    return start


def probed(pod: Pod, registry: DockerRegistry) -> list[int]:
    """Return the answers to the kubelet, which has no password."""
    probes = [pod.container[name] for name in ("startupProbe", "readinessProbe")]
    return [registry.request("GET", probe["httpGet"]["path"])[0] for probe in probes]


def assert_users_can_log_in(registry: DockerRegistry) -> None:
    assert registry.allows("ci", "battery")
    assert registry.allows("alice", "staple")
    assert not registry.allows("alice", "battery")
    assert not registry.allows("nobody", "staple")
    status, headers, _ = registry.request("GET", "/v2/")
    assert status == http.HTTPStatus.UNAUTHORIZED
    assert headers["www-authenticate"] == 'Basic realm="Registry foo"'


def push_layer(registry: DockerRegistry, user: tuple[str, str]) -> str:
    """Push and pull a layer of 20 MB; return the image's digest."""
    digest = registry.push_image("team/app", "1.0", layers=[LAYER], user=user)
    layer = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
    status, _, body = registry.request("GET", f"/v2/team/app/blobs/{layer}", user=user)
    assert (status, body == LAYER) == (http.HTTPStatus.OK, True)
    return digest


def test_the_debug_port_that_the_image_opens_is_closed(
    serve: Servers, pod: Start, tmp_path: Path
) -> None:
    port = free_port()
    with docker_registry(tmp_path / "as-in-the-image", debug_port=port):
        assert answers(port)
    ours = pod()
    registry = ours.start(serve, debug_port=port)
    assert probed(ours, registry) == [http.HTTPStatus.OK] * 2
    assert not answers(port)


@pytest.mark.parametrize("auth", ["ingress", "registry"])
def test_users_can_log_in_and_push_a_layer_of_20_mb(serve: Servers, pod: Start, auth: str) -> None:
    ours = pod("--auth", auth)
    registry = ours.start(serve)
    assert probed(ours, registry) == [200, 200]
    outside = ours.ingress(serve, registry)
    assert_users_can_log_in(outside)
    digest = push_layer(outside, ("alice", "staple"))
    # The image is in the volume.
    assert (ours.folder / "var/lib/registry/docker/registry/v2/repositories/team/app").is_dir()
    path = f"/v2/team/app/manifests/{digest}"
    assert outside.request("DELETE", path, user=("alice", "staple"))[0] == 405


def test_an_upload_continues_at_a_relative_url(serve: Servers, pod: Start) -> None:
    """Whatever headers the proxy sends or does not send."""
    ours = pod()
    outside = ours.ingress(serve, ours.start(serve))
    user = ("ci", "battery")
    _, headers, _ = outside.request("POST", "/v2/team/app/blobs/uploads/", b"", user=user)
    assert headers["location"].startswith("/v2/team/app/blobs/uploads/")


def test_a_user_added_later_can_log_in_without_a_restart(serve: Servers, pod: Start) -> None:
    """The registry reads its file again, because the kubelet swaps the folder."""
    ours = pod("--auth", "registry")
    registry = ours.start(serve)
    assert not registry.allows("bob", "horse")
    run_ok("adduser", "bob", "--cost", "4", "--password-stdin", stdin="horse")
    run_ok("deluser", "alice", "--yes")
    secret = f"{ours.namespace}/registry-basic-auth"
    run_ok("auth", "push", "--auth-secret", secret, "--yes")
    ours.mount()
    assert registry.allows("bob", "horse")
    assert not registry.allows("alice", "staple")


def test_deletion_and_maintenance_work(serve: Servers, pod: Start) -> None:
    ours = pod("--delete-enabled")
    registry = ours.start(serve)
    digest = registry.push_image("team/app", "1.0")
    gone = registry.push_image("team/app", "2.0", layers=[b"another"])
    assert registry.request("DELETE", f"/v2/team/app/manifests/{gone}")[0] == 202
    registry.process.stop()

    run_ok(
        "registry", "apply", *ARGUMENTS, "-n", ours.namespace, "--delete-enabled", "--maintenance"
    )
    closed = Pod(ours.folder, ours.kubernetes, ours.namespace, "--maintenance", "--delete-enabled")
    registry = closed.start(serve)
    assert probed(closed, registry) == [200, 200]
    assert registry.request("GET", f"/v2/team/app/manifests/{digest}")[0] == 200
    assert registry.request("POST", "/v2/team/app/blobs/uploads/", b"")[0] == 405
    assert registry.request("DELETE", f"/v2/team/app/manifests/{digest}")[0] == 405


def test_the_applied_objects_are_the_printed_ones(pod: Start) -> None:
    """So what these tests show of the printed ones is true of the others."""
    ours = pod()
    path = f"/apis/apps/v1/namespaces/{ours.namespace}/deployments/foo"
    live: dict[str, Any] = ours.kubernetes.get(path)["spec"]["template"]["spec"]
    assert live["containers"][0]["env"] == ours.container["env"]
    assert live["containers"][0]["volumeMounts"] == ours.container["volumeMounts"]
