"""`regctl image used`: on the real API server, with each kind of workload."""

import json
from typing import Any

import pytest

from tests.cli import run, run_ok
from tests.servers.kubernetes import ApiServer

HOST = "registry.foo.com"
DIGEST = f"sha256:{'a' * 64}"
TEMPLATE_KINDS = {
    "Deployment": ("apps", "deployments"),
    "StatefulSet": ("apps", "statefulsets"),
    "DaemonSet": ("apps", "daemonsets"),
    "Job": ("batch", "jobs"),
    "CronJob": ("batch", "cronjobs"),
}


def pod_spec(*images: str, **more: Any) -> dict[str, Any]:
    containers = [{"name": f"c{at}", "image": image} for at, image in enumerate(images)]
    return {"containers": containers, "restartPolicy": "Never", **more}


def create(server: ApiServer, namespace: str, path: str, item: dict[str, Any]) -> dict[str, Any]:
    prefix = "/api/v1" if "/" not in path else f"/apis/{path.partition('/')[0]}/v1"
    plural = path.rpartition("/")[2]
    status, answer = server.request("POST", f"{prefix}/namespaces/{namespace}/{plural}", item)
    if status == 404:  # CronJobs before Kubernetes 1.21
        prefix += "beta1"
        status, answer = server.request("POST", f"{prefix}/namespaces/{namespace}/{plural}", item)
    assert status == 201, answer
    return answer


def create_template(server: ApiServer, namespace: str, kind: str, image: str) -> None:
    group, plural = TEMPLATE_KINDS[kind]
    name = kind.lower()
    labels = {"app": name}
    spec: dict[str, Any] = {"template": {"metadata": {"labels": labels}, "spec": pod_spec(image)}}
    if group == "apps":
        spec["selector"] = {"matchLabels": labels}
        spec["template"]["spec"]["restartPolicy"] = "Always"
    if kind == "CronJob":
        spec = {"schedule": "0 0 * * *", "jobTemplate": {"spec": spec}}
    item = {"metadata": {"name": name}, "spec": spec}
    create(server, namespace, f"{group}/{plural}", item)


def create_pod(
    server: ApiServer, namespace: str, name: str, spec: dict[str, Any], **metadata: Any
) -> None:
    create(server, namespace, "pods", {"metadata": {"name": name, **metadata}, "spec": spec})


@pytest.fixture(autouse=True)
def as_administrator(kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))


@pytest.fixture
def used(namespace: str) -> Any:
    """Return the function that lists the images of this registry in the namespace."""

    def used(*flags: str) -> dict[str, dict[str, Any]]:
        result = run_ok("image", "used", HOST, "-n", namespace, "-o", "json", *flags)
        return {item["image"]: item for item in json.loads(result.stdout)["images"]}

    return used


def workloads(item: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(one["kind"], one["name"], one["pods"]) for one in item["workloads"]]


def test_every_kind_of_workload_counts_also_without_pods(
    kubernetes: ApiServer, namespace: str, used: Any
) -> None:
    for kind in TEMPLATE_KINDS:
        create_template(kubernetes, namespace, kind, f"{HOST}/{kind.lower()}:1")
    labels = {"app": "idle"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(f"{HOST}/idle:1")}
    template["spec"]["restartPolicy"] = "Always"
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    item = {"metadata": {"name": "idle"}, "spec": spec}
    create(kubernetes, namespace, "apps/deployments", item)
    found = used()
    assert {image: workloads(item) for image, item in found.items()} == {
        f"{HOST}/cronjob:1": [("CronJob", "cronjob", 0)],
        f"{HOST}/daemonset:1": [("DaemonSet", "daemonset", 0)],
        f"{HOST}/deployment:1": [("Deployment", "deployment", 0)],
        f"{HOST}/idle:1": [("Deployment", "idle", 0)],
        f"{HOST}/job:1": [("Job", "job", 0)],
        f"{HOST}/statefulset:1": [("StatefulSet", "statefulset", 0)],
    }


