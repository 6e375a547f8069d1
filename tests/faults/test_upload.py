"""Uploads that fail: lost connections, body limits, a full disk, damaged images."""

import contextlib
import hashlib
import io
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regctl.cli.main import main
from regctl.errors import RegistryError, RegistryUnreachableError
from regctl.images.archive import SavedManifest, open_archive
from regctl.images.layers import Blob
from regctl.images.push import ImagePusher, PushedImage
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff
from tests.conftest import Servers
from tests.saved_images import Layout
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.nginx import nginx
from tests.servers.olareg import olareg
from tests.servers.programs import version_of
from tests.servers.proxies import cutting_proxy
from tests.servers.standin_registry import (
    Answer,
    Request,
    Script,
    StandinRegistry,
    in_turn,
    standin_registry,
)

LAYER = os.urandom(3_000_000)
CUTS = [150_000 + 250_000 * number for number in range(10)]


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["image", "push", *args, "--plain-http"], prog_name="regctl")


def push(source: Path, host: str, *, chunk: int | None = None) -> PushedImage:
    """Push with the library, without pauses between tries."""
    settings = ConnectionSettings(plain_http=True, backoff=Backoff(tries=4, base=0.001))
    client = RegistryClient(Registry.parse(host), settings=settings)
    pusher = ImagePusher(
        client, "team/app", backoff=Backoff(tries=12, base=0.001), chunk_size=chunk
    )
    with open_archive(source) as (image,):
        return pusher.push(image.manifest, ["1.0"])


def tags(registry: DockerRegistry) -> bytes:
    return registry.request("GET", "/v2/team/app/tags/list")[2]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = Layout()
    layout.name(layout.image([b"small", LAYER]), "1.0")
    return layout.write(tmp_path_factory.mktemp("saved"))


@pytest.fixture(scope="module")
def upstream(serve_module: Servers, tmp_path_factory: pytest.TempPathFactory) -> DockerRegistry:
    return serve_module(docker_registry(tmp_path_factory.mktemp("upload")))


@pytest.mark.parametrize("cut", CUTS)
def test_a_connection_that_is_cut_once(saved: Path, upstream: DockerRegistry, cut: int) -> None:
    upstream.forget("team/app")
    with cutting_proxy(upstream.host, [cut]) as proxy:
        pushed = push(saved, proxy.host)
    assert proxy.done == [cut]
    assert pushed.count("uploaded") == 3
    assert b"1.0" in tags(upstream)


def test_only_the_rest_is_sent_if_the_registry_knows_how_much_it_has(
    saved: Path, upstream: DockerRegistry, serve: Servers, tmp_path: Path
) -> None:
    """Behind ingress-nginx a chunk arrives whole or not at all; the registry keeps the others."""
    upstream.forget("team/app")
    between = serve(nginx(tmp_path / "nginx", upstream=upstream.host, buffering=True))
    with cutting_proxy(between.host, CUTS) as proxy:
        pushed = push(saved, proxy.host, chunk=262_144)
    assert proxy.done == CUTS
    assert pushed.count("uploaded") == 3
    assert proxy.sent < len(LAYER) + len(CUTS) * 262_144 + 100_000, "the upload never starts again"
    assert b"1.0" in tags(upstream)


def test_a_connection_that_is_cut_again_and_again(saved: Path, upstream: DockerRegistry) -> None:
    """distribution 3 keeps the bytes of a broken PATCH. 2.8 drops them, and the push gives up."""
    upstream.forget("team/app")
    with cutting_proxy(upstream.host, range(100_000, 9_000_000, 100_000)) as proxy:
        if version_of("registry") >= (3, 0):
            assert push(saved, proxy.host).count("uploaded") == 3
            assert b"1.0" in tags(upstream)
            assert len(proxy.done) >= len(LAYER) // 100_000
            assert proxy.sent < 2 * len(LAYER)
        else:
            with pytest.raises(
                RegistryUnreachableError,
                match=r"cannot upload sha256:\w+ to .*: the connection broke before the response",
            ):
                push(saved, proxy.host)
            assert b"1.0" not in tags(upstream)


def test_olareg_keeps_what_it_received_before_a_cut(
    saved: Path, serve: Servers, tmp_path: Path
) -> None:
    registry = serve(olareg(tmp_path / "olareg"))
    with cutting_proxy(registry.host, range(100_000, 9_000_000, 100_000)) as proxy:
        assert push(saved, proxy.host).count("uploaded") == 3
    assert len(proxy.done) >= len(LAYER) // 100_000
    assert proxy.sent < 2 * len(LAYER)
    assert b"1.0" in tags(registry)


