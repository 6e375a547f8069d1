"""`regctl rotate` on a real cluster and a real registry."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from regctl.authfile import hashes
from regctl.credentials.credential import encode_auth
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer, api_server

NAME = "regcred"
OURS = {"app.kubernetes.io/managed-by": "regctl"}


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

    def elsewhere(self, prefix: str = "") -> str:
        """Create a namespace that `rotate` does not select."""
        return self.kubernetes.create_namespace(f"{prefix}{self.namespaces[0]}-c")

    def create(
        self, namespace: str, name: str = "theirs", *, entries: Any = None, **fields: Any
    ) -> str:
        """Create a pull secret without regctl, by default with ci's password; return its name."""
        entry = {"username": "ci", "password": "old"}
        auths = {self.registry.host: entry} if entries is None else entries
        legacy = fields.get("type") == "kubernetes.io/dockercfg"
        content = json.dumps(auths if legacy else {"auths": auths}).encode()
        key = ".dockercfg" if legacy else ".dockerconfigjson"
        secret = {
            "metadata": {"name": name, "labels": fields.pop("labels", {})},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {key: base64.b64encode(content).decode()},
        }
        self.kubernetes.create_secret(namespace, secret | fields)
        return f"{namespace}/secret/{name}"


@pytest.fixture(scope="module")
def kubernetes(serve_module: Servers, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    """Run a cluster without the pull secrets of other tests: a rotation looks everywhere."""
    return serve_module(api_server(tmp_path_factory.mktemp("kubernetes")))


@pytest.fixture
def site(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
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
    yield Site(kubernetes, registry, auth, namespaces)
    for one in kubernetes.get("/api/v1/secrets")["items"]:
        path = f"/api/v1/namespaces/{one['metadata']['namespace']}/secrets"
        kubernetes.request("DELETE", f"{path}/{one['metadata']['name']}")


def test_a_new_user_replaces_the_old_one_everywhere(site: Site) -> None:
    result = site.rotate("ci")
    assert result.exit_code == 0, result.stderr
    host = site.registry.host
    lines = result.stdout.splitlines()
    assert lines[:2] == ["user/ci-2 created", f"registry/{host} works (accepts ci-2)"]
    assert lines[2:4] == [
        f"{namespace}/secret/{NAME} configured (ci replaced by ci-2)"
        for namespace in site.namespaces
    ]
    assert lines[4:] == [
        *(f"{namespace}/secret/{NAME} works" for namespace in site.namespaces),
        "regctl waited (0 s, so that kubelets stop using the old password)",
        "user/ci deleted",
        f"registry/{host} works (rejects ci)",
    ]
    assert site.users() == ["ci-2"]
    assert "previous" not in site.auth.read_text()
    assert site.auth.read_text().startswith("# ours\n")
    for namespace in site.namespaces:
        held = site.held(namespace)
        assert held[host]["username"] == "ci-2"
        assert site.registry.allows("ci-2", held[host]["password"])
        assert held["other.io"]["username"] == "ci", "another registry's entry stays"
        assert held[host]["password"] not in result.stdout + result.stderr
    assert not site.registry.allows("ci", "old")


def test_a_dry_run_prints_the_same_and_changes_nothing(site: Site) -> None:
    before = site.auth.read_bytes()
    mark = site.kubernetes.audit_mark()
    result = site.rotate("ci", "--dry-run")
    assert result.exit_code == 0
    assert "user/ci-2 created (dry run)\n" in result.stdout
    assert result.stdout.splitlines()[-2] == "user/ci deleted (dry run)"
    assert site.auth.read_bytes() == before
    assert {event.verb for event in site.kubernetes.audit(mark)} <= {"get", "list"}


def test_the_same_command_rotates_the_user_in_force(site: Site) -> None:
    """A cron job has one command for every month."""
    for number in (2, 3):
        result = site.rotate("ci")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[0] == f"user/ci-{number} created"
        assert site.users() == [f"ci-{number}"]
    assert site.rotate("ci-3", "--dry-run").stdout.startswith("user/ci-4 created")


def test_the_old_user_stays_until_finish(site: Site) -> None:
    kept = site.rotate("ci", "--keep-old", "--to", "robot")
    assert kept.exit_code == 0
    assert site.users() == ["ci", "robot"]
    again = site.rotate("ci", "--keep-old", "--to", "robot")
    assert again.exit_code == 1
    assert "no new password: robot replaces ci already" in again.stderr
    assert "--finish" in again.stderr
    finished = site.rotate("ci", "--finish", "--to", "robot")
    assert finished.exit_code == 0
    assert finished.stdout.startswith("user/ci deleted (no pull secret had its password")
    assert site.users() == ["robot"]
    again = site.rotate("ci", "--to", "robot")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "no new password: robot has replaced ci already" in again.stderr
    finished = site.rotate("ci", "--finish", "--to", "robot")
    assert (finished.exit_code, finished.stdout) == (0, "user/ci unchanged (replaced by robot)\n")


def test_a_run_that_only_finishes_gives_no_new_password(site: Site) -> None:
    """Two users at once are an interrupted run: a cron job must know that this one is not new."""
    assert site.rotate("ci", "--keep-old").exit_code == 0
    password = site.held(site.namespaces[0])[site.registry.host]["password"]
    result = site.rotate("ci")
    assert result.exit_code == 1
    assert "user/ci deleted\n" in result.stdout or "user/ci deleted (" in result.stdout
    assert "no new password: this run finished the rotation to ci-2" in result.stderr
    assert site.users() == ["ci-2"]
    assert site.held(site.namespaces[0])[site.registry.host]["password"] == password


def test_two_numbered_users_may_be_two_people(site: Site) -> None:
    """Nothing says that team-3 replaces team-2."""
    for name in ("team-2", "team-3"):
        run_ok("adduser", name, "--password-stdin", stdin=f"password of {name}")
    before = site.auth.read_bytes()
    result = site.rotate("team-2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`--to team-3` if it replaces team-2" in result.stderr
    assert site.auth.read_bytes() == before


def test_another_user_does_not_lose_its_password(site: Site) -> None:
    run_ok("adduser", "alice", "--password-stdin", stdin="correct horse")
    before = site.auth.read_bytes()
    result = site.rotate("ci", "--to", "alice")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot rotate ci to alice: this user exists" in result.stderr
    assert site.auth.read_bytes() == before


@pytest.mark.parametrize("options", [[], ["--same-name"], ["--keep-old"], ["--dry-run"]])
def test_a_user_that_no_pull_secret_has_is_refused(site: Site, options: list[str]) -> None:
    """Nobody would see the new password."""
    run_ok("adduser", "alice", "--password-stdin", stdin="correct horse")
    before = site.auth.read_bytes()
    result = site.rotate("alice", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot rotate alice: no pull secret has this user" in result.stderr
    assert "hint: `regctl adduser alice` changes a password" in result.stderr
    assert site.auth.read_bytes() == before


def test_a_locked_user_is_not_rotated(site: Site) -> None:
    run_ok("auth", "lock", "ci")
    before = site.auth.read_bytes()
    result = site.rotate("ci")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`regctl auth unlock ci`" in result.stderr
    assert site.auth.read_bytes() == before


@pytest.mark.parametrize("prefix", ["", "kube-"])
def test_a_holder_in_another_namespace_keeps_the_old_user(site: Site, prefix: str) -> None:
    """It is looked for in all namespaces, those of the system too, and not changed there."""
    where = site.elsewhere(prefix)
    theirs = site.create(where, labels=OURS)
    before = site.kubernetes.secret(where, "theirs")["data"]
    result = site.rotate("ci")
    assert result.exit_code == 3
    assert f"ci stays: 1 pull secret still has it: {theirs}" in result.stderr
    assert f"hint: `-n {where}` selects it" in result.stderr
    assert site.users() == ["ci", "ci-2"]
    assert site.kubernetes.secret(where, "theirs")["data"] == before
    assert site.registry.allows("ci", "old")
    early = site.rotate("ci", "--finish")
    assert (early.exit_code, site.users()) == (3, ["ci", "ci-2"])
    assert f"hint: `-n {where}` selects it; run the same command without --finish" in early.stderr
    reason = f"secret theirs in namespace {where} is not in the selected namespaces"
    assert early.stdout == f"{theirs} skipped (still has ci: {reason})\n"
    assert reason not in early.stderr
    done = site.rotate("ci", "-n", where)
    assert done.exit_code == 0, done.stderr
    assert f"{theirs} configured (ci replaced by ci-2)" in done.stdout
    assert site.users() == ["ci-2"]


def test_a_holder_that_appears_during_the_grace_period_keeps_the_old_user(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = site.elsewhere()
    created: list[str] = []

    def sleep(_app: object, _seconds: float) -> None:
        created.append(site.create(where))

    monkeypatch.setattr("regctl.cli.commands.rotate._sleep", sleep)
    result = site.rotate("ci")
    assert result.exit_code == 3
    assert f"ci stays: 1 pull secret still has it: {created[0]}" in result.stderr
    assert site.users() == ["ci", "ci-2"]


@pytest.mark.parametrize("another_finishes", [True, False])
def test_who_cannot_look_everywhere_keeps_the_old_user(
    site: Site, monkeypatch: pytest.MonkeyPatch, another_finishes: bool
) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "patch"]}
    for namespace in site.namespaces:
        site.kubernetes.grant("carol", namespace, [rule])
    admin = str(site.kubernetes.kubeconfig)
    monkeypatch.setenv("KUBECONFIG", str(site.kubernetes.kubeconfig_for("carol")))
    result = site.rotate("ci")
    assert result.exit_code == 3
    assert result.stdout.count("configured (ci replaced by ci-2)") == 2
    assert (
        "ci stays: other namespaces may have pull secrets with it: cannot list secrets in all"
        in (result.stderr)
    )
    assert "`--finish --unseen`" in result.stderr
    assert site.users() == ["ci", "ci-2"]
    assert site.rotate("ci", "--finish").exit_code == 3
    assert site.users() == ["ci", "ci-2"]
    if another_finishes:
        monkeypatch.setenv("KUBECONFIG", admin)
        assert site.rotate("ci", "--finish").exit_code == 0
    else:
        done = site.rotate("ci", "--finish", "--unseen")
        assert done.exit_code == 0
        assert "removing ci without looking: cannot list secrets in all namespaces" in done.stderr
    assert site.users() == ["ci-2"]


def test_who_cannot_look_everywhere_adds_no_second_new_user(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two people with rights in two namespaces would add one user after the other."""
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "patch"]}
    results = []
    for user, namespace in zip(("bob", "carol"), site.namespaces, strict=True):
        site.kubernetes.grant(user, namespace, [rule])
        monkeypatch.setenv("KUBECONFIG", str(site.kubernetes.kubeconfig_for(user)))
        command = ["rotate", "ci", "--server", site.registry.host, "--plain-http", "-n", namespace]
        results.append(run(*command, "--grace", "0"))
    assert [result.exit_code for result in results] == [3, 3]
    words = "cannot continue: other namespaces may have pull secrets with ci-2"
    assert words in results[-1].stderr
    assert site.users() == ["ci", "ci-2"]


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


GLOB = "127.0.*.1:{port}"


@pytest.mark.parametrize(
    ("key", "entry", "kind"),
    [
        ("{host}", {"username": "ci", "password": "old"}, "kubernetes.io/dockerconfigjson"),
        (
            "https://{host}/v2/",
            {"auth": encode_auth("ci", "old")},
            "kubernetes.io/dockerconfigjson",
        ),
        (GLOB, {"username": "ci", "password": "old"}, "kubernetes.io/dockerconfigjson"),
        ("{host}/team", {"username": "ci", "password": "old"}, "kubernetes.io/dockerconfigjson"),
        ("{host}", {"Username": "ci", "PASSWORD": "old"}, "kubernetes.io/dockerconfigjson"),
        ("{host}", {"username": "ci", "password": "old"}, "kubernetes.io/dockercfg"),
    ],
)
def test_every_entry_that_a_kubelet_would_use_is_updated(
    site: Site, key: str, entry: dict[str, str], kind: str
) -> None:
    where, host = site.elsewhere(), site.registry.host
    key = key.format(host=host, port=host.partition(":")[2])
    entries = {key: entry, "other.io": {"username": "ci", "password": "old", "note": "kept"}}
    theirs = site.create(where, entries=entries, type=kind, labels=OURS)
    kept = site.rotate("ci")
    assert kept.exit_code == 3
    assert f"still has it: {theirs}" in kept.stderr
    assert site.rotate("ci", "-n", where).exit_code == 0
    secret = site.kubernetes.secret(where, "theirs")
    assert secret["type"] == kind
    (content,) = secret["data"].values()
    document = json.loads(base64.b64decode(content))
    held = document if kind.endswith("dockercfg") else document["auths"]
    assert held[key]["username"] == "ci-2"
    assert site.registry.allows("ci-2", held[key]["password"])
    assert held["other.io"] == entries["other.io"]


@pytest.mark.parametrize("password", ["guessed", "\ud800", "old\0", "", None])
def test_an_entry_with_a_password_that_does_not_work_blocks_nothing(
    site: Site, password: str | None
) -> None:
    """Anybody who may write Secrets somewhere can name ci."""
    where = site.elsewhere()
    keys = (site.registry.host, f"{site.registry.host}/team")
    entries = {key: {"username": "ci", "password": password} for key in keys}
    theirs = site.create(where, entries=entries, labels=OURS)
    before = site.kubernetes.secret(where, "theirs")["data"]
    result = site.rotate("ci", "-n", where)
    assert result.exit_code == 0, result.stderr
    ignored = f"{theirs} skipped (names ci with a password that does not work; left alone)"
    assert result.stdout.count(ignored) == 1
    assert site.users() == ["ci-2"]
    assert site.kubernetes.secret(where, "theirs")["data"] == before


PLANTED: list[dict[str, Any]] = [{"labels": OURS}, {}, {"labels": OURS, "immutable": True}]


@pytest.mark.parametrize("fields", PLANTED, ids=["ours", "foreign", "immutable"])
@pytest.mark.parametrize("mode", [[], ["--same-name"]], ids=["successor", "same name"])
@pytest.mark.parametrize("begun", [False, True], ids=["first", "with a previous hash"])
def test_a_planted_secret_gets_no_password_and_blocks_nothing(
    site: Site, fields: dict[str, Any], mode: list[str], begun: bool
) -> None:
    """Whoever may write Secrets somewhere knows the user, the registry, and maybe the hashes."""
    host, hash_ = site.registry.host, site.auth.read_text().split(":", 1)[1].strip()
    if begun:
        site.auth.write_text(f"#regctl:previous ci:{hash_}\n{site.auth.read_text()}")
        run_ok("adduser", "ci", "--password-stdin", stdin="in between")
    where, port = site.elsewhere(), host.partition(":")[2]
    entries = {
        host: {"username": "ci", "password": "guessed"},
        f"*.*.*.1:{port}": {"username": "ci", "password": hash_},
        f"{host}/a": {"username": "ci", "password": f"ci:{hash_}"},
        f"{host}/b": {"username": "CI", "password": "old"},
        f"{host}/c": {"username": "ci-2", "password": "guessed"},
        f"{host}/d": {"username": "ci ", "password": "old"},
        f"{host}/e": {"username": "ci", "password": "OLD"},
    }
    planted = site.create(where, entries=entries, **fields)
    before = site.kubernetes.secret(where, "theirs")
    result = site.rotate("ci", "-n", where, *mode)
    assert result.exit_code == 0, result.stderr
    note = "names ci with a password that does not work; left alone"
    assert f"{planted} skipped ({note})\n" in result.stdout
    assert "--adopt" not in result.output
    assert site.kubernetes.secret(where, "theirs") == before
    assert site.users() == (["ci"] if mode else ["ci-2"])
    assert "previous" not in site.auth.read_text()
    assert not site.registry.allows("ci", "old")


@pytest.mark.parametrize("fields", PLANTED[1:], ids=["foreign", "immutable"])
def test_only_who_knows_the_password_blocks_a_rotation(site: Site, fields: dict[str, Any]) -> None:
    planted = site.create(site.namespaces[0], "a", entries={
        site.registry.host: {"username": "ci", "password": "guessed"}
    })  # fmt: skip
    holder = site.create(site.namespaces[0], "b", **fields)
    before = site.kubernetes.secret(site.namespaces[0], "b")
    result = site.rotate("ci")
    assert result.exit_code == 3
    assert f"ci stays: 1 pull secret still has it: {holder}\n" in result.stderr
    assert planted not in result.stderr
    assert site.kubernetes.secret(site.namespaces[0], "b") == before
    in_place = site.rotate("ci", "--same-name")
    assert in_place.exit_code == 1
    assert planted not in in_place.stderr


@pytest.mark.parametrize("mode", [[], ["--same-name"]])
def test_a_run_that_may_update_no_pull_secret_restores_the_users(
    site: Site, monkeypatch: pytest.MonkeyPatch, mode: list[str]
) -> None:
    """A job without the right would else add a user each night, or stop the pulls."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
    role = site.kubernetes.grant_cluster("alice", rules)
    before = site.auth.read_bytes()
    with monkeypatch.context() as patched:
        patched.setenv("KUBECONFIG", str(site.kubernetes.kubeconfig_for("alice")))
        result = site.rotate("ci", *mode)
    site.kubernetes.revoke_cluster(role)
    assert result.exit_code == 1
    assert "as before: no pull secret could be updated" in result.stdout.splitlines()[-1]
    assert "cannot rotate ci: no pull secret could be updated: cannot change" in result.stderr
    assert "forbidden" in result.stderr
    assert site.auth.read_bytes() == before
    assert site.registry.allows("ci", "old")
    assert site.rotate("ci", *mode).exit_code == 0


def test_the_password_from_before_the_rotation_is_a_proof(site: Site) -> None:
    """Somebody sets another password of ci while the rotation is not finished."""
    where = site.elsewhere()
    assert site.rotate("ci", "--keep-old").exit_code == 0
    assert "\n#regctl:previous ci:$2y$" in site.auth.read_text()
    run_ok("adduser", "ci", "--password-stdin", stdin="another")
    theirs = site.create(where)
    result = site.rotate("ci", "--finish")
    assert result.exit_code == 3
    assert f"still has it: {theirs}" in result.stderr
    assert site.rotate("ci", "-n", where, "--adopt").exit_code == 0
    assert site.users() == ["ci-2"]
    assert "previous" not in site.auth.read_text()


def test_without_a_file_the_auth_secret_keeps_the_previous_hash(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = site.namespaces[0]
    run_ok("auth", "push", "--auth-secret", f"{where}/users")
    monkeypatch.delenv("REGCTL_AUTH_FILE")
    monkeypatch.chdir(site.auth.parent)

    def live() -> tuple[str, dict[str, str]]:
        """The Secret's users, which the registry reads too, and its annotations."""
        secret = site.kubernetes.secret(where, "users")
        content = base64.b64decode(secret["data"]["auth"])
        return content.decode(), secret["metadata"].get("annotations", {})

    auth_secret = ["--auth-secret", f"{where}/users"]
    before = live()
    refused = site.rotate("ci", *auth_secret, "--wait=0")
    assert refused.exit_code == 1, "the registry reads the file, which was not asked for"
    assert "did not accept ci-2 within 0 s" in refused.stderr
    assert live() == before
    run_ok("adduser", "ci-2", "--password-stdin", "-f", str(site.auth), stdin="new")
    kept = site.rotate("ci", *auth_secret, "--keep-old", "--password-stdin", password="new")
    assert kept.exit_code == 0, kept.stderr
    content, annotations = live()
    assert "#" not in content
    assert annotations["regctl/previous"] == before[0].strip()
    run_ok("deluser", "ci", "--yes", "-f", str(site.auth))
    assert site.rotate("ci", *auth_secret, "--finish").exit_code == 0
    content, annotations = live()
    assert [line.partition(":")[0] for line in content.splitlines()] == ["ci-2"]
    assert "regctl/previous" not in annotations


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "not by regctl"),
        (
            {"labels": OURS, "immutable": True},
            "it is immutable",
        ),
    ],
)
def test_a_secret_that_cannot_be_updated_keeps_the_old_user(
    site: Site, fields: dict[str, Any], reason: str
) -> None:
    """Another run that may change the Secret, or a new Secret, lets the rotation end."""
    theirs = site.create(site.namespaces[1], **fields)
    result = site.rotate("ci")
    assert result.exit_code == 3
    assert reason in result.stdout
    assert f"ci stays: 1 pull secret still has it: {theirs}" in result.stderr
    assert site.users() == ["ci", "ci-2"]
    assert site.registry.allows("ci", "old")
    if "immutable" in fields:
        path = f"/api/v1/namespaces/{site.namespaces[1]}/secrets/theirs"
        assert site.kubernetes.request("DELETE", path)[0] == 200
        done = site.rotate("ci", "--finish")
    else:
        done = site.rotate("ci", "--adopt")
    assert done.exit_code == 0, done.stderr
    assert site.users() == ["ci-2"]


def test_a_rotation_that_could_change_no_secret_is_refused(site: Site) -> None:
    where = site.elsewhere()
    site.create(where)
    before = site.auth.read_bytes()
    for namespaces, hint in [(where, "--adopt"), ("default", f"-n {site.namespaces[0]}")]:
        result = run(
            *["rotate", "ci", "--server", site.registry.host, "--plain-http", "-n", namespaces]
        )
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no pull secret can be updated" in result.stderr
        assert f"hint: `{hint}`" in result.stderr
    assert site.auth.read_bytes() == before


def test_a_registry_that_does_not_accept_the_new_user_gets_the_old_file_back(
    site: Site, tmp_path: Path
) -> None:
    """It reads another file: no pull secret changes, and neither does this one."""
    other = tmp_path / "other"
    other.write_bytes(site.auth.read_bytes())
    result = site.rotate("ci", "-f", str(other), "--wait=0")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "user/ci-2 created",
        "user/ci-2 deleted (as before: the registry did not accept it)",
    ]
    assert "did not accept ci-2 within 0 s" in result.stderr
    assert other.read_bytes() == site.auth.read_bytes()
    for namespace in site.namespaces:
        assert site.held(namespace)[site.registry.host]["username"] == "ci"
    assert site.rotate("ci", "--keep-old").exit_code == 0
    other.write_bytes(site.auth.read_bytes())
    site.auth.write_text(other.read_text().replace("ci-2:", "gone:"))
    stopped = site.rotate("ci", "-f", str(other), "--wait=0")
    assert stopped.exit_code == 3, "pull secrets have the new user already"
    assert other.read_text().count("\nci") == 2


def test_a_registry_that_still_accepts_the_old_password_is_reported(
    site: Site, tmp_path: Path
) -> None:
    """It reads a copy, in which somebody added the new user only."""
    other = tmp_path / "other"
    other.write_bytes(site.auth.read_bytes())
    run_ok("adduser", "ci-2", "--password-stdin", stdin="new")
    result = site.rotate("ci", "-f", str(other), "--password-stdin", "--wait=0", password="new")
    assert result.exit_code == 3
    assert "user/ci deleted\n" in result.stdout
    assert "ci is deleted, but" in result.stderr
    assert "still accepts its password" in result.stderr


def test_the_local_login_is_updated(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = site.registry.host
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    run_ok("login", host, "--username", "ci", "--password-stdin", "--plain-http", stdin="old")
    line = f"login/{host} configured (ci replaced by ci-2, in {tmp_path}/docker/config.json)"
    assert f"{line} (dry run)\n" in site.rotate("ci", "--dry-run").stdout
    result = site.rotate("ci")
    assert result.exit_code == 0
    assert f"{line}\n" in result.stdout
    run_ok("ping", host, "--plain-http")
    auths = json.loads((tmp_path / "docker" / "config.json").read_text())["auths"]
    password = site.held(site.namespaces[0])[host]["password"]
    assert auths[host]["auth"] == encode_auth("ci-2", password)


def test_the_login_of_podman_is_named_and_not_changed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {site.registry.host: {"auth": encode_auth("ci", "old")}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    before = path.read_bytes()
    result = site.rotate("ci")
    assert result.exit_code == 0, result.stderr
    login = f"login/{site.registry.host}"
    podman = f"`podman login {site.registry.host}` updates it"
    assert f"{login} skipped ({path} still has ci; {podman})\n" in result.stdout
    assert path.read_bytes() == before


@pytest.mark.parametrize("login", [("bob", "old"), ("ci", "another")])
def test_another_local_login_is_left_alone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: tuple[str, str]
) -> None:
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {site.registry.host: {"auth": encode_auth(*login)}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(config.parent))
    before = config.read_bytes()
    result = site.rotate("ci")
    assert result.exit_code == 0
    assert "login/" not in result.stdout
    assert config.read_bytes() == before


HELPER = """#!/bin/sh
case $1 in
    store) test ! -e "$LOCKED" || { echo locked keychain; exit 1; }; cat > "$KEPT" ;;
    get) cat "$KEPT" ;;
esac
"""


@pytest.mark.parametrize("locked", [False, True])
def test_the_local_login_is_updated_by_its_helper_and_a_failure_blocks_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    program = tmp_path / "docker-credential-mine"
    program.write_text(HELPER)
    program.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "mine"}))
    kept = tmp_path / "kept"
    kept.write_text(json.dumps({"Username": "ci", "Secret": "old"}))
    if locked:
        (tmp_path / "locked").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"DOCKER_CONFIG": "", "KEPT": "kept", "LOCKED": "locked"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    result = site.rotate("ci")
    assert result.exit_code == 0, result.stderr
    assert site.users() == ["ci-2"]
    if locked:
        assert "warning: docker-credential-mine still has ci: " in result.stderr
        assert "docker-credential-mine: exit code 1" in result.stderr
    else:
        assert "(ci replaced by ci-2, in docker-credential-mine)" in result.stdout
        password = site.held(site.namespaces[0])[site.registry.host]["password"]
        assert json.loads(kept.read_text())["Secret"] == password


