"""One hostile Secret beside nine good ones, on the real API server and the real registry."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from regctl.authfile import hashes
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer, api_server

USER, PASSWORD = "ci", "right"
GOOD = [f"good-{number}" for number in range(1, 10)]
BAD = "bad"
# How much of one megabyte, the limit of a Secret, a hostile one fills.
MUCH = 1_000_000


def auths(entries: object) -> bytes:
    return b'{"auths":%s}' % json.dumps(entries).encode()


def keys(*names: str) -> bytes:
    entry = {"username": USER, "password": "x"}
    return auths(dict.fromkeys(names, entry))


SURROGATE = b'"\\ud800"'
FORMS = {
    "half an IPv6 address": keys("https://[::1", "https://[::1]x", "http://[", "https://a]b"),
    "no IPv6 address": keys("[::::]", "https://[1.2]:5000"),
    "half an address in full-width letters": keys("https://\u2100.com", "\uff0e\uff0e/x"),
    "lone surrogates": b'{"auths":{%s:{"username":%s,"password":%s,"email":%s}}}'
    % ((SURROGATE,) * 4),
    "bytes that are not UTF-8": auths(
        {"127.0.0.1:1": {"auth": base64.b64encode(b"\xff:\xff").decode()}}
    ),
    "a host that is not UTF-8": keys("%ff%fe", "https://%ff:1/"),
    "controls": keys("\x1b[2J\x07", "a\r\nb", "\x00"),
    "stars": keys("*a" * 12, "*.*.*.*", "*" * 1000),
    "a long label": keys("a" * 64, "a" * MUCH),
    "many labels": keys("a." * (MUCH // 2)),
    "many half addresses": keys("[" * MUCH),
    "a long user": auths({"127.0.0.1:1": {"username": "u" * MUCH, "password": "p"}}),
    "a line ending in a password": auths({"127.0.0.1:1": {"username": "u\nv", "password": "p\nq"}}),
    # The API server takes 10,000 levels.
    "deep lists": b'{"auths":' + b"[" * 9_000 + b"]" * 9_000 + b"}",
    "deep objects": b'{"auths":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_001,
    "a long number": b'{"auths":{"127.0.0.1:1":{"x":' + b"1" * 300 + b"}}}",
    "broken base64": auths({"127.0.0.1:1": {"auth": "=" * 999_000}}),
    "many entries": keys(*(f"127.0.0.1:1/{number}" for number in range(2_000))),
    "double names": b'{"auths":{' + b'"127.0.0.1:1":{},' * 5_000 + b'"127.0.0.1:1":{}}}',
    "no object": b"{}",
}


@dataclass
class Cluster:
    """Ten namespaces, each with the Secret regcred, that of BAD hostile; *auth* has the user."""

    kubernetes: ApiServer
    registry: DockerRegistry
    auth: Path

    def create(self, *more: str) -> Result:
        command = ["secret", "create", "regcred", "--server", self.registry.host]
        command += ["--username", USER, "--password-stdin", "--plain-http"]
        return run(*command, *more, stdin=PASSWORD)

    def plant(self, content: bytes) -> None:
        """Replace the Secret of BAD."""
        path = f"/api/v1/namespaces/{BAD}/secrets"
        self.kubernetes.request("DELETE", f"{path}/regcred")
        data = {".dockerconfigjson": base64.b64encode(content).decode()}
        kind = "kubernetes.io/dockerconfigjson"
        body = {"metadata": {"name": "regcred"}, "type": kind, "data": data}
        self.kubernetes.create_secret(BAD, body)


@pytest.fixture(scope="module")
def servers(
    serve_module: Servers, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ApiServer, DockerRegistry, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    auth = folder / "auth"
    auth.write_text(f"{USER}:{hashes.make(PASSWORD, cost=4)}\n")
    kubernetes = serve_module(api_server(folder / "kubernetes"))
    registry = serve_module(docker_registry(folder / "registry", auth_file=auth))
    for name in (*GOOD, BAD):
        kubernetes.create_namespace(name)
        kubernetes.create_service_account(name, pull_secrets=["regcred"])
    return kubernetes, registry, auth


@pytest.fixture
def cluster(
    servers: tuple[ApiServer, DockerRegistry, Path], monkeypatch: pytest.MonkeyPatch
) -> Cluster:
    kubernetes, registry, auth = servers
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    auth.write_text(f"{USER}:{hashes.make(PASSWORD, cost=4)}\nother:{hashes.make('x', cost=4)}\n")
    cluster = Cluster(kubernetes, registry, auth)
    done = cluster.create("-n", ",".join(GOOD))
    assert done.exit_code == 0, done.stderr
    return cluster


def good_lines(text: str, words: str) -> int:
    """Return how many lines about a good Secret have these words."""
    return sum("good-" in line and words in line for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_secret_is_one_finding(cluster: Cluster, tmp_path: Path, form: str) -> None:
    """The good ones are listed, checked, updated, rotated and deleted."""
    cluster.plant(FORMS[form])
    host, auth = cluster.registry.host, str(cluster.auth)

    assert good_lines(run_ok("secret", "list", "-A").stdout, "regctl") == len(GOOD)
    for more in ([], ["-o", "json"], ["--server", host]):
        assert run("secret", "show", f"{BAD}/regcred", *more).exit_code in {0, 1}
    checked = run("secret", "check", "-A", "--plain-http", "--timeout", "30")
    assert good_lines(checked.stdout, "accepted by the registry") == len(GOOD)
    assert f"{BAD}\tsecret/regcred" in checked.stdout

    doctor = run("doctor", host, "-f", auth, "--plain-http", "--timeout", "30")
    assert "9 entries work" in doctor.stdout
    assert run("doctor", f"{host}/team/app:1", "-n", BAD, "--plain-http").exit_code == 1

    created = cluster.create("-A", "--exclude", "default")
    assert created.exit_code == 3, created.stderr
    assert good_lines(created.stdout, "unchanged") == len(GOOD)
    merged = cluster.create("-A", "--merge", "--adopt", "--dry-run")
    assert good_lines(merged.stdout, "unchanged") == len(GOOD)
    file = tmp_path / "sync.json"
    file.write_text(json.dumps(declared(host)))
    environment = {"U": USER, "P": PASSWORD}
    synced = run("secret", "sync", file, "--plain-http", "--dry-run", env=environment)
    assert good_lines(synced.stdout, "configured") == len(GOOD)

    removed = run_ok("deluser", USER, "-f", auth, "-A", "--dry-run")
    assert good_lines(removed.stderr, "secret/regcred") == len(GOOD)
    rotate = ["rotate", USER, "-f", auth, "--server", host, "--plain-http", "--grace", "0"]
    rotated = run_ok(*rotate)
    assert good_lines(rotated.stdout + rotated.stderr, "configured") == len(GOOD)
    deleted = run("secret", "delete", "regcred", "-A", "--yes")
    assert good_lines(deleted.stdout, "secret/regcred deleted") == len(GOOD)
    assert cluster.kubernetes.secret(BAD, "regcred")


def declared(host: str) -> dict[str, Any]:
    """Return the file of `secret sync` for the good Secrets."""
    registries = [{"server": host, "credential": {"env": {"username": "U", "password": "P"}}}]
    secret = {"name": "regcred", "registries": registries, "targets": {"all": True}}
    return {"name": "set", "secrets": [secret]}