def test_a_connection_that_is_lost_for_good_leaves_no_tag(
    saved: Path, upstream: DockerRegistry
) -> None:
    """From some point on, each connection is cut before the registry has read a request."""
    upstream.forget("team/app")
    with (
        cutting_proxy(upstream.host, range(1_000_000, 1_001_000)) as proxy,
        pytest.raises(
            RegistryUnreachableError, match="the connection broke before the response ended"
        ),
    ):
        push(saved, proxy.host)
    assert b"1.0" not in tags(upstream)


@pytest.mark.parametrize("limit", ["1m", "300k"])
def test_a_blob_is_sent_in_chunks_below_a_body_limit(
    saved: Path, upstream: DockerRegistry, serve: Servers, tmp_path: Path, limit: str
) -> None:
    upstream.forget("team/app")
    between = serve(nginx(tmp_path / "nginx", upstream=upstream.host, max_body=limit))
    result = run(str(saved), f"{between.host}/team/app")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{between.host}/team/app:1.0@sha256:")


def test_a_body_limit_below_every_chunk_is_explained(
    saved: Path, upstream: DockerRegistry, serve: Servers, tmp_path: Path
) -> None:
    upstream.forget("team/app")
    between = serve(nginx(tmp_path / "nginx", upstream=upstream.host, max_body="10k"))
    result = run(str(saved), f"{between.host}/team/app")
    assert result.exit_code == 1
    assert "a proxy in front of the registry rejects a body of that size" in result.stderr
    assert "nginx.ingress.kubernetes.io/proxy-body-size" in result.stderr
    assert b"1.0" not in tags(upstream)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a file system can't be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_no_tag(
    saved: Path, serve: Servers, tmp_path: Path, small_disk: Path
) -> None:
    registry = serve(docker_registry(tmp_path / "registry", root=small_disk))
    result = run(str(saved), f"{registry.host}/team/app")
    assert result.exit_code == 1
    assert "the registry's disk is full" in result.stderr
    assert "regctl image prune" in result.stderr
    assert b"1.0" not in tags(registry)


def test_a_damaged_layer_is_never_committed(upstream: DockerRegistry, tmp_path: Path) -> None:
    upstream.forget("team/app")
    layout = Layout()
    layout.name(layout.image([LAYER[:500_000]]), "1.0")
    folder = layout.write(tmp_path)
    layer = max(folder.glob("blobs/sha256/*"), key=lambda path: path.stat().st_size)
    layer.write_bytes(b"x" + layer.read_bytes()[1:])
    result = run(str(folder), f"{upstream.host}/team/app")
    assert result.exit_code == 1
    assert f"the saved blob sha256:{layer.name} has the digest sha256:" in result.stderr
    assert upstream.request("HEAD", f"/v2/team/app/blobs/sha256:{layer.name}")[0] == 404
    assert b"1.0" not in tags(upstream)
    assert not list(upstream.root.rglob("_uploads/*/data")), "the upload is cancelled"


def test_an_upload_continues_or_starts_again_as_the_registry_answers(serve: Servers) -> None:
    """The registry is busy, then rejects the offset, then does not know the upload."""
    content = b"0123456789"
    blob = Blob(
        f"sha256:{hashlib.sha256(content).hexdigest()}", 10, "text/x", lambda: io.BytesIO(content)
    )
    place = "/v2/team/app/blobs/uploads"
    uploading = in_turn(
        Answer(202, headers={"Location": f"{place}/one"}),
        Answer(503),
        Answer(204, headers={"Location": f"{place}/one-a", "Range": "0-2"}),
        Answer(416, b'{"errors": [{"code": "RANGE_INVALID"}]}'),
        Answer(204, headers={"Location": f"{place}/one-b", "Range": "0-4"}),
        Answer(404, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}'),
        Answer(204),
        Answer(202, headers={"Location": f"{place}/two"}),
        Answer(416),
        Answer(204, headers={"Location": f"{place}/two-b", "Range": "0-0"}),
        Answer(204),
        Answer(202, headers={"Location": f"{place}/three"}),
        Answer(202, headers={"Location": f"{place}/three-b", "Range": "0-9"}),
        Answer(201),
    )
    seen: list[tuple[str, str, str | None, bytes]] = []

    def script(request: Request) -> Answer | None:
        if request.method == "HEAD":
            return Answer(404)
        if "/manifests/" in request.path:
            return Answer(201)
        name = request.path.rpartition("/")[2]
        seen.append((request.method, name, request.headers.get("content-range"), request.body))
        return uploading(request)

    host = serve(standin_registry(StandinRegistry(script=script))).host
    client = RegistryClient(Registry.parse(host), settings=ConnectionSettings(plain_http=True))
    pusher = ImagePusher(client, "team/app", backoff=Backoff(tries=9, base=0.001))
    manifest = SavedManifest("application/x", (blob,), body=b"{}")
    assert pusher.push(manifest, ["1.0"]).count("uploaded") == 1
    assert seen == [
        ("POST", "", None, b""),
        ("PATCH", "one", None, content),
        ("GET", "one", None, b""),
        ("PATCH", "one-a", "3-9", content[3:]),
        ("GET", "one-a", None, b""),
        ("PATCH", "one-b", "5-9", content[5:]),
        ("DELETE", "one-b", None, b""),
        ("POST", "", None, b""),
        ("PATCH", "two", "0-9", content),
        ("GET", "two", None, b""),
        ("DELETE", "two-b", None, b""),
        ("POST", "", None, b""),
        ("PATCH", "three", "0-9", content),
        ("PUT", "three-b", None, b""),
    ]


