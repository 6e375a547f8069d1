"""The old guide from its first line to its last, each step with regctl in place of its script."""

import base64
import json
from pathlib import Path

import pytest

from tests.cli import run_ok
from tests.conftest import Servers
from tests.journeys.test_registry import ARGUMENTS, Pod
from tests.saved_images import docker_archive, tar_of
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.nginx import nginx


def test_a_user_reaches_the_registry_and_every_namespace(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.chdir(tmp_path)
    team = kubernetes.create_namespace(f"{namespace}-team")
    for space in (namespace, team):
        kubernetes.create_service_account(space)

    # keys/adduser.sh USERID PASSWORD
    run_ok("adduser", "alice", "--password-stdin", stdin="correct horse")
    password = run_ok("adduser", "ci", "--generate").stdout.strip()

    # kubectl create secret generic registry-basic-auth --from-file=auth, after a delete
    run_ok("auth", "push", "--auth-secret", f"{namespace}/registry-basic-auth")
    live = kubernetes.secret(namespace, "registry-basic-auth")["data"]["auth"]
    mounted = tmp_path / "mounted"
    mounted.write_bytes(base64.b64decode(live))
    registry = serve(docker_registry(tmp_path / "registry"))
    registry.push_image("team/app", "1.0")
    ingress = serve(nginx(tmp_path / "nginx", upstream=registry.host, auth_file=mounted))

    # docker login
    login = ["login", ingress.host, "--plain-http", "--username", "ci", "--password-stdin"]
    run_ok(*login, stdin=password)

    # kubectl create secret docker-registry, once for every namespace
    run_ok(
        *["secret", "create", "--server", ingress.host],
        *["-n", f"{namespace},{team}", "--attach", "default", "--plain-http"],
    )
    name = ingress.host.replace(":", "-")
    for space in (namespace, team):
        data = kubernetes.secret(space, name)["data"][".dockerconfigjson"]
        entry = json.loads(base64.b64decode(data))["auths"][ingress.host]
        assert (entry["username"], entry["password"]) == ("ci", password)

    # A browser on /v2/_catalog
    assert run_ok("catalog", ingress.host, "--plain-http").stdout == "team/app\n"

    # A Pod that would pull it
    image = f"{ingress.host}/team/app:1.0"
    well = run_ok("doctor", image, "-n", team, "--plain-http", "--platform", "linux/amd64")
    assert "failure" not in well.stdout


def test_a_registry_of_a_team_and_an_image_pushed_without_docker(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guide's last chapters: "Multiple Libraries", and "How to Upload a Local Docker Image"."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.chdir(tmp_path)
    kubernetes.create_service_account(namespace)

    # The namespace edited in four YAML files, and adduser.sh once more
    first = ["--user", "ci", "--generate"]
    made = run_ok("registry", "apply", *ARGUMENTS, "-n", namespace, *first)
    password = made.stdout.strip()
    again = run_ok("registry", "apply", *ARGUMENTS, "-n", namespace)
    assert {line.split()[1] for line in again.stdout.splitlines()} == {"unchanged"}

    # The Pod and the Ingress that the cluster would run, on loopback
    pod = Pod(tmp_path / "pod", kubernetes, namespace)
    outside = pod.ingress(serve, pod.start(serve))
    host, trust = outside.host, ["--ca-file", str(outside.ca_file)]

    # docker login, docker tag, docker push
    run_ok("login", host, *trust, "--username", "ci", "--password-stdin", stdin=password)
    image = f"{host}/team/app:1.0"
    Path("app.tar").write_bytes(tar_of(docker_archive((["app:1.0"], [b"layer" * 100_000]))))
    pushed = run_ok("image", "push", "app.tar", image, *trust)
    assert pushed.stdout.startswith(f"{image}@sha256:")

    # kubectl create secret docker-registry, and a Pod that pulls
    account = ["--attach", "default"]
    run_ok("secret", "create", "--server", host, "-n", namespace, *account, *trust)
    pull = ["doctor", image, "-n", namespace, "--platform", "linux/amd64", *trust]
    steps = dict(line.split("\t")[:2] for line in run_ok(*pull).stdout.splitlines())
    assert set(steps.values()) == {"ok"}
    spec = {"containers": [{"name": "app", "image": image}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert kubernetes.request("POST", path, manifest)[0] == 201

    # A browser on /v2/_catalog
    assert run_ok("catalog", host, *trust).stdout == "team/app\n"
    listed = json.loads(run_ok("registry", "list", "-n", namespace, "-o", "json").stdout)
    assert [one["name"] for one in listed["registries"]] == ["foo"]
