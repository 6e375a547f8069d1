"""An image for two platforms in a real registry, for the commands that read images."""

from typing import Any

import pytest

from tests.conftest import Servers
from tests.servers.docker_registry import MANIFEST_TYPE, DockerRegistry
from tests.servers.olareg import olareg

LIST_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture(scope="session")
def without_catalog(
    serve_session: Servers, tmp_path_factory: pytest.TempPathFactory
) -> DockerRegistry:
    """olareg, a registry that has no catalog; each test has a repository of its own there."""
    return serve_session(olareg(tmp_path_factory.mktemp("olareg")))


@pytest.fixture(scope="session")
def two_platforms(registry: DockerRegistry) -> str:
    """`HOST/images/app` with tags 1.0 and 2.0, which share a layer, and an index of both: `all`."""
    name = "images/app"
    shared = b"shared" * 100
    children = []
    for tag, architecture, layer, month in (
        ("1.0", "amd64", b"one", 1),
        ("2.0", "arm64", b"three", 2),
    ):
        config = {
            "os": "linux",
            "architecture": architecture,
            "created": f"2026-0{month}-0{month}T00:00:00Z",
            "config": {"Labels": {"team": "blue"}},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        child: dict[str, Any] = {
            "mediaType": MANIFEST_TYPE,
            "digest": registry.push_image(name, tag, layers=[shared, layer], config=config),
            "size": 500,
            "platform": {"os": "linux", "architecture": architecture},
        }
        children.append(child)
    index = {"schemaVersion": 2, "mediaType": LIST_TYPE, "manifests": children}
    registry.push_manifest(name, "all", index, LIST_TYPE)
    return f"{registry.host}/{name}"
