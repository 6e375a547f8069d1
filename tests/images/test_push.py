"""Uploads of saved images to a real registry, and their requests to a scripted one."""

from pathlib import Path

import pytest

from regctl.errors import BodyTooLargeError
from regctl.images.archive import open_archive
from regctl.images.push import ImagePusher, PushedImage
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.saved_images import Layout, docker_archive, tar_of
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

LAYERS = (b"first layer" * 1000, b"second layer" * 2000)
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def registry(serve_module: Servers, tmp_path_factory: pytest.TempPathFactory) -> DockerRegistry:
    return serve_module(docker_registry(tmp_path_factory.mktemp("push")))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "app.tar"
    path.write_bytes(tar_of(docker_archive((["app:1.0"], LAYERS))))
    return path


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image for two platforms, as an OCI layout."""
    layout = Layout()
    children = [layout.image(LAYERS, architecture=name) for name in ("amd64", "arm64")]
    layout.name(layout.index(*children), "1.0")
    return layout.write(tmp_path / "oci")


def client_of(host: str) -> RegistryClient:
    return RegistryClient(Registry.parse(host), settings=ConnectionSettings(plain_http=True))


def push(pusher: ImagePusher, source: Path, *references: str) -> PushedImage:
    with open_archive(source) as (image,):
        return pusher.push(image.manifest, references or ["1.0"])


def test_a_second_push_uploads_nothing(registry: DockerRegistry, archive: Path) -> None:
    client = client_of(registry.host)
    pusher = ImagePusher(client, "push/again")
    first = push(pusher, archive, "1.0", "latest")
    assert (first.count("uploaded"), first.count("unchanged")) == (3, 0)
    assert first.sent_bytes == sum(blob.descriptor.size for blob in first.blobs)
    assert client.tags("push/again") == ["1.0", "latest"]
    assert client.manifest_head("push/again", "latest").digest == first.digest
    second = push(pusher, archive)
    assert (second.digest, second.sent_bytes, second.count("unchanged")) == (first.digest, 0, 3)


def test_blobs_are_mounted_from_another_repository(registry: DockerRegistry, archive: Path) -> None:
    client = client_of(registry.host)
    push(ImagePusher(client, "push/base"), archive)
    pusher = ImagePusher(client, "push/derived", mount_from=["push/none", "push/base"])
    assert push(pusher, archive).count("mounted") == 3


@pytest.mark.parametrize("source", ["archive", "layout"])
def test_progress_adds_up_to_the_size_of_the_saved_image(
    registry: DockerRegistry, source: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(source)
    with open_archive(path) as (image,):
        size = image.manifest.size
    for _ in ("uploaded", "skipped"):
        counts: list[int] = []
        pusher = ImagePusher(client_of(registry.host), f"push/{source}")
        with open_archive(path) as (image,):
            pusher.push(image.manifest, ["1.0"], on_progress=counts.append)
        assert sum(counts) == pytest.approx(size, abs=len(counts))


def test_the_tag_is_uploaded_last(serve: Servers, layout: Path) -> None:
    written: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.method == "HEAD":
            return Answer(404)
        kind, name = request.path.split("/")[-2:]
        if request.method == "PUT":
            written.append(name if kind == "manifests" else "blob")
            return Answer(201)
        return Answer(202, headers={"Location": f"/v2/team/app/blobs/uploads/{len(written)}"})

    host = serve(standin_registry(StandinRegistry(script=script))).host
    pushed = push(ImagePusher(client_of(host), "team/app"), layout)
    blobs = len(pushed.blobs)
    assert written[:blobs] == ["blob"] * blobs
    children = written[blobs:-1]
    assert len(children) == 2
    assert all(name.startswith("sha256:") for name in children)
    assert written[-1] == "1.0"


def test_an_upload_begun_in_place_of_a_mount_is_cancelled(serve: Servers, archive: Path) -> None:
    """A registry that does not mount a blob answers 202 and expects an upload."""
    requests: list[tuple[str, str]] = []

    def script(request: Request) -> Answer | None:
        if request.method == "HEAD":
            return Answer(200 if "/base/" in request.path else 404)
        name = request.path.rpartition("/")[2]
        if request.method == "POST":
            kind = "unmounted" if "mount" in request.query else "upload"
            return Answer(202, headers={"Location": f"/v2/team/app/blobs/uploads/{kind}"})
        requests.append((request.method, name))
        return Answer({"DELETE": 204, "PUT": 201}.get(request.method, 202))

    host = serve(standin_registry(StandinRegistry(script=script))).host
    pusher = ImagePusher(client_of(host), "team/app", mount_from=["team/base"])
    assert push(pusher, archive).count("uploaded") == 3
    assert requests.count(("DELETE", "unmounted")) == 3


def test_a_chunk_size_shrinks_and_never_grows() -> None:
    pusher = ImagePusher(client_of("127.0.0.1:1"), "team/app")
    assert pusher.chunk_size is None, "the whole blob at first"
    for size, expected in ((64 * MIB, 64 * MIB), (MIB, MIB), (16 * MIB, MIB)):
        pusher.reduce_chunks(size)
        assert pusher.chunk_size == expected, "another thread may report a larger chunk later"


def test_there_is_no_chunk_size_below_the_smallest(serve: Servers, archive: Path) -> None:
    def script(request: Request) -> Answer | None:
        location = {"Location": "/v2/team/app/blobs/uploads/1"}
        return {
            "POST": Answer(202, headers=location),
            "PATCH": Answer(413),
            "DELETE": Answer(204),
        }.get(request.method)

    host = serve(standin_registry(StandinRegistry(script=script))).host
    with pytest.raises(BodyTooLargeError):
        push(ImagePusher(client_of(host), "team/app"), archive)
