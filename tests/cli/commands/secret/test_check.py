"""`secret check` on the real API server and a real registry."""

import base64
from pathlib import Path

from regctl.authfile import hashes
from tests.cli.commands.secret import KEY, create, run
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer


def test_check_finds_what_the_kubelet_cannot_use(kubernetes: ApiServer, namespace: str) -> None:
    kubernetes.create_service_account(
        namespace, pull_secrets=["good", "broken", "gone", "registry.foo.com"]
    )
    assert create("-n", namespace).exit_code == 0
    for name, content in (
        ("broken", '{"auths": {"a.io": {"auth": "bm9jb2xvbg=="}}}'),
        ("trap", '{"auths": {"https://a.io/v2": {"auth": "YTpi"}, "b.io": {}}}'),
        ("empty", "{}"),
    ):
        data = {KEY: base64.b64encode(content.encode()).decode()}
        kind = {"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson"}
        kubernetes.create_secret(namespace, {**kind, "data": data})
    result = run("secret", "check", "-n", namespace, "--offline")
    assert result.exit_code == 1
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    found = [(subject, key, why) for _, subject, key, _, _, why in rows]
    reasons = {(subject, key): why for subject, key, why in found if "also lists" not in why}
    assert "every Pod that lists it fails to pull" in reasons["secret/broken", ""]
    assert "reads the end of the key as a path" in reasons["secret/trap", "https://a.io/v2"]
    assert reasons["secret/trap", "b.io"] == "has no user and no password"
    assert reasons["secret/empty", ""] == "has no registry"
    assert "valid" in reasons["secret/registry.foo.com", "registry.foo.com"]
    assert any("also lists broken, which cannot be decoded" in why for _, _, why in found)
    assert any("lists gone" in why for _, _, why in found)


def test_check_tries_each_credential_once_at_its_registry(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
) -> None:
    auth = tmp_path / "auth"
    auth.write_text(f"alice:{hashes.make('right', cost=4)}\n")
    server = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    there = kubernetes.create_namespace(f"{namespace}-there")
    flags = ["--server", server.host, "--password-stdin", "-n", f"{namespace},{there}"]
    assert create("pull", *flags, stdin="wrong").exit_code == 0
    result = run("secret", "check", "pull", "-n", f"{namespace},{there}", "--plain-http", "-v")
    assert result.exit_code == 1
    verdicts = [line.split("\t")[4] for line in result.stdout.splitlines()]
    assert verdicts == ["problem", "problem"]
    assert result.stderr.count(f"{server.host}/v2/") <= 2
    assert "wrong" not in result.stdout
