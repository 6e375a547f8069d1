"""
How long an upload takes: `image push` beside skopeo, 200 MB in 20 layers.

On the real docker-registry, from an OCI layout and from docker's archive, each time into an empty
repository; and its peak memory.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.side_by_side import Row, command, compare, peak
from tests.saved_images import Layout, docker_archive, tar_of
from tests.servers.docker_registry import DockerRegistry, docker_registry

LAYERS = 20
LAYER_BYTES = 10_000_000
REGCTL = str(Path(sys.executable).with_name("regctl"))


def rows() -> list[Row]:
    """Time both from both forms."""
    found = []
    with tempfile.TemporaryDirectory() as folder, docker_registry(Path(folder, "data")) as registry:
        layers = _layers()
        layout = Layout()
        layout.name(layout.image(layers), "1.0")
        sources = {
            "OCI layout": (layout.write(Path(folder, "layout")), "oci:{}:1.0"),
            "docker archive": (Path(folder, "app.tar"), "docker-archive:{}"),
        }
        sources["docker archive"][0].write_bytes(tar_of(docker_archive((["app:1.0"], layers))))
        del layers
        for name, (source, form) in sources.items():
            found.append(_push(registry, name, str(source), form.format(source)))
    return found


def _layers() -> list[bytes]:
    """Return content that compresses to half, as programs do: noise and text in turn."""
    text = b"".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("*.py")))
    half = LAYER_BYTES // 2
    return [
        os.urandom(half) + (text * (half // len(text) + 1))[number * 1000 :][:half]
        for number in range(LAYERS)
    ]


def _push(registry: DockerRegistry, name: str, source: str, peer_source: str) -> Row:
    """Compare one push, each time into an empty registry."""
    folder = registry.root / "docker" / "registry" / "v2"
    image = f"{registry.host}/team/app:1.0"
    return compare(
        f"push, 200 MB in 20 layers, {name}",
        command(REGCTL, "image", "push", source, image, "--plain-http"),
        "skopeo copy",
        command(
            *("skopeo", "copy", "--dest-tls-verify=false"),
            *(peer_source, f"docker://{image}"),
            needs=["skopeo"],
        ),
        bound=1.3,
        before=lambda: shutil.rmtree(folder, ignore_errors=True),
    )


def facts() -> list[str]:
    """Say what memory a push takes."""
    with tempfile.TemporaryDirectory() as folder, docker_registry(Path(folder, "data")) as registry:
        source = Path(folder, "app.tar")
        source.write_bytes(tar_of(docker_archive((["app:1.0"], _layers()))))
        image = f"{registry.host}/team/app:1.0"
        most = peak(REGCTL, "image", "push", str(source), image, "--plain-http")
    return [f"`image push`, 200 MB in {LAYERS} layers: {most:.0f} MB at the peak"]
