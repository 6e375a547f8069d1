"""`regctl deluser` and `auth lock` in the cluster: the auth Secret, the pull secrets, the proof."""

import base64
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result

from regctl.authfile import hashes
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.process import free_port

VERBS = [["deluser", "--yes"], ["auth", "lock"]]
USERS = "registry-basic-auth"


@dataclass
class Site:
    """A registry that reads an auth file with alice and bob, its auth Secret, and a pull secret."""

    kubernetes: ApiServer
    registry: DockerRegistry
    auth: Path
    namespace: str

    def remove(self, verb: list[str], *args: str) -> Result:
        return run(*verb, "alice", *args, "--plain-http")

    @property
    def password(self) -> str:
        """The users' password: other tests have pull secrets in the same cluster."""
        return f"password {self.namespace}"

    @property
    def auth_secret(self) -> list[str]:
        return ["--auth-secret", f"{self.namespace}/{USERS}"]

    def users(self) -> list[str]:
        """The users in the auth Secret."""
        data = self.kubernetes.secret(self.namespace, USERS)["data"]["auth"]
        rows = base64.b64decode(data).decode().splitlines()
        return [row.partition(":")[0] for row in rows]

    def pull_secret(self, name: str, user: str, password: str, server: str | None = None) -> str:
        server = server or self.registry.host
        create = ["secret", "create", name, "--server", server, "--username", user, "--no-verify"]
        run_ok(*create, "-n", self.namespace, "--password-stdin", stdin=password)
        return f"{self.namespace}/secret/{name}"


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
    hash_ = hashes.make(f"password {namespace}", cost=4)
    auth.write_text(f"alice:{hash_}\nbob:{hash_}\n")
    monkeypatch.setenv("REGCTL_AUTH_FILE", str(auth))
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    site = Site(kubernetes, registry, auth, namespace)
    run_ok("auth", "push", *site.auth_secret)
    return site


@pytest.mark.parametrize("verb", VERBS)
def test_the_pull_secrets_that_still_have_the_user_are_named(site: Site, verb: list[str]) -> None:
    """Not those with another password, which may be another registry's."""
    held = site.pull_secret("regcred", "alice", site.password)
    others = [
        site.pull_secret("other", "alice", "another password"),
        site.pull_secret("bobs", "bob", site.password),
    ]
    result = site.remove(verb, "-n", site.namespace)
    assert result.exit_code == 0, result.stderr
    assert f"note: {held} still has alice\n" in result.stderr
    assert not any(other in result.stderr for other in others)
    assert site.users() == ["alice", "bob"], "without --auth-secret the Secret stays"
    assert not site.registry.allows("alice", site.password)


@pytest.mark.parametrize("verb", VERBS)
def test_the_secret_follows_and_the_registry_rejects_the_user(site: Site, verb: list[str]) -> None:
    held = site.pull_secret("regcred", "alice", site.password)
    dry_run = site.remove(verb, *site.auth_secret, "--wait", "--dry-run")
    assert dry_run.exit_code == 0, dry_run.stderr
    assert f"{held} still has alice" in dry_run.stderr
    assert site.registry.allows("alice", site.password)
    result = site.remove(verb, *site.auth_secret, "--wait")
    assert result.exit_code == 0, result.stderr
    assert f"note: {held} still has alice\n" in result.stderr
    assert f"note: {site.registry.host} rejects alice\n" in result.stderr
    assert site.users() == ["bob"]
    assert site.password not in result.output


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_pull_secret_nothing_can_be_proven(site: Site, verb: list[str]) -> None:
    site.pull_secret("wrong", "alice", "another password")
    result = site.remove(verb, *site.auth_secret, "--wait=0")
    assert result.exit_code == 0, result.stderr
    assert "it cannot be proven that the registry rejects alice" in result.stderr
    assert site.users() == ["bob"]


