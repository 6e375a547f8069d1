"""The API server, as its administrator."""

import pytest

from regctl.cluster.client import Cluster
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer) -> Cluster:
    return Cluster.from_environment({}, kubeconfig=kubernetes.kubeconfig)
