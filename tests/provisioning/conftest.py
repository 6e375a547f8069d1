"""A client of the API server, and a registry to install."""

from pathlib import Path

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.provisioning.spec import RegistrySpec
from tests.provisioning.specs import registry
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster(Kubeconfig({"HOME": str(tmp_path)}, kubernetes.kubeconfig))


@pytest.fixture
def spec(namespace: str) -> RegistrySpec:
    return registry(namespace=namespace)
