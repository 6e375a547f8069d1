"""A registry, an empty repository in it, and saved images to push."""

from pathlib import Path

import pytest

from tests.cli.commands.image import LAYERS
from tests.conftest import Servers
from tests.saved_images import Layout, docker_archive, tar_of
from tests.servers.docker_registry import DockerRegistry, docker_registry


@pytest.fixture(scope="session")
def upstream(serve_session: Servers, tmp_path_factory: pytest.TempPathFactory) -> DockerRegistry:
    return serve_session(docker_registry(tmp_path_factory.mktemp("images")))


@pytest.fixture
def app(upstream: DockerRegistry) -> str:
    """The name of an image in an empty repository."""
    upstream.forget("team/app")
    return f"{upstream.host}/team/app"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image for two platforms, as an OCI layout."""
    layout = Layout()
    children = [layout.image(LAYERS, architecture=name) for name in ("amd64", "arm64")]
    layout.name(layout.index(*children), "1.0")
    return layout.write(tmp_path / "oci")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image saved by docker as team/app:1.0."""
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["team/app:1.0"], LAYERS))))
    return path
