"""An upload where things go wrong: cut connections, body limits, a full disk, damaged images."""

import hashlib
import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regctl.cli.main import main
from regctl.errors import RegistryUnreachableError
from regctl.images import archive
from regctl.images.push import ChunkSize, ImagePusher, Pushed
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff
from tests.conftest import Servers
from tests.saved_images import Layout
from tests.servers.cutting_proxy import cutting_proxy
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.nginx import nginx
from tests.servers.standin_registry import (
    Answer,
    Request,
    StandinRegistry,
    in_turn,
    standin_registry,
)

LAYER = os.urandom(3_000_000)
CUTS = [150_000 + 250_000 * number for number in range(10)]


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["image", "push", *args, "--plain-http"], prog_name="regctl")


def push(source: Path, host: str, *, part: int | None = None) -> Pushed:
    """Push with the library, without waiting between tries."""
    client = RegistryClient(Registry.parse(host), transport=ConnectionSettings(plain_http=True))
    pusher = ImagePusher(
        client, "team/app", backoff=Backoff(tries=12, base=0.001), part_size=ChunkSize(part)
    )
    with archive.open_archive(str(source), io.BytesIO()) as (image,):
        return pusher.push(image.manifest, ["1.0"])


def tags(registry: DockerRegistry) -> bytes:
    return registry.request("GET", "/v2/team/app/tags/list")[2]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = Layout()
    layout.name(layout.image([b"small", LAYER]), "1.0")
    return layout.write(tmp_path_factory.mktemp("saved"))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("upload")) as registry:
        yield registry


@pytest.mark.parametrize("cut", CUTS)
def test_a_connection_that_is_cut_once(saved: Path, upstream: DockerRegistry, cut: int) -> None:
    upstream.forget("team/app")
    with cutting_proxy(upstream.host, [cut]) as proxy:
        pushed = push(saved, proxy.host)
    assert proxy.done == [cut]
    assert pushed.count("uploaded") == 3
    assert b"1.0" in tags(upstream)


def test_where_the_registry_knows_how_much_it_has_only_the_rest_is_sent(
    saved: Path, upstream: DockerRegistry, serve: Servers, tmp_path: Path
) -> None:
    """Behind ingress-nginx a part arrives whole or not at all, and the parts before it count."""
    upstream.forget("team/app")
    between = serve(nginx(tmp_path / "nginx", upstream=upstream.host, buffering=True))
    with cutting_proxy(between.host, CUTS) as proxy:
        pushed = push(saved, proxy.host, part=262_144)
    assert proxy.done == CUTS
    assert pushed.count("uploaded") == 3
    assert proxy.passed < len(LAYER) + len(CUTS) * 262_144 + 100_000, "never from the beginning"
    assert b"1.0" in tags(upstream)


def test_a_connection_that_never_holds_leaves_no_tag(saved: Path, upstream: DockerRegistry) -> None:
    upstream.forget("team/app")
    with (
        cutting_proxy(upstream.host, range(100_000, 9_000_000, 100_000)) as proxy,
        pytest.raises(
            RegistryUnreachableError, match=r"cannot upload sha256:\w+ to .*: its answer broke off"
        ),
    ):
        push(saved, proxy.host)
    assert b"1.0" not in tags(upstream)


@pytest.mark.parametrize("limit", ["1m", "300k"])
def test_a_body_limit_is_met_with_parts(
    saved: Path, upstream: DockerRegistry, serve: Servers, tmp_path: Path, limit: str
) -> None:
    upstream.forget("team/app")
    between = serve(nginx(tmp_path / "nginx", upstream=upstream.host, max_body=limit))
    told = run(str(saved), f"{between.host}/team/app")
    assert told.exit_code == 0, told.stderr
    assert told.stdout.startswith(f"{between.host}/team/app:1.0@sha256:")


def test_a_body_limit_that_nothing_meets_is_explained(
    saved: Path, upstream: DockerRegistry, serve: Servers, tmp_path: Path
) -> None:
    upstream.forget("team/app")
    between = serve(nginx(tmp_path / "nginx", upstream=upstream.host, max_body="10k"))
    told = run(str(saved), f"{between.host}/team/app")
    assert told.exit_code == 1
    assert "a proxy in front of the registry rejects a body of that size" in told.stderr
    assert "nginx.ingress.kubernetes.io/proxy-body-size" in told.stderr
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
    told = run(str(saved), f"{registry.host}/team/app")
    assert told.exit_code == 1
    assert "the registry's disk is full" in told.stderr
    assert "regctl image prune" in told.stderr
    assert b"1.0" not in tags(registry)


def test_a_damaged_layer_is_never_committed(upstream: DockerRegistry, tmp_path: Path) -> None:
    upstream.forget("team/app")
    layout = Layout()
    layout.name(layout.image([LAYER[:500_000]]), "1.0")
    folder = layout.write(tmp_path)
    layer = max(folder.glob("blobs/sha256/*"), key=lambda path: path.stat().st_size)
    layer.write_bytes(b"x" + layer.read_bytes()[1:])
    told = run(str(folder), f"{upstream.host}/team/app")
    assert told.exit_code == 1
    assert f"the saved blob sha256:{layer.name} has the digest sha256:" in told.stderr
    assert upstream.request("HEAD", f"/v2/team/app/blobs/sha256:{layer.name}")[0] == 404
    assert b"1.0" not in tags(upstream)
    assert not list(upstream.root.rglob("_uploads/*/data")), "nothing half done stays"


def test_a_registry_that_loses_its_way(serve: Servers) -> None:
    """Busy, then it has half of it, then it knows nothing of it: each time it goes on."""
    content = b"0123456789"
    blob = archive.Blob(
        f"sha256:{hashlib.sha256(content).hexdigest()}", 10, "text/x", lambda: io.BytesIO(content)
    )
    place = "/v2/team/app/blobs/uploads"
    uploading = in_turn(
        Answer(202, headers={"Location": f"{place}/one"}),
        Answer(503),
        Answer(204, headers={"Location": f"{place}/one-b", "Range": "0-4"}),
        Answer(404, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}'),
        Answer(204),
        Answer(202, headers={"Location": f"{place}/two"}),
        Answer(202, headers={"Location": f"{place}/two-b", "Range": "0-9"}),
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
    client = RegistryClient(Registry.parse(host), transport=ConnectionSettings(plain_http=True))
    pusher = ImagePusher(client, "team/app", backoff=Backoff(tries=9, base=0.001))
    manifest = archive.SavedManifest("application/x", (blob,), body=b"{}")
    assert pusher.push(manifest, ["1.0"]).count("uploaded") == 1
    assert seen == [
        ("POST", "", None, b""),
        ("PATCH", "one", None, content),
        ("GET", "one", None, b""),
        ("PATCH", "one-b", "5-9", content[5:]),
        ("DELETE", "one-b", None, b""),
        ("POST", "", None, b""),
        ("PATCH", "two", "0-9", content),
        ("PUT", "two-b", None, b""),
    ]