@pytest.mark.parametrize("to", ["ci-2", "robot"])
def test_a_user_with_a_lost_password_is_replaced_and_never_gets_another(
    site: Site, to: str
) -> None:
    """A run was killed after it added the user, or is about to update the first Secret."""
    old = site.auth.read_text().partition("ci:")[2]
    run_ok("adduser", to, "--password-stdin", stdin="known to one process")
    site.auth.write_text(f"{site.auth.read_text()}#regctl:previous ci:{old}")
    options = [] if to == "ci-2" else ["--to", to]
    result = site.rotate("ci", *options, "--keep-old")
    assert result.exit_code == 0, result.stderr
    new = {"ci-2": "ci-3", "robot": "robot-2"}[to]
    assert result.stdout.splitlines()[0] == f"user/{new} created"
    assert site.registry.allows(to, "known to one process")
    assert site.rotate("ci", *options).exit_code == 1, "no new password"
    assert site.users() == [new]
    password = site.held(site.namespaces[0])[site.registry.host]["password"]
    assert site.registry.allows(new, password)


def test_a_user_who_may_be_a_person_is_left_alone(site: Site) -> None:
    """Nothing says that ci-2 replaces ci: no pull secret has it, and no rotation has begun."""
    run_ok("adduser", "ci-2", "--password-stdin", stdin="known to a person")
    result = site.rotate("ci")
    assert result.exit_code == 0, result.stderr
    assert site.users() == ["ci-2", "ci-3"]
    assert site.registry.allows("ci-2", "known to a person")


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
    old = site.auth.read_text().partition("ci:")[2]
    run_ok("adduser", "ci", "--password-stdin", stdin="half-way")
    site.auth.write_text(f"{site.auth.read_text()}#regctl:previous ci:{old}")
    create = ["secret", "create", NAME, "--server", site.registry.host, "--merge"]
    create += ["--username", "ci", "--password-stdin", "-n", site.namespaces[0], "--plain-http"]
    run_ok(*create, stdin="half-way")
    result = site.rotate("ci", "--same-name")
    assert result.exit_code == 0, result.stderr
    assert "user/ci" not in result.stdout
    assert site.held(site.namespaces[1])[site.registry.host]["password"] == "half-way"
    assert "previous" not in site.auth.read_text()


