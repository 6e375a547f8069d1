"""A rotation while a client pulls all the time: no pull may fail, even if regctl is killed."""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from regctl.authfile import hashes
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer

# How many of its lines a rotation prints before it is killed.
KILLED_AFTER = (0, 1, 2, 3, 5)


@dataclass
class Pulls:
    """A client that pulls with the credential that the pull secret has at that moment."""

    kubernetes: ApiServer
    registry: DockerRegistry
    namespace: str
    made: int = 0
    failed: list[str] = field(default_factory=list)

    def pull(self) -> None:
        secret = self.kubernetes.secret(self.namespace, "regcred")
        document = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
        entry = document["auths"][self.registry.host]
        user = (entry["username"], entry["password"])
        status, _, body = self.registry.request(
            "GET",
            "/v2/team/app/manifests/1.0",
            user=user,
            headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        )
        if status == 200:
            layer = json.loads(body)["layers"][0]["digest"]
            status, _, _ = self.registry.request("GET", f"/v2/team/app/blobs/{layer}", user=user)
        self.made += 1
        if status != 200:
            self.failed.append(f"{status} as {entry['username']}")

    @contextmanager
    def all_the_time(self) -> Iterator[None]:
        done = threading.Event()

        def pull_until_done() -> None:
            while not done.is_set():
                self.pull()

        thread = threading.Thread(target=pull_until_done)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_no_pull_fails_during_a_rotation_even_if_regctl_is_killed(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each rotation is killed at another line; a second run completes it."""
    auth = tmp_path / "auth"
    auth.write_text(f"nightly:{hashes.make('old', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    registry.push_image("team/app", "1.0", user=("nightly", "old"))
    namespaces = [namespace, kubernetes.create_namespace(f"{namespace}-b")]
    regctl = [sys.executable, "-m", "regctl"]
    targets = ["--server", registry.host, "-n", ",".join(namespaces)]
    targets += ["--kubeconfig", str(kubernetes.kubeconfig)]
    create = [*regctl, "secret", "create", "regcred", "--username", "nightly", "--password-stdin"]
    create += ["--plain-http"]
    subprocess.run([*create, *targets], input=b"old", check=True, capture_output=True)
    rotate = [*regctl, "rotate", "-f", str(auth), "--plain-http", "--grace", "0.5", *targets]
    pulls = Pulls(kubernetes, registry, namespace)
    user, incomplete = "nightly", 0
    with pulls.all_the_time():
        for lines in KILLED_AFTER:
            with subprocess.Popen([*rotate, user], stdout=subprocess.PIPE, text=True) as first:
                assert first.stdout
                for _ in range(lines):
                    first.stdout.readline()
                first.kill()
            incomplete += "#regctl:previous" in auth.read_text()
            again = subprocess.run([*rotate, user], capture_output=True, text=True, check=False)
            # 1 says that the first run had updated all pull secrets already.
            finished = again.returncode == 1 and "no new password" in again.stderr
            assert finished or again.returncode == 0, again.stderr
            before = user
            [user] = [line.partition(":")[0] for line in auth.read_text().splitlines()]
            assert user != before
    with capfd.disabled():
        sys.stdout.write(
            f"\n{len(KILLED_AFTER)} rotations, each killed once, {incomplete} of them half-way: "
            f"{pulls.made} pulls, {len(pulls.failed)} failed\n"
        )
    assert pulls.failed == []
    assert pulls.made > len(KILLED_AFTER)
    assert incomplete > 0
