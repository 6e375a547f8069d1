"""
How long lists take: `catalog` compared with curl, `catalog --tags` compared with skopeo.

Both run on the real docker-registry. A stand-in serves 100,000 names, to measure peak memory and
the time to the first line.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.side_by_side import Row, command, compare, peak
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.standin_registry import StandinRegistry, standin_registry

NAMES = [f"team-{number:04}/app" for number in range(3_000)]
TAGGED = 300
REGCTL = str(Path(sys.executable).with_name("regctl"))
MANY = 100_000


def rows() -> list[Row]:
    """Time both, each on a registry of its own."""
    with tempfile.TemporaryDirectory() as folder:
        with docker_registry(Path(folder, "large")) as large:
            fill(large, len(NAMES))
            found = [catalog(large)]
        with docker_registry(Path(folder, "small")) as small:
            fill(small, TAGGED)
            found.append(tags(small))
    return found


def fill(registry: DockerRegistry, count: int) -> None:
    """Add *count* repositories with one tag each."""
    registry.push_image(NAMES[0], "1.0")
    registry.copy_repository(NAMES[0], NAMES[1:count])


def catalog(registry: DockerRegistry) -> Row:
    """Compare the list of names with curl, which gets the same pages over one connection."""
    starts = ["", *(f"&last={NAMES[at - 1]}" for at in (1_000, 2_000))]
    pages = [f"{registry.url}/v2/_catalog?n=1000{start}" for start in starts]
    return compare(
        f"catalog, {len(NAMES)} names",
        command(REGCTL, "catalog", registry.host, "--plain-http"),
        "curl, the same 3 pages",
        command("curl", "--silent", "--fail", *pages, needs=["curl"]),
    )


def tags(registry: DockerRegistry) -> Row:
    """Compare the tags of all repositories with skopeo, one call for each, four at a time."""
    images = "".join(f"docker://{registry.host}/{name}\n" for name in NAMES[:TAGGED])
    skopeo = ["xargs", "-P4", "-n1", "skopeo", "list-tags", "--tls-verify=false"]
    return compare(
        f"catalog --tags, {TAGGED} repositories",
        command(REGCTL, "catalog", registry.host, "--plain-http", "--tags"),
        "skopeo list-tags, 4 at a time",
        command(*skopeo, stdin=images, needs=["skopeo"]),
        runs=3,
        bound=0.25,
    )


def requests_made() -> int:
    """Count the requests of `catalog --tags` on a stand-in of the same size, in pages of 100."""
    state = StandinRegistry(tags={name: ["1.0"] for name in NAMES[:TAGGED]}, page=100)
    with standin_registry(state) as registry:
        command(REGCTL, "catalog", registry.host, "--plain-http", "--tags")()
    return len(state.requests)


def large_list(page: int) -> tuple[float, float, float]:
    """
    List 100,000 names in pages of *page*.

    Returns MB at the peak, and seconds to the first line and to the end.
    """
    names: dict[str, list[str]] = {f"team-{number:06}/application": [] for number in range(MANY)}
    with standin_registry(StandinRegistry(tags=names, page=page)) as registry:
        line = [REGCTL, "catalog", registry.host, "--plain-http"]
        began = time.perf_counter()
        process = subprocess.Popen(line, stdout=subprocess.PIPE)
        if process.stdout is None:
            raise SystemExit("no pipe")
        process.stdout.readline()
        first = time.perf_counter() - began
        lines = 1 + sum(1 for _ in process.stdout)
        if process.wait() or lines != MANY:
            raise SystemExit(f"{lines} of {MANY} names")
        whole = time.perf_counter() - began
        return peak(*line), first, whole


def facts() -> list[str]:
    """Count requests, and measure a very long list."""
    found = [f"`catalog --tags`, {TAGGED} repositories in pages of 100: {requests_made()} requests"]
    # distribution serves 1,000 names a page at most; many registries always serve 100.
    for page in (1_000, 100):
        peak, first, whole = large_list(page)
        found.append(
            f"`catalog`, {MANY:,} names, {page:,} a page: {peak:.0f} MB at the peak, "
            f"first line after {first:.2f} s of {whole:.2f} s"
        )
    return found
