"""
`python -m docs.output`, by `make output`: docs/output.md, of what every command really prints.

A test plays the same again and holds the document to it: keys and types, not values.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regctl.authfile import hashes
from tests.saved_images import docker_archive, tar_of
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import api_server

DOCUMENT = Path(__file__).with_name("output.md")
HOST = "registry.foo.com"
PLAIN = " --plain-http"

# What is typed, in its order; `{host}` is the registry.
SCENE = (
    "regctl adduser ci --generate",
    "regctl adduser alice",
    "regctl users",
    "regctl auth write more.csv",
    "regctl auth lock bob",
    "regctl auth unlock bob",
    "regctl auth expire",
    "regctl auth check",
    "regctl auth fix",
    "regctl auth cost",
    "regctl auth consumers",
    "regctl auth push -n registry",
    "regctl deluser bob --yes",
    "regctl auth diff -n registry",
    "regctl auth pull -n registry --yes",
    "regctl login {host} --username alice",
    "regctl image push app.tar {host}/team/app:1.0",
    "regctl image tag {host}/team/app:1.0 stable",
    "regctl image inspect {host}/team/app:1.0",
    "regctl catalog {host}",
    "regctl catalog {host} --long",
    "regctl tags {host}/team/app",
    "regctl tags {host}/team/app --long",
    "regctl ping {host}",
    "regctl secret create regcred --server {host} -n team-a --service-account default",
    "regctl secret diff regcred --server {host} -n team-a,team-b",
    "regctl secret list -n team-a",
    "regctl secret check -n team-a",
    "regctl secret sync pull-secrets.yaml",
    "regctl doctor {host} -n team-a",
    "regctl doctor --image {host}/team/app:1.0 -n team-a --platform linux/amd64",
    "regctl image prune {host}/team/app --keep-last 1",
    "regctl image delete {host}/team/app:1.0 --all-tags --yes",
    "regctl rotate alice --server {host} -n team-a --grace 0",
    "regctl secret delete regcred -n team-a --yes",
    "regctl logout {host}",
    "regctl registry apply foo --host {host} -n registry --tls-secret foo-tls --dry-run=client",
    "regctl registry apply foo --host {host} -n registry --tls-secret foo-tls",
    "regctl registry list -n registry",
    "regctl registry delete foo -n registry --yes",
    "regctl rbac --for 'secret create' regcred -n team-a --user ci",
)

# Kubernetes objects are described by Kubernetes.
OBJECTS = ("regctl rbac",)

HEAD = """\
# What `-o json` prints

One valid document on stdout, also when the command fails; `-o yaml` is the same as YAML. Sizes are
in bytes, times are ISO 8601 in UTC. What is not known is `null` in a listing; `note` and `error` of
a result are there where there is something to say. Keys may be added; none is renamed or taken away
within a major version. The exit code says how it ended.

An error, wherever there is one, is an object:

```json
{"message": "what was attempted, on what, and what was wrong", "hint": "what to do", "exit_code": 1}
```

What follows is what each command printed, one after the other, lists cut after their first entry.
"""


def play() -> Iterator[tuple[str, Any]]:
    """Yield each command line of the scene with the document that it printed, on real servers."""
    with (
        tempfile.TemporaryDirectory() as name,
        api_server(Path(name, "cluster")) as cluster,
    ):
        folder = Path(name, "work")
        folder.mkdir()
        twice = f"zoe:{hashes.make('correct horse', cost=4)}\n" * 2
        (folder / "auth").write_text(f"# users\n{twice}")
        (folder / "more.csv").write_text("name,password\nbob,horse battery\n")
        (folder / "app.tar").write_bytes(tar_of(docker_archive((["app:1.0"], [b"layer"]))))
        for namespace in ("registry", "team-a", "team-b"):
            cluster.create_namespace(namespace)
            cluster.create_service_account(namespace)
        with docker_registry(Path(name, "data"), auth_file=folder / "auth") as registry:
            (folder / "pull-secrets.yaml").write_text(
                f"name: registries\nsecrets:\n  - name: synced\n    registries:\n"
                f"      - server: {registry.host}\n    targets:\n      namespaces: [team-b]\n"
            )
            environment = {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": name,
                "KUBECONFIG": str(cluster.kubeconfig),
                "REGCTL_PASSWORD": "correct horse",
            }
            for line in SCENE:
                installs = line.startswith("regctl registry")
                host = HOST if installs else registry.host
                asks = not installs and ("{host}" in line or "secret check" in line)
                plain = PLAIN if asks and _takes_plain_http(line) else ""
                told = subprocess.run(
                    ["sh", "-c", f"{line.format(host=host)}{plain} -o json"],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if told.returncode not in {0, 1} or not told.stdout:
                    raise AssertionError(f"{line}: {told.returncode}\n{told.stderr}")
                shown = told.stdout.replace(registry.host, HOST).replace(name, "/home/me")
                yield line.format(host=HOST), json.loads(shown)


def _takes_plain_http(line: str) -> bool:
    none = ("secret create", "secret diff", "logout")
    return not any(line.startswith(f"regctl {command}") for command in none)


def shape(value: Any) -> Any:
    """Return the keys of a document, all the way down; a list is as its first entry."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def shortened(value: Any) -> Any:
    """Return a document with each list cut after its first entry, and what is secret left out."""
    if isinstance(value, dict):
        return {
            key: "(generated)"
            if key == "password"
            else dict.fromkeys(one, "(generated)")
            if key == "passwords"
            else shortened(one)
            for key, one in value.items()
        }
    return [shortened(value[0])] if isinstance(value, list) and value else value


def documented() -> dict[str, Any]:
    """Return what docs/output.md says that each command line prints."""
    found = re.findall(r"```console\n\$ (.*?) -o json\n```\n\n```json\n(.*?)```",
                       DOCUMENT.read_text(), re.DOTALL)  # fmt: skip
    return {line: json.loads(body) for line, body in found}


def document() -> str:
    """Return docs/output.md."""
    parts = [HEAD]
    heading = None
    for line, printed in play():
        words = line.split()
        named = " ".join(words[: 3 if words[1] in {"auth", "secret", "image", "registry"} else 2])
        if named != heading:
            parts.append(f"\n## `{named}`\n")
            heading = named
        if named in OBJECTS or "--dry-run=client" in line:
            parts.append("\nObjects of Kubernetes: one as it is, several as a `List`.\n")
            continue
        body = json.dumps(shortened(printed), indent=2)
        parts.append(f"\n```console\n$ {line} -o json\n```\n\n```json\n{body}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
