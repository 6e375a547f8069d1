"""`regctl rotate` on a real cluster and a real registry."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from regctl.authfile import hashes
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.process import free_port

NAME = "regcred"


@dataclass
class Site:
    """A registry that accepts ci with the password "old", and two namespaces that pull with it."""

    kubernetes: ApiServer
    registry: DockerRegistry
    auth: Path
    namespaces: Sequence[str]

    def rotate(self, name: str, *args: str, password: str | None = None) -> Result:
        command = ["rotate", name, "--server", self.registry.host, "--plain-http", "--grace", "0"]
        command += ["-n", ",".join(self.namespaces)]
        return run(*command, *args, stdin=password)

    def held(self, namespace: str) -> dict[str, Any]:
        data = self.kubernetes.secret(namespace, NAME)["data"][".dockerconfigjson"]
        auths: dict[str, Any] = json.loads(base64.b64decode(data))["auths"]
        return auths

    def users(self) -> list[str]:
        return run_ok("users", "-f", str(self.auth), "-o", "name").stdout.split()


@pytest.fixture
def site(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    auth = tmp_path / "auth"
    auth.write_text(f"# ours\nci:{hashes.make('old', cost=4)}\n")
    monkeypatch.setenv("REGCTL_AUTH_FILE", str(auth))
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    namespaces = [namespace, kubernetes.create_namespace(f"{namespace}-b")]
    create = ["secret", "create", NAME, "--username", "ci", "--password-stdin"]
    create += ["-n", ",".join(namespaces), "--no-verify"]
    for server in ("other.io", registry.host):
        run_ok(*create, "--server", server, "--merge", stdin="old")
    return Site(kubernetes, registry, auth, namespaces)


def test_a_new_user_replaces_the_old_one_everywhere(site: Site) -> None:
    result = site.rotate("ci")
    assert result.exit_code == 0, result.stderr
    host = site.registry.host
    lines = result.stdout.splitlines()
    assert lines[:2] == ["user/ci-2 created", f"registry/{host} works (accepts ci-2)"]
    # Several at once: in the order in which they were done.
    assert set(lines[2:4]) == {
        f"{namespace}/secret/{NAME} configured (ci replaced by ci-2)"
        for namespace in site.namespaces
    }
    assert lines[4:] == [
        *(f"{namespace}/secret/{NAME} works" for namespace in site.namespaces),
        "regctl waited (0 s, so that kubelets stop using the old password)",
        "user/ci deleted",
    ]
    assert site.users() == ["ci-2"]
    assert site.auth.read_text().startswith("# ours\n")
    for namespace in site.namespaces:
        held = site.held(namespace)
        assert held[host]["username"] == "ci-2"
        assert site.registry.allows("ci-2", held[host]["password"])
        assert held["other.io"]["username"] == "ci", "another registry's entry stays"
        assert held[host]["password"] not in result.stdout + result.stderr
    assert not site.registry.allows("ci", "old")
    again = site.rotate("ci")
    assert again.stdout == "user/ci unchanged (replaced by ci-2)\n"
    assert site.rotate("ci-2").stdout.splitlines()[0] == "user/ci-3 created"


def test_a_dry_run_prints_the_same_and_changes_nothing(site: Site) -> None:
    before = site.auth.read_bytes()
    mark = site.kubernetes.audit_mark()
    result = site.rotate("ci", "--dry-run")
    assert result.exit_code == 0
    assert "user/ci-2 created (dry run)\n" in result.stdout
    assert result.stdout.splitlines()[-1] == "user/ci deleted (dry run)"
    assert site.auth.read_bytes() == before
    assert {event.verb for event in site.kubernetes.audit(mark)} <= {"get", "list"}


def test_the_old_user_stays_until_finish(site: Site) -> None:
    kept = site.rotate("ci", "--keep-old", "--to", "robot")
    assert kept.exit_code == 0
    assert site.users() == ["ci", "robot"]
    assert site.rotate("ci", "--finish", "--to", "robot").stdout == "user/ci deleted\n"
    assert site.users() == ["robot"]


def test_a_foreign_secret_keeps_the_old_user(site: Site) -> None:
    """Another run that may change the Secret finishes the rotation."""
    held = site.kubernetes.secret(site.namespaces[1], NAME)
    theirs = {"metadata": {"name": "theirs"}, "type": held["type"], "data": held["data"]}
    site.kubernetes.create_secret(site.namespaces[1], theirs)
    result = site.rotate("ci")
    assert result.exit_code == 3
    assert "not by regctl" in result.stderr
    assert "1 of 3 pull secrets still have ci, which stays" in result.stderr
    assert site.users() == ["ci", "ci-2"]
    assert site.registry.allows("ci", "old")
    done = site.rotate("ci", "--adopt")
    assert done.exit_code == 0, done.stderr
    assert site.users() == ["ci-2"]


def test_a_registry_that_rejects_the_new_user_stops_the_rotation(
    site: Site, tmp_path: Path
) -> None:
    """It reads another file: no pull secret changes."""
    other = tmp_path / "other"
    other.write_bytes(site.auth.read_bytes())
    result = site.rotate("ci", "-f", str(other), "--wait=0")
    assert result.exit_code == 3
    assert "did not accept ci-2 within 0 s" in result.stderr
    assert "run the same command again to continue" in result.stderr
    for namespace in site.namespaces:
        assert site.held(namespace)[site.registry.host]["username"] == "ci"


def test_the_old_user_stays_if_a_namespace_cannot_be_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull secret in it may have the old user."""
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "patch"]}
    site.kubernetes.grant("bob", site.namespaces[0], [rule])
    monkeypatch.setenv("KUBECONFIG", str(site.kubernetes.kubeconfig_for("bob")))
    before = site.auth.read_bytes()
    result = site.rotate("ci")
    assert (result.exit_code, result.stdout) == (4, "")
    assert site.namespaces[1] in result.stderr
    assert site.auth.read_bytes() == before


