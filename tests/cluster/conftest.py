"""Fixtures for the cluster package."""

import pytest

from regctl.cluster.client import Cluster
from tests.cluster import connect
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer) -> Cluster:
    return connect(kubernetes)
