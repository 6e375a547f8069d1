"""`regctl auth push` on the real API server."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from regctl.authfile import hashes
from regctl.authfile.readers import DEFAULT_READER
from regctl.authsecret.store import SecretStore
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from tests import cli
from tests.cli.commands.auth.secrets import (
    NAME,
    ONE,
    SHA,
    TWO,
    auth,
    create_secret,
    data,
    refused,
    write_auth_file,
)
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer


def push(namespace: str, *args: str, name: str = NAME) -> Result:
    return auth("push", namespace, *args, name=name)


@pytest.fixture(autouse=True)
def administrator(kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work as an administrator, in a folder with an auth file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    write_auth_file()


def test_the_secret_of_the_environment_is_used_without_the_flag(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGCTL_AUTH_SECRET", f"{namespace}/users")
    assert cli.run_ok("auth", "push").stdout.startswith(f"{namespace}/secret/users created")
    assert cli.run_ok("auth", "pull", "--check").exit_code == 0
    cli.run_ok("deluser", "bob", "--yes")
    assert data(kubernetes.secret(namespace, "users")) == {"auth": f"alice:{ONE}\n"}
    monkeypatch.setenv("REGCTL_AUTH_SECRET", "users")
    assert cli.run("auth", "push").exit_code == 2


def test_a_secret_is_created_then_updated_in_place(kubernetes: ApiServer, namespace: str) -> None:
    line = f"{namespace}/secret/{NAME}"
    assert push(namespace).stdout == f"{line} created (added alice, bob)\n"
    first = kubernetes.secret(namespace, NAME)
    assert (first["type"], data(first)) == ("Opaque", {"auth": f"alice:{ONE}\nbob:{ONE}\n"})
    assert first["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "regctl"}
    assert push(namespace).stdout == f"{line} unchanged\n"
    assert kubernetes.secret(namespace, NAME) == first
    Path("auth").write_text(f"alice:{TWO}\nbob:{ONE}\ncarol:{ONE}\n")
    assert push(namespace).stdout == (f"{line} configured (changed alice, added carol)\n")
    second = kubernetes.secret(namespace, NAME)
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert data(second) == {"auth": Path("auth").read_text()}


def test_users_lose_access_only_after_confirmation(kubernetes: ApiServer, namespace: str) -> None:
    push(namespace)
    Path("auth").write_text(f"bob:{ONE}\n")
    refused(push(namespace), 1, f"remove alice from {namespace}/secret/{NAME}?", "--yes")
    assert "alice" in data(kubernetes.secret(namespace, NAME))["auth"]
    assert push(namespace, "--yes").stdout.endswith("configured (removed alice)\n")
    assert data(kubernetes.secret(namespace, NAME)) == {"auth": f"bob:{ONE}\n"}


def test_an_unchanged_secret_costs_one_request(kubernetes: ApiServer, namespace: str) -> None:
    push(namespace)
    mark = kubernetes.audit_mark()
    push(namespace)
    assert [event.verb for event in kubernetes.audit(mark)] == ["get"]


@pytest.mark.parametrize(
    ("reader", "type_", "keys"),
    [
        ("ingress-nginx", "Opaque", ["auth"]),
        ("ingress-nginx-auth-map", "Opaque", ["alice", "bob"]),
        ("traefik", "Opaque", ["auth"]),
        ("nginx-ingress", "nginx.org/htpasswd", ["htpasswd"]),
        ("haproxytech", "Opaque", ["alice", "bob"]),
        ("contour", "Opaque", ["auth"]),
    ],
)
def test_the_secret_has_the_layout_of_its_reader(
    kubernetes: ApiServer, namespace: str, reader: str, type_: str, keys: list[str]
) -> None:
    assert push(namespace, "--for", reader).exit_code == 0
    secret = kubernetes.secret(namespace, NAME)
    assert (secret["type"], sorted(secret["data"])) == (type_, keys)
    annotation = secret["metadata"].get("annotations", {}).get("projectcontour.io/auth-type")
    assert annotation == ("basic" if reader == "contour" else None)
    assert push(namespace, "--for", reader).stdout.endswith("unchanged\n")
    assert push(namespace, "--for", reader, "--check").exit_code == 0


def test_envoy_gets_its_only_scheme_in_its_own_key(kubernetes: ApiServer, namespace: str) -> None:
    refused(push(namespace, "--for", "envoy-gateway"), 1, "not suitable for envoy-gateway")
    Path("auth").write_text(f"ci:{SHA}\n")
    assert push(namespace, "--for", "envoy-gateway").exit_code == 0
    assert data(kubernetes.secret(namespace, NAME)) == {".htpasswd": f"ci:{SHA}\n"}


def test_the_key_of_a_removed_user_is_removed(kubernetes: ApiServer, namespace: str) -> None:
    create_secret(kubernetes, namespace, {"alice": ONE, "old": ONE})
    flags = ["--for", "haproxytech", "--adopt"]
    assert "remove old from" in push(namespace, *flags).stderr
    assert push(namespace, *flags, "--yes").exit_code == 0
    assert sorted(kubernetes.secret(namespace, NAME)["data"]) == ["alice", "bob"]


def test_a_foreign_secret_is_adopted_on_request(kubernetes: ApiServer, namespace: str) -> None:
    """Its other fields are kept."""
    marks = {"labels": {"team": "a"}}
    create_secret(kubernetes, namespace, {"auth": f"alice:{TWO}\n"}, metadata=marks)
    refused(push(namespace), 1, "not by regctl", "--adopt")
    result = push(namespace, "--adopt")
    assert "configured (adopted from " in result.stdout
    assert result.stdout.endswith("; changed alice, added bob)\n")
    labels = kubernetes.secret(namespace, NAME)["metadata"]["labels"]
    assert labels == {"team": "a", "app.kubernetes.io/managed-by": "regctl"}
    assert push(namespace).stdout.endswith("unchanged\n")


def test_a_foreign_secret_with_the_same_users_is_unchanged(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_secret(kubernetes, namespace, {"auth": f"alice:{ONE}\nbob:{ONE}\n"})
    assert push(namespace).stdout.endswith("unchanged (not managed by regctl)\n")


def test_other_keys_are_kept_and_traefik_rejects_them(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_secret(kubernetes, namespace, {"htpasswd": "x"})
    result = push(namespace, "--adopt")
    assert "htpasswd left unchanged" in result.stdout
    assert sorted(kubernetes.secret(namespace, NAME)["data"]) == ["auth", "htpasswd"]
    Path("auth").write_text(f"alice:{TWO}\n")
    refused(push(namespace, "--for", "traefik", "--yes"), 1, "only Secrets with one key")


def test_the_only_key_of_traefik_keeps_its_name(kubernetes: ApiServer, namespace: str) -> None:
    create_secret(kubernetes, namespace, {"users": f"alice:{TWO}\n"})
    push(namespace, "--for", "traefik", "--adopt")
    assert data(kubernetes.secret(namespace, NAME)) == {"users": f"alice:{ONE}\nbob:{ONE}\n"}


def test_a_secret_that_cannot_change_is_not_recreated(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_secret(kubernetes, namespace, {"auth": "x:y"}, immutable=True)
    create_secret(
        kubernetes, namespace, {"htpasswd": "x:y"}, type_="nginx.org/htpasswd", name="other"
    )
    mark = kubernetes.audit_mark()
    flags = ["--adopt", "--yes"]
    refused(push(namespace, *flags), 1, "it is immutable", "--auth-secret NS/NAME")
    refused(push(namespace, *flags, name="other"), 1, "its type is nginx.org/htpasswd", "hint: ")
    assert {event.verb for event in kubernetes.audit(mark)} == {"get"}


def test_the_secret_of_a_controller_is_not_adopted(kubernetes: ApiServer, namespace: str) -> None:
    marks = {"annotations": {"meta.helm.sh/release-name": "registry"}}
    create_secret(kubernetes, namespace, {"auth": "x:y"}, metadata=marks)
    refused(push(namespace, "--adopt"), 1, "it belongs to Helm")


def test_old_hashes_kept_by_kubectl_are_reported(kubernetes: ApiServer, namespace: str) -> None:
    marks = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}
    create_secret(kubernetes, namespace, {"auth": f"alice:{TWO}"}, metadata=marks)
    assert "still has the old hashes" in push(namespace, "--adopt").stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"alice:{ONE}\nalice:{TWO}\n", "alice has 2 lines: ingress-nginx uses the first line"),
        (f"alice:{ONE}\nno colon\n", "not NAME:HASH"),
        (f"\ufeffalice:{ONE}\n", "a byte order mark"),
        ("alice:$y$j75$salt$0gBD67sgmJgRX3RZ6wHHO7sHimQEWGCWN85o4Twogh2\n", "yescrypt: alice"),
        (f"#regctl:locked alice:{ONE}\n", "no active user"),
        ("", "no active user"),
        (f"alice:{hashes.make('x', 'apr1')}\nbob:{ONE}\n:{ONE}\n", None),
    ],
)
def test_an_unsuitable_file_is_an_error_before_any_request(
    kubernetes: ApiServer, namespace: str, content: str, message: str | None
) -> None:
    Path("auth").write_text(content)
    mark = kubernetes.audit_mark()
    if message is None:
        assert push(namespace).exit_code == 0
        return
    refused(push(namespace), 1, message, "hint: ")
    assert kubernetes.audit(mark) == []


def test_an_empty_password_is_not_uploaded(namespace: str) -> None:
    """adduser.sh writes one if its second argument is missing."""
    empty = "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/"
    Path("auth").write_text(f"alice:{ONE}\nbob:{empty}\n")
    refused(push(namespace), 1, "the empty password is accepted for bob")


def test_a_name_that_cannot_be_a_key_is_an_error(namespace: str) -> None:
    Path("auth").write_text(f"alice@foo.com:{ONE}\n")
    refused(push(namespace, "--for", "haproxytech"), 1, "alice@foo.com", "key")


def test_expired_and_locked_users_lose_access_without_a_question(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_secret(kubernetes, namespace, {"auth": f"alice:{ONE}\nbob:{ONE}\neve:{ONE}\n"})
    Path("auth").write_text(
        f"#regctl:expires alice:2020-01-01\nalice:{ONE}\nbob:{ONE}\n#regctl:locked eve:{ONE}\n"
    )
    result = push(namespace, "--adopt")
    assert result.exit_code == 0, result.stderr
    assert f"{namespace}/secret/{NAME}: alice, eve cannot log in any more" in result.stderr
    assert data(kubernetes.secret(namespace, NAME)) == {"auth": f"bob:{ONE}\n"}


def test_expired_users_are_no_difference_and_stay_in_the_file(namespace: str) -> None:
    rows = f"#regctl:expires alice:2020-01-01\nalice:{ONE}\nbob:{ONE}\n"
    Path("auth").write_text(rows)
    assert push(namespace).exit_code == 0
    for verb in ("push", "pull"):
        assert auth(verb, namespace, "--check").exit_code == 0
    assert auth("pull", namespace, "--yes").exit_code == 0
    assert Path("auth").read_text() == rows


def test_an_expired_user_alone_is_no_user(namespace: str) -> None:
    Path("auth").write_text(f"#regctl:expires alice:2020-01-01\nalice:{ONE}\n")
    refused(push(namespace), 1, "no active user")


def test_everybody_who_loses_access_is_named_also_with_yes(
    kubernetes: ApiServer, namespace: str
) -> None:
    gone = [f"user{number}" for number in range(9)]
    rows = "".join(f"{name}:{ONE}\n" for name in [*gone, "bob"])
    create_secret(kubernetes, namespace, {"auth": rows})
    result = push(namespace, "--adopt", "--yes")
    assert f"{', '.join(gone)} cannot log in any more" in result.stderr


def test_a_push_that_leaves_no_present_user_is_refused(
    kubernetes: ApiServer, namespace: str
) -> None:
    """Most often it is the wrong file or the wrong Secret."""
    push(namespace)
    before = kubernetes.secret(namespace, NAME)
    Path("auth").write_text(f"carol:{ONE}\n")
    refused(push(namespace, "--yes"), 1, "none of its users would be left: alice, bob")
    assert kubernetes.secret(namespace, NAME) == before
    assert push(namespace, "--check").exit_code == 1
    assert "remove alice, bob from" in push(namespace, "--exclusive").stderr
    assert push(namespace, "--exclusive", "--yes").exit_code == 0
    assert data(kubernetes.secret(namespace, NAME)) == {"auth": f"carol:{ONE}\n"}


@pytest.fixture
def added(kubernetes: ApiServer, namespace: str) -> str:
    """Upload the file, then add ci-2 to the Secret alone, as `regctl rotate` does."""
    push(namespace)
    cluster = Cluster(Kubeconfig({}, kubernetes.kubeconfig))
    SecretStore(cluster, namespace, NAME, DEFAULT_READER).add("ci-2", "secret")
    return namespace


def test_a_push_keeps_the_users_that_were_added_to_the_secret(
    kubernetes: ApiServer, added: str
) -> None:
    before = kubernetes.secret(added, NAME)
    result = push(added)
    assert (result.exit_code, result.stdout) == (3, f"{added}/secret/{NAME} unchanged\n")
    assert f"kept ci-2 in {added}/secret/{NAME}" in result.stderr
    assert f"hint: `regctl auth pull --auth-secret {added}/{NAME}`" in result.stderr
    assert push(added, "--check").exit_code == 3
    assert kubernetes.secret(added, NAME) == before
    Path("auth").write_text(f"alice:{TWO}\n")
    assert push(added, "--yes").exit_code == 3
    users = data(kubernetes.secret(added, NAME))["auth"]
    assert [row.partition(":")[0] for row in users.splitlines()] == ["alice", "ci-2"]


def test_a_push_keeps_the_user_that_a_rotation_added(
    kubernetes: ApiServer, namespace: str, serve: Servers, tmp_path: Path
) -> None:
    old, new = f"ci-{namespace}", f"ci-{namespace}-next"
    rows = f"alice:{ONE}\n{old}:{hashes.make('old', cost=4)}\n"
    Path("auth").write_text(rows)
    assert push(namespace).exit_code == 0
    Path("read").write_text(f"{rows}{new}:{hashes.make('new', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "read"))
    where = ["--server", registry.host, "-n", namespace, "--password-stdin"]
    create = ["secret", "create", "regcred", "--username", old, "--no-verify"]
    cli.run_ok(*create, *where, stdin="old")
    rotate = ["rotate", old, "--to", new, "--keep-old", "--plain-http"]
    cli.run_ok(*rotate, "--auth-secret", f"{namespace}/{NAME}", *where, stdin="new")
    kept = push(namespace)
    assert kept.exit_code == 3
    assert f"kept {new} in {namespace}/secret/{NAME}" in kept.stderr
    users = data(kubernetes.secret(namespace, NAME))["auth"]
    assert [row.partition(":")[0] for row in users.splitlines()] == ["alice", old, new]


def test_an_added_user_is_like_the_others_once_the_file_has_it(
    kubernetes: ApiServer, added: str
) -> None:
    assert auth("pull", added, "--yes").exit_code == 0
    assert push(added).exit_code == 0
    assert "annotations" not in kubernetes.secret(added, NAME)["metadata"]
    write_auth_file()
    assert "remove ci-2 from" in push(added).stderr
    assert push(added, "--yes").exit_code == 0
    assert "ci-2" not in data(kubernetes.secret(added, NAME))["auth"]


def test_an_exclusive_push_removes_added_users(kubernetes: ApiServer, added: str) -> None:
    assert push(added, "--exclusive", "--yes").exit_code == 0
    assert data(kubernetes.secret(added, NAME)) == {"auth": f"alice:{ONE}\nbob:{ONE}\n"}
    assert "annotations" not in kubernetes.secret(added, NAME)["metadata"]


def test_a_dry_run_prints_the_same(kubernetes: ApiServer, namespace: str) -> None:
    for flag in ("--dry-run", "--dry-run=server"):
        result = push(namespace, flag)
        assert result.stdout.startswith(f"{namespace}/secret/{NAME} created (added alice, bob) (")
    push(namespace)
    before = kubernetes.secret(namespace, NAME)
    Path("auth").write_text(f"bob:{TWO}\n")
    for flag in ("--dry-run", "--dry-run=server"):
        result = push(namespace, flag)
        assert "configured (removed alice, changed bob) (" in result.stdout
    assert kubernetes.secret(namespace, NAME) == before


def test_manifests_need_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    manifest = yaml.safe_load(push("a", "--dry-run=client", "-o", "yaml").stdout)
    assert manifest["metadata"]["namespace"] == "a"
    assert data(manifest) == {"auth": f"alice:{ONE}\nbob:{ONE}\n"}


def test_check_prints_no_manifest(namespace: str) -> None:
    result = push(namespace, "--check", "--dry-run=client", "-o", "json")
    assert result.exit_code == 1
    assert "data" not in result.stdout


def test_a_failure_does_not_stop_the_others(kubernetes: ApiServer, namespace: str) -> None:
    ending = kubernetes.create_namespace(f"{namespace}-ending")
    kubernetes.terminate_namespace(ending)
    others = [f"--auth-secret={space}/{NAME}" for space in ("nowhere", ending)]
    result = push(namespace, *others)
    assert result.exit_code == 3
    assert result.stdout == f"{namespace}/secret/{NAME} created (added alice, bob)\n"
    assert "in namespace nowhere: no such namespace" in result.stderr
    assert f"in namespace {ending}: the namespace is being deleted" in result.stderr


def test_a_secret_in_a_terminating_namespace_can_be_updated(
    kubernetes: ApiServer, namespace: str
) -> None:
    push(namespace)
    kubernetes.terminate_namespace(namespace)
    Path("auth").write_text(f"alice:{TWO}\nbob:{ONE}\n")
    assert push(namespace).stdout.endswith("configured (changed alice)\n")


def test_a_role_for_one_secret_is_sufficient(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rights that `regctl rbac auth push` prints."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    refused(push(namespace), 4, 'forbidden for user "bob"', "regctl rbac")
    refused(auth("pull", namespace), 4, 'forbidden for user "bob"')
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME]}
    kubernetes.grant("bob", namespace, [rule | {"verbs": ["get", "create", "patch"]}])
    assert push(namespace).exit_code == 0
    Path("auth").write_text(f"alice:{TWO}\nbob:{ONE}\n")
    assert push(namespace).stdout.endswith("configured (changed alice)\n")


def test_json_has_the_users_without_their_hashes(namespace: str) -> None:
    result = json.loads(push(namespace, "-o", "json").stdout)["results"][0]
    assert (result["namespace"], result["result"]) == (namespace, "created")
    assert result["users"] == [
        {"name": "alice", "change": "added"},
        {"name": "bob", "change": "added"},
    ]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--for", "caddy"], 2, "caddy reads no Secret"),
        (["--for", "apache"], 2, "apache"),
        (["--auth-secret", "team-a/Bad_Name"], 2, "not a name for a Secret"),
        (["--auth-secret", "Team_A/users"], 2, "RFC 1123"),
        (["--auth-secret", "users"], 2, "'users' is not NAMESPACE/NAME"),
        (["-f", "nowhere"], 1, "no auth file at nowhere"),
    ],
)
def test_bad_input_is_one_line(args: Sequence[str], code: int, message: str) -> None:
    refused(push("default", *args), code, message)


def test_check_lists_the_differences_without_a_hash(kubernetes: ApiServer, namespace: str) -> None:
    create_secret(kubernetes, namespace, {"auth": f"alice:{TWO}\nzoe:{ONE}\n"})
    result = push(namespace, "--check", "--adopt")
    assert result.exit_code == 1
    reasons = "changed alice; added bob; removed zoe"
    assert result.stdout == f"{namespace}\tsecret/{NAME}\tconfigured\t{reasons}\n"
    document = json.loads(push(namespace, "--check", "-o", "json").stdout)
    assert document["differences"][0]["users"][0] == {"name": "alice", "change": "changed"}
    assert document["differences"][0]["result"] == "refused"
    assert "zoe" in data(kubernetes.secret(namespace, NAME))["auth"]


def test_check_is_silent_without_differences(namespace: str) -> None:
    push(namespace)
    result = push(namespace, "--check")
    assert (result.exit_code, result.output) == (0, "")
