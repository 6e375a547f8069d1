"""
How long pull secrets take in 1,000 namespaces, compared with kubectl for the same Secrets.

The API server is a real one on loopback, and once more with 20 ms added to each round trip. Peak
memory is measured with 10,000 namespaces.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.side_by_side import Row, command, compare, peak
from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import NAMESPACES, SECRETS
from tests.servers.kubernetes import ApiServer, api_server
from tests.servers.process import on_free_port

COUNT = 1000
MANY = 10_000
LATENCY_MS = 20
NAME = "registry.foo.com"
REGCTL = str(Path(sys.executable).with_name("regctl"))
ENVIRON = {**os.environ, "REGCTL_USERNAME": "alice", "REGCTL_PASSWORD": "secret"}
CREATE = [REGCTL, "secret", "create", "--server", NAME, "-A", "--exclude", "default", "--quiet"]
CREATE += ["--no-verify"]
PEER = "kubectl apply --server-side"


@contextmanager
def filled_server() -> Iterator[ApiServer]:
    """Run an API server with as many namespaces as the rows need."""
    with tempfile.TemporaryDirectory() as folder, api_server(Path(folder)) as server:
        fill(server, 0, COUNT)
        yield server


def fill(server: ApiServer, first: int, last: int) -> None:
    """Create namespaces by number."""
    cluster = Cluster(Kubeconfig({}, server.kubeconfig))

    def create(number: int) -> None:
        metadata = {"name": f"team-{number:05d}"}
        cluster.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    list(parallel.run(create, range(first, last)))


def empty(server: ApiServer) -> None:
    """Delete every Secret that a run created."""
    cluster = Cluster(Kubeconfig({}, server.kubeconfig))
    found = [
        item["metadata"]["namespace"]
        for item in cluster.list(SECRETS, field_selector=f"metadata.name={NAME}")
    ]
    list(parallel.run(lambda namespace: cluster.delete(SECRETS, namespace, NAME), found))


def far_kubeconfig(server: ApiServer, port: int) -> Path:
    """Return a kubeconfig that connects through the relay on *port*."""
    document = json.loads(server.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path = server.folder / "kubeconfig-far"
    path.write_text(json.dumps(document))
    return path


def rows() -> list[Row]:
    """Time all rows on an API server of their own."""
    with filled_server() as server:
        return rows_on(server)


def rows_on(server: ApiServer) -> list[Row]:
    """Time the first run, a run with nothing to do, and a first run from far away."""
    near = {**ENVIRON, "KUBECONFIG": str(server.kubeconfig)}
    manifests = server.folder / "manifests.yaml"
    flags = ["--dry-run=client", "-o", "yaml"]
    made = subprocess.run([*CREATE, *flags], env=near, check=True, capture_output=True)
    manifests.write_bytes(made.stdout)
    apply = ["kubectl", "apply", "--server-side", "-f", str(manifests)]
    ours, theirs = command(*CREATE, env=near), command(*apply, env=near, needs=["kubectl"])
    task = f"{COUNT:,} Secrets"
    found = [
        compare(
            f"{task}, first time",
            ours,
            PEER,
            theirs,
            runs=5,
            bound=0.7,
            before=lambda: empty(server),
        ),
        compare(f"{task}, nothing to do", ours, PEER, theirs, runs=5, bound=0.35),
    ]
    relay = [sys.executable, str(Path(__file__).with_name("delay.py"))]
    relay += [server.url.rpartition(":")[2], str(LATENCY_MS)]
    with on_free_port(lambda port: [*relay, str(port)], log=server.folder / "relay.log") as (
        _,
        port,
    ):
        far = {**near, "KUBECONFIG": str(far_kubeconfig(server, port))}
        found.append(
            compare(
                f"{task}, {LATENCY_MS} ms away, 16 workers",
                command(*CREATE, "--workers", "16", env=far),
                PEER,
                command(*apply, env=far, needs=["kubectl"]),
                runs=1,
                bound=0.15,
                before=lambda: empty(server),
            )
        )
    return found


def facts() -> list[str]:
    """Return the peak memory for 10,000 namespaces."""
    with tempfile.TemporaryDirectory() as folder, api_server(Path(folder)) as server:
        fill(server, 0, MANY)
        environ = {**ENVIRON, "KUBECONFIG": str(server.kubeconfig)}
        first, again = peak(*CREATE, env=environ), peak(*CREATE, env=environ)
    fact = (
        f"`secret create`, {MANY:,} namespaces: {first:.0f} MB at the peak the first time, "
        f"{again:.0f} MB with nothing to do"
    )
    return [fact]
