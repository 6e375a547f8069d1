"""docs/python.md: its examples run, one after the other, on a real registry and API server."""

import re
import subprocess
import sys
from pathlib import Path

from regctl.authfile import hashes
from tests.conftest import Servers
from tests.saved_images import docker_archive, tar_of
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "python.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_the_examples_run(kubernetes: ApiServer, serve: Servers, tmp_path: Path) -> None:
    for name in ("team-a", "team-b"):
        if kubernetes.request("GET", f"/api/v1/namespaces/{name}")[0] != 200:
            kubernetes.create_namespace(name)
    auth = tmp_path / "auth"
    auth.write_text(f"# our users\nci:{hashes.make('secret', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    registry.push_image("team/app", "1.0", user=("ci", "secret"))
    (tmp_path / "app.tar").write_bytes(tar_of(docker_archive((["app:2.0"], [b"layer"]))))
    script = tmp_path / "examples.py"
    given = f"HOST = {registry.host!r}\nKUBECONFIG = {str(kubernetes.kubeconfig)!r}\n"
    script.write_text(given + "\n".join(EXAMPLES))
    told = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    first, *rest = told.stdout.splitlines()
    assert first == "team/app ['1.0']"
    assert rest[0].startswith("sha256:")
    assert sorted(rest[2:4]) == ["team-a created", "team-b created"]
    assert rest[4] == "['PersistentVolumeClaim', 'Service', 'Deployment', 'Ingress']"
