"""
Measure `image push` against skopeo: 200 MB in 20 layers, to a real docker-registry.

Both push an OCI layout and docker's archive, each time to an empty registry. Also measures peak
memory.
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
    """Time both programs with both formats."""
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
        for name, (source, peer_source) in sources.items():
            found.append(_push(registry, name, str(source), peer_source.format(source)))
    return found


def _layers() -> list[bytes]:
    """Return content that compresses to half its size, as programs do: noise and text."""
    text = b"".join(path.read_bytes() for path in sorted(Path(os.__file__).parent.glob("*.py")))
    half = LAYER_BYTES // 2
    return [
        os.urandom(half) + (text * (half // len(text) + 1))[number * 1000 :][:half]
        for number in range(LAYERS)
    ]


def _push(registry: DockerRegistry, name: str, source: str, peer_source: str) -> Row:
    """Compare one push, each time to an empty registry."""
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
    """Return a sentence on the peak memory of a push."""
    with tempfile.TemporaryDirectory() as folder, docker_registry(Path(folder, "data")) as registry:
        source = Path(folder, "app.tar")
        source.write_bytes(tar_of(docker_archive((["app:1.0"], _layers()))))
        image = f"{registry.host}/team/app:1.0"
        most = peak(REGCTL, "image", "push", str(source), image, "--plain-http")
    return [f"`image push`, 200 MB in {LAYERS} layers: {most:.0f} MB at the peak"]
