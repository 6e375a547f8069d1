"""
`python -m docs.output`, by `make output`: write docs/output.md from what each command prints.

A test plays the same scene again and compares keys and types, not values.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from regctl.authfile import hashes
from regctl.cli.main import main
from tests.cli import run
from tests.saved_images import docker_archive, tar_of
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer, api_server

DOCUMENT = Path(__file__).with_name("output.md")
HOST = "registry.foo.com"
NAMESPACES = {"infra": "registry", "a": "team-a", "b": "team-b"}

# The command lines in their order. `{host}` is the registry; the others are namespaces. The cluster
# is shared, and `registry list` finds pull secrets of other tests, but none for hub.foo.com.
SCENE = (
    "regctl adduser ci --generate",
    "regctl adduser alice",
    "regctl users",
    "regctl auth write more.csv",
    "regctl auth lock bob",
    "regctl auth unlock bob",
    "regctl auth check",
    "regctl auth check --fix",
    "regctl auth check --for all",
    "regctl auth push --auth-secret {infra}/registry-basic-auth",
    "regctl deluser bob --yes",
    "regctl auth push --auth-secret {infra}/registry-basic-auth --check",
    "regctl auth pull --auth-secret {infra}/registry-basic-auth --yes",
    "regctl login {host} --username alice",
    "regctl image push app.tar {host}/team/app:1.0",
    "regctl image tag {host}/team/app:1.0 stable",
    "regctl image inspect {host}/team/app:1.0",
    "regctl catalog {host}",
    "regctl catalog {host} --long",
    "regctl tags {host}/team/app",
    "regctl tags {host}/team/app --long",
    "regctl ping {host}",
    "regctl secret create regcred --server {host} -n {a} --attach default",
    "regctl secret create regcred --server {host} -n {a},{b} --check",
    "regctl secret list -n {a}",
    "regctl secret show {a}/regcred",
    "regctl secret check -n {a}",
    "regctl secret sync pull-secrets.yaml",
    "regctl doctor {host} -n {a}",
    "regctl doctor {host}/team/app:1.0 -n {a} --platform linux/amd64",
    "regctl image prune {host}/team/app --keep-last 1 --dry-run",
    "regctl image delete {host}/team/app:1.0 --all-tags --yes",
    "regctl rotate alice --server {host} -n {a},{b} --grace 0",
    "regctl secret delete regcred -n {a} --yes",
    "regctl logout {host}",
    "regctl registry apply foo --host hub.foo.com -n {infra} --tls-secret foo-tls --dry-run",
    "regctl registry apply foo --host hub.foo.com -n {infra} --tls-secret foo-tls",
    "regctl registry list -n {infra}",
    "regctl image used -n {infra}",
    "regctl registry delete foo -n {infra} --yes",
    "regctl rbac secret create --name regcred -n {a} --to user:ci",
)


def prints_objects(line: str) -> bool:
    """Return whether a command line prints Kubernetes objects, which Kubernetes documents."""
    return line.startswith("regctl rbac") or (
        line.startswith("regctl registry apply") and line.endswith("--dry-run")
    )


HEAD = """\
# What `-o json` prints

`make output` writes this file. Each command prints one valid document to standard output, also if
it fails. `-o yaml` prints the same as YAML. Sizes are in bytes, times are ISO 8601 in UTC. In a
listing an unknown value is `null`. A result has `note` and `error` only if there is one. Keys may
be added, but none is renamed or removed within a major version. The exit codes are in
[commands.md](commands.md#exit-codes).

An error is an object:

```json
{"message": "what was attempted, on what, and what was wrong", "hint": "what to do", "exit_code": 1}
```

Below is what each command printed, one after the other. Lists are cut after their first entry.
"""


def play(cluster: ApiServer, names: dict[str, str] = NAMESPACES) -> Iterator[tuple[str, Any]]:
    """
    Yield each command line of the scene with the document that it printed, on real servers.

    *names* are the namespaces to create in *cluster* and to use in place of NAMESPACES.
    """
    for namespace in names.values():
        cluster.create_namespace(namespace)
        cluster.create_service_account(namespace)
    with tempfile.TemporaryDirectory() as name, _working_in(Path(name)):
        twice = f"zoe:{hashes.make('correct horse', cost=4)}\n" * 2
        Path("auth").write_text(f"# users\n{twice}")
        Path("more.csv").write_text("name,password\nbob,horse battery\n")
        Path("app.tar").write_bytes(tar_of(docker_archive((["app:1.0"], [b"layer"]))))
        with docker_registry(Path(name, "data"), auth_file=Path(name, "auth")) as registry:
            Path("pull-secrets.yaml").write_text(
                f"name: registries\nsecrets:\n  - name: synced\n    registries:\n"
                f"      - server: {registry.host}\n    targets:\n"
                f"      namespaces: [{names['b']}]\n"
            )
            shown_as = {registry.host: HOST, name: "/home/me"}
            shown_as |= {names[key]: NAMESPACES[key] for key in names}
            for line in SCENE:
                text = _printed(line.format(host=registry.host, **names), name, cluster)
                for actual, shown in shown_as.items():
                    text = text.replace(actual, shown)
                yield line.format(host=HOST, **NAMESPACES), json.loads(text)


def _printed(line: str, home: str, cluster: ApiServer) -> str:
    """Return what a command line prints with `-o json`."""
    words = line.split()[1:]
    plain = ["--plain-http"] if _connects_to_registry(words) else []
    environment = {
        "HOME": home,
        "KUBECONFIG": str(cluster.kubeconfig),
        "REGCTL_PASSWORD": "correct horse",
        "DOCKER_CONFIG": None,
    }
    result = run(*words, *plain, "-o", "json", env=environment)
    if result.exit_code not in {0, 1} or not result.stdout:
        raise AssertionError(f"{line}: {result.exit_code}\n{result.stderr}")
    return result.stdout


def _connects_to_registry(words: list[str]) -> bool:
    command: click.Command = main
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    return any("--plain-http" in param.opts for param in command.params)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shape(value: Any) -> Any:
    """Return the keys of a document at all levels; a list has the shape of its first entry."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def shortened(value: Any) -> Any:
    """Return a document with each list cut after its first entry, and without its passwords."""
    if isinstance(value, dict):
        return {
            key: dict.fromkeys(one, "(generated)") if key == "passwords" else shortened(one)
            for key, one in value.items()
        }
    return [shortened(value[0])] if isinstance(value, list) and value else value


def documented() -> dict[str, Any]:
    """Return the document of each command line in docs/output.md."""
    found = re.findall(
        r"```console\n\$ (.*?) -o json\n```\n\n```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    return {line: json.loads(body) for line, body in found}


def document(cluster: ApiServer) -> str:
    """Return docs/output.md."""
    parts = [HEAD]
    heading = None
    for line, printed in play(cluster):
        words = line.split()
        group = isinstance(main.commands[words[1]], click.Group)
        path = " ".join(words[: 3 if group else 2])
        if path != heading:
            parts.append(f"\n## `{path}`\n")
            heading = path
        if prints_objects(line):
            parts.append("\nKubernetes objects: one as it is, several as a `List`.\n")
            continue
        body = json.dumps(shortened(printed), indent=2)
        parts.append(f"\n```console\n$ {line} -o json\n```\n\n```json\n{body}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, api_server(Path(folder)) as server:
        DOCUMENT.write_text(document(server))
