"""The README's five minutes, word for word, with an empty home and an empty folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Servers
from tests.saved_images import docker_archive, tar_of
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer, api_server
from tests.servers.proxies import tunnel

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
TOUR = README.partition("<!-- tour -->")[2].partition("<!-- end of tour -->")[0]
HOST = "registry.foo.com"


def commands() -> list[str]:
    """Return the command lines of the tour, in their order."""
    blocks = re.findall(r"```console\n(.*?)```", TOUR, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert lines
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture
def cluster(serve: Servers, tmp_path: Path) -> ApiServer:
    """Run a cluster with the tour's namespaces, and a default service account in each."""
    server = serve(api_server(tmp_path / "cluster"))
    for name in ("registry", "team-a", "team-b"):
        server.create_namespace(name)
        server.create_service_account(name)
    return server


@pytest.fixture
def environment(serve: Servers, tmp_path: Path, cluster: ApiServer) -> Iterator[dict[str, str]]:
    """Create empty folders, and serve registry.foo.com, which reads the folder's file `auth`."""
    home, folder = tmp_path / "empty-home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    (folder / "app.tar").write_bytes(tar_of(docker_archive((["team/app:1.0"], [b"layer"]))))
    certificate = make_certificate(tmp_path / "tls", HOST)
    # A registry that finds no auth file at its start creates one, with its own user.
    mounted = tmp_path / "auth"
    mounted.write_text("# nobody yet\n")
    running = serve(docker_registry(tmp_path / "data", auth_file=mounted, certificate=certificate))

    def registry() -> str:
        content = (folder / "auth").read_bytes()
        if content != mounted.read_bytes():
            mounted.write_bytes(content)
        return running.host

    with tunnel(registry) as proxy:
        yield {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "KUBECONFIG": str(cluster.kubeconfig),
            "HTTPS_PROXY": proxy.url,
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(certificate.ca_file),
        }


def test_the_tour_word_for_word(environment: dict[str, str], tmp_path: Path) -> None:
    script = "set -e -o pipefail\n" + "".join(
        f"echo; echo {_quoted('$ ' + line)}\n{line}\n" for line in commands()
    )
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path / "folder",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    printed = {
        step.partition("\n")[0]: step.partition("\n")[2] for step in result.stdout.split("\n$ ")[1:]
    }
    outcomes = {
        "regctl users": "ci\t",
        "regctl verify": "user/ci verified",
        f"regctl catalog {HOST} --long": "team/app\t",
        "regctl secret create": "team-b/serviceaccount/default configured",
        f"regctl doctor {HOST}/team/app:1.0": "image\tok",
        "--grace 0": "user/ci deleted",
    }
    for line, wanted in outcomes.items():
        shown = next(text for command, text in printed.items() if line in command)
        assert wanted in shown, f"{line}:\n{shown}"
    assert "Warning" not in result.stderr
    assert "Traceback" not in result.stderr


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