def test_a_rotation_in_place_changes_all_pull_secrets_or_none(site: Site) -> None:
    theirs = site.create(site.elsewhere())
    before = site.auth.read_bytes()
    result = site.rotate("ci", "--same-name")
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"the old password of ci stays: 1 pull secret still has it: {theirs}" in result.stderr
    assert site.auth.read_bytes() == before


def test_the_password_in_the_environment_is_not_the_new_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be exported for another command, and be the one that is to be rotated."""
    monkeypatch.setenv("REGCTL_PASSWORD", "exported")
    assert site.rotate("ci").exit_code == 0
    assert not site.registry.allows("ci-2", "exported")
    assert site.rotate("ci-2", "--password-stdin", password="given").exit_code == 0
    assert site.registry.allows("ci-3", "given")


def test_pull_secrets_are_updated_in_order(site: Site) -> None:
    created = [site.create(site.namespaces[0], f"s{number:02}", labels=OURS) for number in range(9)]
    lines = site.rotate("ci").stdout.splitlines()
    updated = [line.partition(" ")[0] for line in lines if "replaced by" in line]
    assert updated == sorted(updated, key=lambda subject: subject.split("/"))
    assert set(created) < set(updated)


def test_a_given_password_is_used_and_never_shown(site: Site) -> None:
    result = site.rotate("ci", "--password-stdin", "-v", password="correct horse")
    assert result.exit_code == 0
    assert site.registry.allows("ci-2", "correct horse")
    assert "correct horse" not in result.stdout + result.stderr


def test_users_in_a_file_and_a_secret(site: Site) -> None:
    """An ingress would read the Secret; here the registry reads the file."""
    (where, _) = site.namespaces
    run_ok("auth", "push", "--auth-secret", f"{where}/users")
    both = site.rotate("ci", "-f", str(site.auth), "--auth-secret", f"{where}/users")
    assert both.exit_code == 0, both.stderr
    live = base64.b64decode(site.kubernetes.secret(where, "users")["data"]["auth"]).decode()
    assert [line.partition(":")[0] for line in live.splitlines()] == ["ci-2"]


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
        "wait",
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
        (["ci", "--finish"], 1, "no user has replaced ci"),
        (["ci", "--unseen"], 2, "--unseen needs --finish"),
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


def test_a_registry_that_is_down_is_reported_after_the_timeout(site: Site, tmp_path: Path) -> None:
    before = site.auth.read_bytes()
    with docker_registry(tmp_path / "gone", auth_file=site.auth) as gone:
        pass
    entries = {gone.host: {"username": "ci", "password": "old"}}
    site.create(site.namespaces[0], entries=entries)
    result = site.rotate("ci", "--server", gone.host, "--adopt", "--wait=0")
    assert result.exit_code == 1
    assert "connection refused" in result.stderr
    assert site.auth.read_bytes() == before
