"""The examples of docs/python.md run, one after the other, on a real registry and API server."""

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
EXAMPLES = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))


def test_the_examples_run(
    kubernetes: ApiServer, namespace: str, serve: Servers, tmp_path: Path
) -> None:
    names = {"team-a": f"{namespace}-a", "team-b": f"{namespace}-b"}
    for name in names.values():
        kubernetes.create_namespace(name)
    auth = tmp_path / "auth"
    auth.write_text(f"# our users\nci:{hashes.make('secret', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    registry.push_image("team/app", "1.0", user=("ci", "secret"))
    (tmp_path / "app.tar").write_bytes(tar_of(docker_archive((["app:2.0"], [b"layer"]))))
    examples = EXAMPLES
    for documented, actual in names.items():
        examples = examples.replace(f'"{documented}"', f'"{actual}"')
    script = tmp_path / "examples.py"
    given = f"HOST = {registry.host!r}\nKUBECONFIG = {str(kubernetes.kubeconfig)!r}\n"
    script.write_text(given + examples)
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    a, b = names.values()
    printed = result.stdout.splitlines()
    assert printed[:2] == ["['ci', 'alice']", "team/app ['1.0']"]
    assert printed[2].startswith("sha256:")
    assert "not found" in printed[3]
    assert printed[4].startswith("sha256:")
    assert printed[5] == f"[('{a}', 'create'), ('{b}', 'create')]"
    assert sorted(printed[6:8]) == [f"{a} created", f"{b} created"]
    assert printed[8] == f"{a}/secret/registry-basic-auth created"
    assert printed[9] == "['PersistentVolumeClaim', 'Service', 'Deployment', 'Ingress']"
