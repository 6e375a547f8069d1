"""`image prune` and `image delete` beside workloads: what these use is kept, and named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import MERGE_PATCH, ApiServer

RULES = ["--keep-last", "1", "--plain-http"]


@pytest.fixture
def images(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """Return a registry with three images of team/app; 3.0 is the newest."""
    registry = serve(docker_registry(tmp_path / "registry"))
    for year in (1, 2, 3):
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": f"202{year}-01-01T00:00:00Z",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        registry.push_image("team/app", f"{year}.0", layers=(), config=config)
    return registry


def create_pod(server: ApiServer, namespace: str, image: str, image_id: str = "") -> None:
    pod = {
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert server.request("POST", path, pod)[0] == 201
    if image_id:
        status = {"name": "web", "image": "x", "ready": True, "restartCount": 0}
        patch = {"status": {"containerStatuses": [status | {"imageID": image_id}]}}
        path += "/web/status"
        assert server.request("PATCH", path, patch, content_type=MERGE_PATCH)[0] == 200


def tags(registry: DockerRegistry) -> list[str]:
    _, _, body = registry.request("GET", "/v2/team/app/tags/list")
    found: list[str] = json.loads(body)["tags"] or []
    return sorted(found)


@pytest.fixture
def administrator(kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))


@pytest.mark.usefixtures("administrator")
def test_prune_keeps_the_tag_that_a_template_names(
    kubernetes: ApiServer, namespace: str, images: DockerRegistry
) -> None:
    create_pod(kubernetes, namespace, f"{images.host}/team/app:1.0")
    result = run_ok("image", "prune", f"{images.host}/team/app", *RULES, "--yes")
    assert f"team/app:1.0 unchanged (kept because {namespace}/pod/web uses it)" in result.stdout
    assert tags(images) == ["1.0", "3.0"]


@pytest.mark.usefixtures("administrator")
def test_prune_keeps_the_digest_that_a_node_runs_although_its_tag_has_moved(
    kubernetes: ApiServer, namespace: str, images: DockerRegistry
) -> None:
    _, headers, _ = images.request(
        "HEAD",
        "/v2/team/app/manifests/1.0",
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
    )
    running = f"{images.host}/team/app@{headers['docker-content-digest']}"
    create_pod(kubernetes, namespace, f"{images.host}/team/app:3.0", running)
    run_ok("image", "prune", f"{images.host}/team/app", *RULES, "--yes")
    assert tags(images) == ["1.0", "3.0"]


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize("flags", [[], ["--all-tags"]])
def test_delete_refuses_what_a_workload_uses(
    kubernetes: ApiServer, namespace: str, images: DockerRegistry, flags: list[str]
) -> None:
    image = f"{images.host}/team/app:1.0"
    create_pod(kubernetes, namespace, image)
    line = ["image", "delete", image, "--plain-http", "--yes", *flags]
    result = run(*line)
    assert result.exit_code == 1
    assert f"cannot delete {image}: {namespace}/pod/web uses it" in result.stderr
    assert "hint: --ignore-cluster deletes it anyway" in result.stderr
    assert tags(images) == ["1.0", "2.0", "3.0"]
    run_ok(*line, "--ignore-cluster")
    assert tags(images) == ["2.0", "3.0"]


def test_who_may_not_list_workloads_deletes_nothing(
    kubernetes: ApiServer, images: DockerRegistry
) -> None:
    as_carol = ["--kubeconfig", str(kubernetes.kubeconfig_for("carol"))]
    for line in (
        ["image", "prune", f"{images.host}/team/app", *RULES],
        ["image", "delete", f"{images.host}/team/app:1.0", "--plain-http"],
    ):
        result = run(*line, "--yes", *as_carol)
        assert result.exit_code == 3
        assert "nothing is deleted: it is unknown which images workloads use" in result.stderr
        assert "--ignore-cluster" in result.stderr
    assert tags(images) == ["1.0", "2.0", "3.0"]


@pytest.mark.parametrize("kubeconfig", ["}{", None])
def test_a_cluster_that_cannot_be_reached_deletes_nothing(
    images: DockerRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    if kubeconfig is not None:
        path.write_text(kubeconfig)
    monkeypatch.setenv("KUBECONFIG", str(path))
    result = run("image", "prune", f"{images.host}/team/app", *RULES, "--yes")
    assert result.exit_code == 3
    assert tags(images) == ["1.0", "2.0", "3.0"]


def test_without_any_kubeconfig_a_note_says_that_nobody_was_asked(images: DockerRegistry) -> None:
    result = run_ok("image", "prune", f"{images.host}/team/app", *RULES, "--yes")
    assert "note: no kubeconfig: it is unknown which images workloads use" in result.stderr
    assert tags(images) == ["3.0"]


def test_a_list_of_another_cluster_keeps_its_images(
    kubernetes: ApiServer,
    namespace: str,
    images: DockerRegistry,
    tmp_path: Path,
) -> None:
    create_pod(kubernetes, namespace, f"{images.host}/team/app:2.0")
    there = ["-n", namespace, "--kubeconfig", str(kubernetes.kubeconfig), "-o", "json"]
    used = tmp_path / "used.json"
    used.write_text(run_ok("image", "used", images.host, *there).stdout)
    line = ["image", "prune", f"{images.host}/team/app", *RULES, "--yes", "--used-from"]
    document: dict[str, Any] = json.loads(used.read_text())
    for broken in ("[]", "{}", "nothing", json.dumps(document | {"complete": False})):
        (tmp_path / "broken.json").write_text(broken)
        assert run(*line, tmp_path / "broken.json").exit_code == 1
    assert tags(images) == ["1.0", "2.0", "3.0"]
    run_ok(*line, used)
    assert tags(images) == ["2.0", "3.0"]


def test_each_context_that_is_named_is_asked(
    kubernetes: ApiServer, namespace: str, images: DockerRegistry, tmp_path: Path
) -> None:
    create_pod(kubernetes, namespace, f"{images.host}/team/app:1.0")
    config = json.loads(kubernetes.kubeconfig.read_text())
    config["contexts"].append({"name": "gone", "context": {"cluster": "gone", "user": "admin"}})
    config["clusters"].append({"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}})
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    line = ["image", "prune", f"{images.host}/team/app", *RULES, "--yes"]
    line += ["--kubeconfig", str(path)]
    both = ["--used-context", "test", "--used-context", "gone", "--timeout", "0.5"]
    assert run(*line, *both).exit_code == 3
    assert tags(images) == ["1.0", "2.0", "3.0"]
    run_ok(*line, "--used-context", "test")
    assert tags(images) == ["1.0", "3.0"]
