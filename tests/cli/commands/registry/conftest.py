"""An administrator of the cluster, and the definitions that some registries need."""

from pathlib import Path

import pytest

from tests.servers.kubernetes import ApiServer


@pytest.fixture(autouse=True)
def administrator(kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))


@pytest.fixture
def definitions(kubernetes: ApiServer) -> None:
    """What Traefik and the Gateway API bring with them, as far as the API server must know it."""
    for group, version, kind, plural in (
        ("traefik.io", "v1alpha1", "Middleware", "middlewares"),
        ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    ):
        define(kubernetes, group, version, kind, plural)


def define(kubernetes: ApiServer, group: str, version: str, kind: str, plural: str) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    name = f"{plural}.{group}"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body = {
        # The Gateway API's group is protected: only an approved definition is served.
        "metadata": {
            "name": name,
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
    status, answer = kubernetes.request("POST", path, body)
    assert status in {201, 409}, answer
    # Served a moment after it is made.
    while kubernetes.request("GET", f"/apis/{group}/{version}/{plural}")[0] != 200:
        pass