def test_a_lost_password_is_replaced(site: Site) -> None:
    """The last run was killed after it added the user and before it updated a Secret."""
    run_ok("adduser", "ci-2", "--password-stdin", stdin="nobody knows it any more")
    result = site.rotate("ci")
    assert result.stdout.splitlines()[0] == "user/ci-2 configured"
    password = site.held(site.namespaces[0])[site.registry.host]["password"]
    assert site.registry.allows("ci-2", password)


def test_a_secret_whose_password_is_rejected_is_updated(site: Site) -> None:
    """Another person changed the new user's password between two runs."""
    assert site.rotate("ci", "--keep-old").exit_code == 0
    run_ok("adduser", "ci-2", "--password-stdin", stdin="another")
    result = site.rotate("ci")
    assert result.exit_code == 0, result.stderr
    password = site.held(site.namespaces[1])[site.registry.host]["password"]
    assert site.registry.allows("ci-2", password)


def test_a_rotation_in_place_warns_about_failing_pulls(site: Site) -> None:
    result = site.rotate("ci", "--same-name")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == (
        "user/ci configured (pulls fail until each pull secret has the new password)"
    )
    host = site.registry.host
    passwords = {site.held(namespace)[host]["password"] for namespace in site.namespaces}
    assert len(passwords) == 1
    assert site.registry.allows("ci", passwords.pop())
    assert not site.registry.allows("ci", "old")
    assert site.users() == ["ci"]


def test_an_interrupted_rotation_in_place_is_finished(site: Site) -> None:
    """The file and the first Secret have the new password, the second has the old one."""
    run_ok("adduser", "ci", "--password-stdin", stdin="half-way")
    create = ["secret", "create", NAME, "--server", site.registry.host, "--merge"]
    create += ["--username", "ci", "--password-stdin", "-n", site.namespaces[0], "--plain-http"]
    run_ok(*create, stdin="half-way")
    result = site.rotate("ci", "--same-name")
    assert result.exit_code == 0, result.stderr
    assert "user/ci" not in result.stdout
    assert site.held(site.namespaces[1])[site.registry.host]["password"] == "half-way"


def test_a_given_password_is_used_and_never_shown(site: Site) -> None:
    result = site.rotate("ci", "--password-stdin", "-v", password="correct horse")
    assert result.exit_code == 0
    assert site.registry.allows("ci-2", "correct horse")
    assert "correct horse" not in result.stdout + result.stderr


def test_users_in_a_secret_and_in_both_places(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ingress would read the Secret; here the registry reads the file."""
    (where, _) = site.namespaces
    run_ok("auth", "push", "--auth-secret", f"{where}/users")
    both = site.rotate("ci", "-f", str(site.auth), "--auth-secret", f"{where}/users")
    assert both.exit_code == 0, both.stderr
    live = base64.b64decode(site.kubernetes.secret(where, "users")["data"]["auth"]).decode()
    assert [line.partition(":")[0] for line in live.splitlines()] == ["ci-2"]
    monkeypatch.delenv("REGCTL_AUTH_FILE")
    monkeypatch.chdir(site.auth.parent)
    alone = site.rotate("ci-2", "--auth-secret", f"{where}/users", "--wait=0")
    assert alone.exit_code == 3, "the registry reads the file, which was not asked for"
    live = base64.b64decode(site.kubernetes.secret(where, "users")["data"]["auth"]).decode()
    assert [line.partition(":")[0] for line in live.splitlines()] == ["ci-2", "ci-3"]
    assert site.users() == ["ci-2"]


def test_json_has_every_step(site: Site) -> None:
    result = json.loads(site.rotate("ci", "-o", "json").stdout)
    assert [step["step"] for step in result["steps"]] == [
        "add",
        "wait",
        "update",
        "update",
        "check",
        "check",
        "grace",
        "remove",
    ]
    assert set(result["steps"][0]) == {"step", "subject", "result", "note", "dry_run"}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nobody"], 1, "there is no such user"),
        (["ci", "--to", "ci"], 2, "to itself"),
        (["ci", "--keep-old", "--finish"], 2, "cannot combine --keep-old and --finish"),
        (["ci", "--auth-secret", "no-slash"], 2, "NAMESPACE/NAME"),
        (["ci", "--auth-secret", "default/never-there"], 1, "it does not exist"),
        (["ci", "--to", "a:b"], 2, "colon"),
        (["ci", "--finish"], 2, "still has ci"),
    ],
)
def test_an_impossible_rotation_changes_nothing(
    site: Site, args: list[str], code: int, message: str
) -> None:
    before = site.auth.read_bytes()
    result = site.rotate(args[0], *args[1:])
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert site.auth.read_bytes() == before


def test_a_registry_that_is_down_is_reported_after_the_timeout(site: Site) -> None:
    result = site.rotate("ci", "--server", f"127.0.0.1:{free_port()}", "--wait=0")
    assert result.exit_code == 3
    assert "connection refused" in result.stderr