def test_a_registry_that_still_accepts_the_user_is_named(
    site: Site, serve: Servers, tmp_path: Path
) -> None:
    """It reads another file."""
    other = tmp_path / "other"
    other.write_bytes(site.auth.read_bytes())
    late = serve(docker_registry(tmp_path / "late", auth_file=other))
    site.pull_secret("regcred", "alice", site.password, late.host)
    result = site.remove(VERBS[0], *site.auth_secret, "--wait=0")
    assert result.exit_code == 3
    assert f"error: {late.host} still accepts the password of alice" in result.stderr
    assert site.users() == ["bob"]


def test_a_registry_that_does_not_answer_proves_nothing(site: Site) -> None:
    site.pull_secret("regcred", "alice", site.password, f"127.0.0.1:{free_port()}")
    result = site.remove(VERBS[0], *site.auth_secret, "--wait=0")
    assert result.exit_code == 3
    assert "it is not known whether 127.0.0.1:" in result.stderr


def test_an_old_pull_secret_is_no_obstacle(site: Site) -> None:
    site.pull_secret("old", "alice", site.password, f"127.0.0.1:{free_port()}")
    site.pull_secret("regcred", "alice", site.password)
    result = site.remove(VERBS[0], *site.auth_secret, "--wait")
    assert result.exit_code == 0, result.stderr
    assert f"note: {site.registry.host} rejects alice\n" in result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_an_upload_that_is_refused_changes_nothing(site: Site, verb: list[str]) -> None:
    before = site.auth.read_bytes()
    for secret, message in (("never-there", "it does not exist"), ("foreign", "not by regctl")):
        data = {"auth": base64.b64encode(b"alice:x\nbob:y\n").decode()}
        if secret == "foreign":
            site.kubernetes.create_secret(
                site.namespace, {"metadata": {"name": secret}, "data": data}
            )
        result = site.remove(verb, "--auth-secret", f"{site.namespace}/{secret}")
        assert (result.exit_code, result.stdout) == (1, "")
        assert message in result.stderr
    alone = run(*verb, "alice", "bob", *site.auth_secret)
    assert alone.exit_code == 1
    assert "no active user" in alone.stderr
    assert (site.auth.read_bytes(), site.users()) == (before, ["alice", "bob"])


def test_others_who_would_lose_access_are_asked_about(site: Site) -> None:
    run_ok("adduser", "carol", "--generate", "--cost", "4")
    run_ok("auth", "push", *site.auth_secret)
    run_ok("deluser", "carol", "--yes")
    locked = site.remove(["auth", "lock"], *site.auth_secret)
    assert locked.exit_code == 1
    assert f"not confirmed: remove carol from {site.namespace}/secret/{USERS}?" in locked.stderr
    deleted = site.remove(["deluser"], *site.auth_secret)
    assert f"alice, carol from {site.namespace}/secret/{USERS}?" in deleted.stderr
    assert site.users() == ["alice", "bob", "carol"]


def test_expired_users_are_locked_in_the_secret_too(site: Site) -> None:
    site.auth.write_text(f"#regctl:expires alice:2020-01-01\n{site.auth.read_text()}")
    site.pull_secret("regcred", "alice", site.password)
    result = run("auth", "lock", "--expired", *site.auth_secret, "--wait", "--plain-http")
    assert result.exit_code == 0, result.stderr
    assert f"note: {site.registry.host} rejects alice\n" in result.stderr
    assert site.users() == ["bob"]


def test_what_cannot_be_read_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user loses access all the same: that was asked for."""
    monkeypatch.setenv("KUBECONFIG", str(site.kubernetes.kubeconfig_for("bob")))
    rights = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"]}
    site.kubernetes.grant("bob", site.namespace, [rights])
    result = site.remove(VERBS[0], *site.auth_secret)
    assert result.exit_code == 3
    assert "not all pull secrets could be read" in result.stderr
    assert 'for user "bob"' in result.stderr
    assert site.users() == ["bob"]


def test_waiting_needs_pull_secrets(site: Site) -> None:
    before = site.auth.read_bytes()
    result = site.remove(VERBS[0], "--wait")
    assert result.exit_code == 2
    assert "--wait needs pull secrets" in result.stderr
    assert site.auth.read_bytes() == before
