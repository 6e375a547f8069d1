"""`auth push`, `auth pull`, `auth diff` on the real API server."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from regctl.authfile import hashes
from regctl.cli.main import main
from tests.servers.kubernetes import ApiServer

NAME = "registry-basic-auth"
ONE = hashes.make("one", cost=4)
TWO = hashes.make("two", cost=4)
SHA = hashes.make("generated", "sha1")


@pytest.fixture(autouse=True)
def person(kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator in a folder with an auth file of alice and bob, and a locked user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    Path("auth").write_text(f"# ours\nalice:{ONE}\n\n#regctl:locked eve:{ONE}\nbob:{ONE}\n")


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, ["auth", *args], prog_name="regctl")
    assert "Traceback" not in result.stderr
    if "--dry-run=client" not in args:
        assert "$2y$" not in result.output
        assert base64.b64encode(b"$2y$").decode()[:4] not in result.output
    return result


def refused(result: Result, code: int, *said: str) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for words in said:
        assert words in result.stderr


def data(secret: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def by_hand(
    server: ApiServer,
    namespace: str,
    content: dict[str, str],
    *,
    type_: str = "Opaque",
    name: str = NAME,
    **fields: Any,
) -> dict[str, Any]:
    metadata = {"name": name, **fields.pop("metadata", {})}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    return server.create_secret(
        namespace, {"metadata": metadata, "type": type_, "data": encoded, **fields}
    )


# push


def test_the_open_users_are_created_unchanged_and_configured_in_place(
    kubernetes: ApiServer, namespace: str
) -> None:
    line = f"{namespace}/secret/{NAME}"
    assert run("push", "-n", namespace).stdout == f"{line} created (added alice, bob)\n"
    first = kubernetes.secret(namespace, NAME)
    assert (first["type"], data(first)) == ("Opaque", {"auth": f"alice:{ONE}\nbob:{ONE}\n"})
    assert first["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "regctl"}
    assert run("push", "-n", namespace).stdout == f"{line} unchanged\n"
    assert kubernetes.secret(namespace, NAME) == first
    Path("auth").write_text(f"alice:{TWO}\nbob:{ONE}\ncarol:{ONE}\n")
    assert run("push", "-n", namespace).stdout == (
        f"{line} configured (changed alice, added carol)\n"
    )
    second = kubernetes.secret(namespace, NAME)
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert data(second) == {"auth": Path("auth").read_text()}


def test_a_user_is_shut_out_only_when_that_was_confirmed(
    kubernetes: ApiServer, namespace: str
) -> None:
    run("push", "-n", namespace)
    Path("auth").write_text(f"bob:{ONE}\n")
    refused(
        run("push", "-n", namespace), 1, f"shut out alice in {namespace}/secret/{NAME}?", "--yes"
    )
    assert "alice" in data(kubernetes.secret(namespace, NAME))["auth"]
    assert run("push", "-n", namespace, "--yes").stdout.endswith("configured (removed alice)\n")
    assert data(kubernetes.secret(namespace, NAME)) == {"auth": f"bob:{ONE}\n"}


def test_nothing_to_do_is_one_request(kubernetes: ApiServer, namespace: str) -> None:
    run("push", "-n", namespace)
    mark = kubernetes.audit_mark()
    run("push", "-n", namespace)
    assert [event.verb for event in kubernetes.audit(mark)] == ["get"]


@pytest.mark.parametrize(
    ("consumer", "type_", "keys"),
    [
        ("ingress-nginx", "Opaque", ["auth"]),
        ("ingress-nginx-auth-map", "Opaque", ["alice", "bob"]),
        ("traefik", "Opaque", ["auth"]),
        ("nginx-ingress", "nginx.org/htpasswd", ["htpasswd"]),
        ("haproxytech", "Opaque", ["alice", "bob"]),
        ("contour", "Opaque", ["auth"]),
    ],
)
def test_the_secret_has_the_shape_that_its_consumer_reads(
    kubernetes: ApiServer, namespace: str, consumer: str, type_: str, keys: list[str]
) -> None:
    assert run("push", "-n", namespace, "--for", consumer).exit_code == 0
    secret = kubernetes.secret(namespace, NAME)
    assert (secret["type"], sorted(secret["data"])) == (type_, keys)
    contours = secret["metadata"].get("annotations", {}).get("projectcontour.io/auth-type")
    assert contours == ("basic" if consumer == "contour" else None)
    assert run("push", "-n", namespace, "--for", consumer).stdout.endswith("unchanged\n")
    assert run("diff", "-n", namespace, "--for", consumer).exit_code == 0


def test_envoy_gets_its_only_scheme_under_its_own_key(
    kubernetes: ApiServer, namespace: str
) -> None:
    refused(
        run("push", "-n", namespace, "--for", "envoy-gateway"), 1, "not suitable for envoy-gateway"
    )
    Path("auth").write_text(f"ci:{SHA}\n")
    assert run("push", "-n", namespace, "--for", "envoy-gateway").exit_code == 0
    assert data(kubernetes.secret(namespace, NAME)) == {".htpasswd": f"ci:{SHA}\n"}


def test_a_user_who_is_gone_loses_its_key(kubernetes: ApiServer, namespace: str) -> None:
    by_hand(kubernetes, namespace, {"alice": ONE, "old": ONE})
    flags = ["-n", namespace, "--for", "haproxytech", "--adopt"]
    assert "shut out old" in run("push", *flags).stderr
    assert run("push", *flags, "--yes").exit_code == 0
    assert sorted(kubernetes.secret(namespace, NAME)["data"]) == ["alice", "bob"]


def test_a_secret_made_by_hand_is_adopted_on_request(kubernetes: ApiServer, namespace: str) -> None:
    """Under other fields that its author gave it, which stay."""
    by_hand(kubernetes, namespace, {"auth": f"alice:{TWO}\n"}, metadata={"labels": {"team": "a"}})
    refused(run("push", "-n", namespace), 1, "not by regctl", "--adopt")
    result = run("push", "-n", namespace, "--adopt")
    assert "configured (adopted from " in result.stdout
    assert result.stdout.endswith("; changed alice, added bob)\n")
    labels = kubernetes.secret(namespace, NAME)["metadata"]["labels"]
    assert labels == {"team": "a", "app.kubernetes.io/managed-by": "regctl"}
    assert run("push", "-n", namespace).stdout.endswith("unchanged\n")


def test_a_secret_made_by_hand_that_holds_the_same_is_unchanged(
    kubernetes: ApiServer, namespace: str
) -> None:
    by_hand(kubernetes, namespace, {"auth": f"alice:{ONE}\nbob:{ONE}\n"})
    assert run("push", "-n", namespace).stdout.endswith("unchanged (not managed by regctl)\n")


def test_other_keys_stay_and_are_named_and_traefik_refuses_them(
    kubernetes: ApiServer, namespace: str
) -> None:
    by_hand(kubernetes, namespace, {"htpasswd": "x"})
    result = run("push", "-n", namespace, "--adopt")
    assert "htpasswd left unchanged" in result.stdout
    assert sorted(kubernetes.secret(namespace, NAME)["data"]) == ["auth", "htpasswd"]
    Path("auth").write_text(f"alice:{TWO}\n")
    refused(
        run("push", "-n", namespace, "--for", "traefik", "--yes"), 1, "only Secrets with one key"
    )


def test_traefiks_only_key_keeps_its_name(kubernetes: ApiServer, namespace: str) -> None:
    by_hand(kubernetes, namespace, {"users": f"alice:{TWO}\n"})
    run("push", "-n", namespace, "--for", "traefik", "--adopt")
    assert data(kubernetes.secret(namespace, NAME)) == {"users": f"alice:{ONE}\nbob:{ONE}\n"}


def test_what_cannot_be_changed_is_explained_and_never_made_anew(
    kubernetes: ApiServer, namespace: str
) -> None:
    by_hand(kubernetes, namespace, {"auth": "x:y"}, immutable=True)
    by_hand(kubernetes, namespace, {"htpasswd": "x:y"}, type_="nginx.org/htpasswd", name="other")
    mark = kubernetes.audit_mark()
    flags = ["-n", namespace, "--adopt", "--yes"]
    refused(run("push", *flags), 1, "it is immutable", "--auth-secret NS/NAME")
    refused(run("push", *flags, "--secret", "other"), 1, "its type is nginx.org/htpasswd", "hint: ")
    assert {event.verb for event in kubernetes.audit(mark)} == {"get"}


def test_the_secret_of_a_controller_is_left_alone(kubernetes: ApiServer, namespace: str) -> None:
    marks = {"annotations": {"meta.helm.sh/release-name": "registry"}}
    by_hand(kubernetes, namespace, {"auth": "x:y"}, metadata=marks)
    refused(run("push", "-n", namespace, "--adopt"), 1, "it belongs to Helm")


def test_kubectls_copy_of_the_old_hashes_is_told(kubernetes: ApiServer, namespace: str) -> None:
    marks = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}
    by_hand(kubernetes, namespace, {"auth": f"alice:{TWO}"}, metadata=marks)
    assert "still has the old hashes" in run("push", "-n", namespace, "--adopt").stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"alice:{ONE}\nalice:{TWO}\n", "alice has 2 lines: ingress-nginx takes line 1"),
        (f"alice:{ONE}\nno colon\n", "not NAME:HASH"),
        (f"\ufeffalice:{ONE}\n", "a byte order mark"),
        ("alice:$y$j75$salt$0gBD67sgmJgRX3RZ6wHHO7sHimQEWGCWN85o4Twogh2\n", "yescrypt: alice"),
        (f"#regctl:locked alice:{ONE}\n", "no active user"),
        ("", "no active user"),
        (f"alice:{hashes.make('x', 'apr1')}\nbob:{ONE}\n:{ONE}\n", None),
    ],
)
def test_a_file_that_would_not_work_there_is_refused_before_anything_is_sent(
    kubernetes: ApiServer, namespace: str, content: str, said: str | None
) -> None:
    Path("auth").write_text(content)
    mark = kubernetes.audit_mark()
    if said is None:
        assert run("push", "-n", namespace).exit_code == 0
        return
    refused(run("push", "-n", namespace), 1, said, "hint: ")
    assert kubernetes.audit(mark) == []


def test_an_empty_password_is_not_let_into_the_cluster(namespace: str) -> None:
    """As adduser.sh writes one where the password was forgotten."""
    empty = "$apr1$saltsalt$a8ml/vK5HEjiZ5oypDWA7/"
    Path("auth").write_text(f"alice:{ONE}\nbob:{empty}\n")
    refused(run("push", "-n", namespace), 1, "the empty password lets in bob")


def test_what_a_key_cannot_be_is_refused(namespace: str) -> None:
    Path("auth").write_text(f"alice@foo.com:{ONE}\n")
    refused(run("push", "-n", namespace, "--for", "haproxytech"), 1, "alice@foo.com", "key")


def test_who_is_expired_is_told(namespace: str) -> None:
    Path("auth").write_text(f"#regctl:expires alice:2020-01-01\nalice:{ONE}\n")
    result = run("push", "-n", namespace)
    assert result.exit_code == 0
    assert "warning: expired, and let in: alice" in result.stderr


def test_a_dry_run_says_the_same_and_changes_nothing(kubernetes: ApiServer, namespace: str) -> None:
    for flag in ("--dry-run", "--dry-run=server"):
        result = run("push", "-n", namespace, flag)
        assert result.stdout.startswith(f"{namespace}/secret/{NAME} created (added alice, bob) (")
    run("push", "-n", namespace)
    before = kubernetes.secret(namespace, NAME)
    Path("auth").write_text(f"bob:{TWO}\n")
    for flag in ("--dry-run", "--dry-run=server"):
        result = run("push", "-n", namespace, flag)
        assert "configured (removed alice, changed bob) (" in result.stdout
    assert kubernetes.secret(namespace, NAME) == before


def test_a_manifest_needs_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    manifest = yaml.safe_load(run("push", "-n", "a", "--dry-run=client", "-o", "yaml").stdout)
    assert manifest["metadata"]["namespace"] == "a"
    assert data(manifest) == {"auth": f"alice:{ONE}\nbob:{ONE}\n"}


def test_one_namespace_that_fails_stops_no_other(kubernetes: ApiServer, namespace: str) -> None:
    ending = kubernetes.create_namespace(f"{namespace}-ending")
    kubernetes.terminate_namespace(ending)
    result = run("push", "-n", f"{namespace},nowhere,{ending}")
    assert result.exit_code == 3
    assert result.stdout == f"{namespace}/secret/{NAME} created (added alice, bob)\n"
    assert "in namespace nowhere: no such namespace" in result.stderr
    assert f"in namespace {ending}: the namespace is being deleted" in result.stderr


def test_a_terminating_namespace_takes_the_change_of_a_secret_that_is_there(
    kubernetes: ApiServer, namespace: str
) -> None:
    run("push", "-n", namespace)
    kubernetes.terminate_namespace(namespace)
    Path("auth").write_text(f"alice:{TWO}\nbob:{ONE}\n")
    assert run("push", "-n", namespace).stdout.endswith("configured (changed alice)\n")


def test_a_role_for_the_one_secret_is_enough(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that `regctl rbac create NAME -n NS` prints."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    refused(run("push", "-n", namespace), 4, 'forbidden for user "bob"', "regctl rbac")
    for verb in ("pull", "diff"):
        refused(run(verb, "-n", namespace), 4, 'forbidden for user "bob"')
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME]}
    kubernetes.grant("bob", namespace, [rule | {"verbs": ["get", "create", "patch"]}])
    assert run("push", "-n", namespace).exit_code == 0
    Path("auth").write_text(f"alice:{TWO}\nbob:{ONE}\n")
    assert run("push", "-n", namespace).stdout.endswith("configured (changed alice)\n")


def test_results_are_json_without_a_hash(namespace: str) -> None:
    result = json.loads(run("push", "-n", namespace, "-o", "json").stdout)["results"][0]
    assert (result["namespace"], result["result"]) == (namespace, "created")
    assert result["users"] == [
        {"name": "alice", "change": "added"},
        {"name": "bob", "change": "added"},
    ]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--for", "caddy"], 2, "caddy reads no Secret"),
        (["--for", "apache"], 2, "no consumer apache"),
        (["--secret", "Bad_Name"], 2, "not a name for a Secret"),
        (["-n", "Team_A"], 2, "RFC 1123"),
        (["-f", "nowhere"], 1, "no auth file at nowhere"),
    ],
)
def test_bad_input_is_one_line(args: Sequence[str], code: int, said: str) -> None:
    refused(run("push", *(args if "-n" in args else ["-n", "default", *args])), code, said)


# pull


def test_the_secret_is_fetched_into_a_new_file(kubernetes: ApiServer, namespace: str) -> None:
    content = f"# a comment\nalice:{TWO}"
    by_hand(kubernetes, namespace, {"auth": content})
    assert run("pull", "-n", namespace, "-f", "new").stdout == "file/new created (added alice)\n"
    assert Path("new").read_text() == content
    assert Path("new").stat().st_mode & 0o777 == 0o600
    assert run("pull", "-n", namespace, "-f", "new").stdout == "file/new unchanged\n"


def test_a_different_file_is_changed_only_when_that_was_confirmed(
    kubernetes: ApiServer, namespace: str
) -> None:
    """By user: comments and the locked one, who is not in the Secret, stay."""
    by_hand(kubernetes, namespace, {"auth": f"alice:{TWO}\ncarol:{ONE}\n"})
    before = Path("auth").read_text()
    refused(run("pull", "-n", namespace), 1, "changed alice, removed bob, added carol", "--yes")
    assert run("pull", "-n", namespace, "--dry-run").stdout.endswith("(dry run)\n")
    assert Path("auth").read_text() == before
    assert run("pull", "-n", namespace, "--yes").stdout.startswith("file/auth configured")
    assert Path("auth").read_text() == (
        f"# ours\nalice:{TWO}\n\n#regctl:locked eve:{ONE}\ncarol:{ONE}\n"
    )
    assert run("diff", "-n", namespace).exit_code == 0


def test_what_was_pushed_is_unchanged_when_pulled(namespace: str) -> None:
    run("push", "-n", namespace)
    assert run("pull", "-n", namespace).stdout == "file/auth unchanged\n"


@pytest.mark.parametrize("verb", ["pull", "diff"])
def test_what_is_not_there_is_named(kubernetes: ApiServer, namespace: str, verb: str) -> None:
    refused(
        run(verb, "-n", namespace), 1, f"in namespace {namespace}: it does not exist", "auth push"
    )
    refused(run(verb, "-n", "nowhere"), 1, "in namespace nowhere: no such namespace")
    refused(run(verb, "-n", "a,b"), 2, "several are named")
    by_hand(kubernetes, namespace, {"users": "x"})
    refused(run(verb, "-n", namespace), 1, "reads key auth", "has only users", "--for")


# diff


def test_a_difference_is_by_user_with_exit_code_1_and_without_a_hash(
    kubernetes: ApiServer, namespace: str
) -> None:
    by_hand(kubernetes, namespace, {"auth": f"alice:{TWO}\nzoe:{ONE}\n"})
    result = run("diff", "-n", namespace)
    assert result.exit_code == 1
    assert result.stdout == "alice\tchanged\nbob\tadded\nzoe\tremoved\n"
    assert f"auth and {namespace}/secret/{NAME} differ in 3 users" in result.stderr
    document = json.loads(run("diff", "-n", namespace, "-o", "json").stdout)
    assert document["differences"][0] == {"name": "alice", "change": "changed"}


def test_no_difference_is_silence_and_exit_code_0(namespace: str) -> None:
    run("push", "-n", namespace)
    result = run("diff", "-n", namespace)
    assert (result.exit_code, result.output) == (0, "")
