"""`secret sync` on the real API server."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.cli.commands.secret import PASSWORD, create, decoded, refused, sync
from tests.servers.kubernetes import ApiServer


def sync_file(folder: Path, namespaces: Sequence[str], name: str = "pull") -> str:
    path = folder / "sync.yaml"
    document = {
        "name": f"set-{namespaces[0]}",
        "secrets": [
            {
                "name": name,
                "registries": [
                    {
                        "server": "registry.foo.com",
                        "credential": {
                            "env": {"username": "REGCTL_USERNAME", "password": "REGCTL_PASSWORD"}
                        },
                    },
                    {
                        "server": "b.io",
                        "credential": {"file": {"username": "bob", "path": "word"}},
                    },
                ],
                "targets": {"namespaces": list(namespaces)},
                "attach": ["default"],
            }
        ],
    }
    path.write_text(yaml.safe_dump(document))
    (folder / "word").write_text("from a file\n")
    return str(path)


def test_sync_creates_what_the_file_declares_and_prunes_the_rest(
    kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    there = kubernetes.create_namespace(f"{namespace}-there")
    for one in (namespace, there):
        kubernetes.create_service_account(one)
    path = sync_file(tmp_path, [namespace, there])
    drift = sync(path, "--check")
    assert drift.exit_code == 1
    assert drift.stdout.count("missing") == 2
    done = sync(path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("created") == 2
    auths = decoded(kubernetes.secret(namespace, "pull"))["auths"]
    assert auths["b.io"]["password"] == "from a file"
    assert auths["registry.foo.com"]["password"] == PASSWORD
    assert sync(path, "--check").exit_code == 0
    assert sync(path).stdout.count("unchanged") == 4
    # Another Secret that regctl manages, which this file must not prune.
    assert create("-n", there).exit_code == 0
    path = sync_file(tmp_path, [namespace])
    assert sync(path).stdout.count("unchanged") == 2
    refused(sync(path, "--prune"), 1, "not confirmed", f"{there}/secret/pull deleted")
    assert sync(path, "--prune", "--check").exit_code == 1
    pruned = sync(path, "--prune", "--yes")
    assert f"{there}/secret/pull deleted" in pruned.stdout
    assert kubernetes.secret(there, "registry.foo.com")
    account = kubernetes.get(f"/api/v1/namespaces/{there}/serviceaccounts/default")
    assert not account.get("imagePullSecrets")


def test_sync_of_all_namespaces_prunes_none_of_the_system_unless_it_is_named(
    kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    system = kubernetes.create_namespace(f"kube-{namespace}")
    for one in (namespace, system):
        kubernetes.create_service_account(one)
    assert sync(sync_file(tmp_path, [namespace, system])).exit_code == 0
    found = kubernetes.get("/api/v1/namespaces")["items"]
    others = [one["metadata"]["name"] for one in found if one["metadata"]["name"] != namespace]
    path = Path(sync_file(tmp_path, [namespace]))
    document = yaml.safe_load(path.read_text())
    document["secrets"][0]["targets"] = {"all": True, "exclude": others}
    path.write_text(yaml.safe_dump(document))
    kept = sync(str(path), "--prune", "--yes")
    assert (kept.exit_code, system in kept.output) == (0, False), kept.output
    assert kubernetes.secret(system, "pull")
    document["secrets"][0]["targets"]["namespaces"] = [system]
    path.write_text(yaml.safe_dump(document))
    pruned = sync(str(path), "--prune", "--yes")
    assert f"{system}/secret/pull deleted" in pruned.stdout


def test_sync_prunes_nothing_if_a_credential_is_missing(namespace: str, tmp_path: Path) -> None:
    path = sync_file(tmp_path, [namespace])
    (tmp_path / "word").unlink()
    refused(sync(path, "--prune", "--yes"), 1, "word", "No such file")


def test_a_mistake_in_the_file_is_reported_with_its_line(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    path = tmp_path / "sync.yaml"
    path.write_text("name: x\nsecrets:\n  - registry: a.io\n")
    mark = kubernetes.audit_mark()
    refused(sync(str(path)), 1, "line 3", "registry: is not a known key")
    assert kubernetes.audit(mark) == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sync.yaml"
    refused(sync(str(path)), 1, str(path), "No such file")
    path.write_bytes(b"name: x\n\xff")
    refused(sync(str(path)), 1, f"{path}, line 2", "not UTF-8")


def test_sync_reads_credentials_from_docker_and_from_other_secrets(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create("source", "--server", "a.io", "-n", namespace).exit_code == 0
    auth = base64.b64encode(b"docker:from-docker").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"b.io": {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    registries = [
        {"server": "a.io", "credential": {"secret": f"{namespace}/source"}, "email": "a@b.c"},
        {"server": "b.io"},
    ]
    secrets = [{"registries": registries, "targets": {"namespaces": [namespace]}}]
    path = tmp_path / "sync.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "secrets": secrets}))
    assert sync(str(path)).stdout == f"{namespace}/secret/a.io created\n"
    auths = decoded(kubernetes.secret(namespace, "a.io"))["auths"]
    assert (auths["a.io"]["password"], auths["a.io"]["email"]) == (PASSWORD, "a@b.c")
    assert auths["b.io"]["password"] == "from-docker"
    (tmp_path / "config.json").unlink()
    refused(sync(str(path)), 1, "no credential for b.io")