def test_every_place_of_a_pod_that_names_an_image_counts(
    kubernetes: ApiServer, namespace: str, used: Any
) -> None:
    spec = pod_spec(f"{HOST}/app:1", f"{HOST}/app@{DIGEST}", "elsewhere.io/app:1", "not an image")
    spec["initContainers"] = [{"name": "init", "image": f"{HOST}/init:1"}]
    reference = {"reference": f"{HOST}/data:1"}
    spec["volumes"] = [{"name": "data", "image": reference}]
    create_pod(kubernetes, namespace, "web", spec | {"serviceAccountName": "default"})
    expected = {f"{HOST}/{name}" for name in ("app:1", f"app@{DIGEST}", "init:1")}
    # The oldest API server drops the field.
    assert expected <= used().keys() <= expected | {f"{HOST}/data:1"}


def test_a_pod_counts_for_what_made_it_and_reports_the_digest_that_runs(
    kubernetes: ApiServer, namespace: str, used: Any
) -> None:
    create_template(kubernetes, namespace, "Deployment", f"{HOST}/web:1")
    create_template(kubernetes, namespace, "CronJob", f"{HOST}/cron:1")

    def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
        version = "apps/v1" if kind == "ReplicaSet" else "batch/v1"
        owner = {"apiVersion": version, "kind": kind, "name": name, "uid": "1", "controller": True}
        return {"ownerReferences": [owner], "labels": labels}

    job = {"template": {"spec": pod_spec(f"{HOST}/cron:1")}}
    item = {"metadata": {"name": "cron-1", **owned("CronJob", "cronjob")}, "spec": job}
    create(kubernetes, namespace, "batch/jobs", item)
    pods = {
        "deployment-abc-1": owned("ReplicaSet", "deployment-abc", **{"pod-template-hash": "abc"}),
        "deployment-abc-2": owned("ReplicaSet", "deployment-abc", **{"pod-template-hash": "abc"}),
        "cron-1-x": owned("Job", "cron-1"),
    }
    for name, metadata in pods.items():
        image = "cron:1" if name.startswith("cron") else "web:1"
        create_pod(kubernetes, namespace, name, pod_spec(f"{HOST}/{image}"), **metadata)
    for name, image_id in [
        ("deployment-abc-1", f"{HOST}/web@{DIGEST}"),
        ("deployment-abc-2", f"docker-pullable://{HOST}/web@{DIGEST}"),
        ("cron-1-x", DIGEST),
    ]:
        status = {"name": "c0", "image": "x", "imageID": image_id, "ready": True, "restartCount": 0}
        patch = {"status": {"phase": "Running", "containerStatuses": [status]}}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        code, answer = kubernetes.request(
            "PATCH", path, patch, content_type="application/merge-patch+json"
        )
        assert code == 200, answer
    found = used()
    assert workloads(found[f"{HOST}/web:1"]) == [("Deployment", "deployment", 2)]
    assert found[f"{HOST}/web:1"]["digests"] == [f"{HOST}/web@{DIGEST}"]
    assert workloads(found[f"{HOST}/cron:1"]) == [("CronJob", "cronjob", 1)]
    assert found[f"{HOST}/cron:1"]["digests"] == []


def test_a_kind_that_cannot_be_listed_is_named_and_the_others_are_listed(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_pod(kubernetes, namespace, "web", pod_spec(f"{HOST}/app:1"))
    kubernetes.grant(
        "carol", namespace, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    )
    line = ["image", "used", HOST, "-n", namespace, "--kubeconfig"]
    result = run(*line, kubernetes.kubeconfig_for("carol"))
    assert result.exit_code == 3
    assert f"{HOST}/app:1\t1\t{namespace}/pod/web" in result.stdout
    assert "cannot list deployments" in result.stderr
    assert "5 lists could not be read" in result.stderr


def test_a_namespace_without_such_an_image_is_an_empty_list(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_pod(kubernetes, namespace, "web", pod_spec("elsewhere.io/app:1"))
    result = run_ok("image", "used", HOST, "-n", namespace)
    assert (result.stdout, result.stderr) == ("", "note: no workload uses such an image\n")
    everything = run_ok("image", "used", "-n", namespace, "-o", "name")
    assert everything.stdout == "elsewhere.io/app:1\n"
