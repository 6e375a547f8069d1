"""olareg: a registry that is not distribution, and has no catalog."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.docker_registry import DockerRegistry
from tests.servers.process import on_free_port
from tests.servers.programs import find


@contextmanager
def olareg(folder: Path, *, delete: bool = True) -> Iterator[DockerRegistry]:
    """Run olareg with its data in *folder*, an OCI layout for each repository."""
    program = find("olareg")
    root = folder / "data"
    root.mkdir(parents=True)

    def arguments(port: int) -> list[str]:
        flags = ["--addr", "127.0.0.1", "--port", str(port), "--dir", str(root)]
        return [program, "serve", *flags, f"--api-delete={str(delete).lower()}"]

    with on_free_port(arguments, log=folder / "olareg.log") as (process, port):
        host = f"127.0.0.1:{port}"
        yield DockerRegistry(host, f"http://{host}", root, process)
