"""`secret list` on the real API server."""

import base64
import json
from pathlib import Path

import pytest

from tests.cli.commands.secret import KEY, PASSWORD, create, refused, run
from tests.servers.kubernetes import ApiServer


def test_list_shows_registries_users_accounts_and_state(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    assert create("-n", namespace, "--attach", "default").exit_code == 0
    broken = {"metadata": {"name": "broken"}, "type": "kubernetes.io/dockerconfigjson"}
    data = {KEY: base64.b64encode(b'{"auths": 5}').decode()}
    kubernetes.create_secret(namespace, {**broken, "data": data})
    lines = run("secret", "list", "-n", namespace).stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    assert [[*line[:4], *line[5:]] for line in fields] == [
        [namespace, "broken", "", "", "", "broken"],
        [namespace, "registry.foo.com", "registry.foo.com", "alice", "default", "regctl"],
    ]
    only = run("secret", "list", "-n", namespace, "--server", "https://registry.foo.com/v1/")
    assert [line.split("\t")[1] for line in only.stdout.splitlines()] == ["registry.foo.com"]
    record = json.loads(run("secret", "list", "-n", namespace, "-o", "json").stdout)["secrets"][0]
    assert "auths" in record["problem"]
    assert PASSWORD not in run("secret", "list", "-n", namespace, "-o", "yaml").stdout


@pytest.mark.parametrize("command", [("list",), ("check", "--offline")])
def test_a_namespace_that_is_named_twice_is_read_once(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "namespaces"
    file.write_text(f"{namespace}\nnamespace/{namespace}\n")
    twice = ["-n", f"{namespace},{namespace}", "--namespaces-from", str(file)]
    mark = kubernetes.audit_mark()
    assert run("secret", *command, *twice).exit_code == 0
    # Secrets of two types, and service accounts.
    reads = [(event.verb, event.resource) for event in kubernetes.audit(mark)]
    assert reads == [("list", "secrets"), ("list", "secrets"), ("list", "serviceaccounts")]


def test_a_file_of_namespaces_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    refused(run("secret", "list", "--namespaces-from", missing), 1, missing, "No such file")
