"""The API server, as its administrator."""

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer) -> Cluster:
    return Cluster(Kubeconfig({}, kubernetes.kubeconfig))
