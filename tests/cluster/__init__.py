"""What the tests of the cluster package share."""

from collections.abc import Callable
from typing import Any

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.errors import RegctlError
from tests.servers.kubernetes import ApiServer

EMPTY = "e30="
TYPE = "kubernetes.io/dockerconfigjson"


def connect(server: ApiServer, user: str = "admin", **options: Any) -> Cluster:
    return Cluster(Kubeconfig({}, server.kubeconfig_for(user)), **options)


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