def small_blob(content: bytes) -> SavedManifest:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    blob = Blob(digest, len(content), "text/x", lambda: io.BytesIO(content))
    return SavedManifest("application/x", (blob,), body=b"{}")


def upload_to(host: str, image: SavedManifest, tries: int) -> None:
    client = RegistryClient(Registry.parse(host), settings=ConnectionSettings(plain_http=True))
    pusher = ImagePusher(client, "team/app", backoff=Backoff(tries=tries, base=0.001))
    pusher.push(image, ["1.0"])


def uploading(patch: Script, state: Script = lambda _: None) -> StandinRegistry:
    """Return a registry without blobs: *patch* answers a chunk, *state* how much is there."""

    def script(request: Request) -> Answer:
        place = {"Location": "/v2/team/app/blobs/uploads/x"}
        match request.method:
            case "HEAD":
                return Answer(404)
            case "PATCH":
                answer = patch(request) or Answer(500)
                return replace(answer, headers={**place, **answer.headers})
            case "GET":
                return state(request) or Answer(404)
            case "POST":
                return Answer(202, headers=place)
        return Answer(201 if request.method == "PUT" else 204)

    return StandinRegistry(script=script)


@pytest.mark.parametrize(
    "received", ["0-0", "0-1", "", "0-" + "9" * 5000, "0-\xb2", "bytes"], ids=str.__len__
)
@pytest.mark.parametrize("status", [202, 503])
def test_an_upload_whose_offset_does_not_grow_ends_after_the_usual_tries(
    serve: Servers, received: str, status: int
) -> None:
    """However often the registry says that it received a chunk, or asks to go on."""
    headers = {"Range": received} if received else {}
    state = uploading(
        lambda _: Answer(status, headers=headers), lambda _: Answer(204, headers=headers)
    )
    registry = serve(standin_registry(state))
    with contextlib.suppress(RegistryUnreachableError):
        upload_to(registry.host, small_blob(b"0123456789"), tries=5)
    assert sum(request.method == "PATCH" for request in registry.requests) <= 5


def test_an_upload_that_grows_by_a_byte_a_try_ends(serve: Servers) -> None:
    """The rest of the blob is sent each time: the whole would be its size squared."""
    grown: list[Request] = []

    def grow(request: Request) -> Answer:
        grown.append(request)
        return Answer(202, headers={"Range": f"0-{len(grown)}"})

    def say(_request: Request) -> Answer:
        return Answer(204, headers={"Range": f"0-{len(grown)}"})

    registry = serve(standin_registry(uploading(grow, say)))
    with pytest.raises(RegistryUnreachableError, match="received 6 of 300 bytes"):
        upload_to(registry.host, small_blob(b"x" * 300), tries=5)
    assert [len(request.body) for request in grown] == [300, 298, 297, 296, 295]


@pytest.mark.parametrize("content", [b"", b"x"])
def test_the_smallest_blobs_are_uploaded(
    serve: Servers, upstream: DockerRegistry, content: bytes
) -> None:
    """distribution answers 0-0 whether it received one byte or none."""
    with pytest.raises(RegistryError, match="manifest invalid"):
        upload_to(upstream.host, small_blob(content), tries=2)
    digest = hashlib.sha256(content).hexdigest()
    assert upstream.request("HEAD", f"/v2/team/app/blobs/sha256:{digest}")[0] == 200
    registry = serve(standin_registry(uploading(lambda _: Answer(202, headers={"Range": "0-0"}))))
    upload_to(registry.host, small_blob(content), tries=2)
    assert [request.body for request in registry.requests if request.method == "PATCH"] == (
        [content] if content else []
    )


def test_a_registry_that_claims_what_was_not_sent_is_not_believed(serve: Servers) -> None:
    """A chunk that says more than it has ends where it ends; the rest is sent after it."""
    state = uploading(lambda _: Answer(202, headers={"Range": "0-99"}))
    registry = serve(standin_registry(state))
    client = RegistryClient(
        Registry.parse(registry.host), settings=ConnectionSettings(plain_http=True)
    )
    image = small_blob(b"0123456789")
    ImagePusher(client, "team/app", chunk_size=4).push(image, ["1.0"])
    bodies = [request.body for request in registry.requests if request.method == "PATCH"]
    assert bodies == [b"0123", b"4567", b"89"]
