"""`secret create` on the real API server: output, exit codes, bad input and credentials."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli import run_process
from tests.cli.commands.secret import KEY, PASSWORD, as_user, create, decoded, refused, run
from tests.conftest import Servers
from tests.servers.kubernetes import ApiServer
from tests.servers.webhook import ask_webhook, until_denied, webhook

FAULTS = Path(__file__).parents[3] / "faults"


def test_a_secret_is_created_then_unchanged_then_configured(namespace: str) -> None:
    line = f"{namespace}/secret/registry.foo.com"
    assert create("-n", namespace).stdout == f"{line} created\n"
    assert create("-n", namespace).stdout == f"{line} unchanged\n"
    changed = create("-n", namespace, "--username", "bob")
    assert changed.stdout == f"{line} configured\n"
    assert changed.exit_code == 0


@pytest.mark.parametrize("email", [None, "alice@foo.com"])
@pytest.mark.parametrize("server", ["registry.foo.com", "r.io:5000", "https://index.docker.io/v1/"])
def test_the_content_is_the_same_as_kubectls(
    kubernetes: ApiServer,
    namespace: str,
    program: Callable[[str], str],
    server: str,
    email: str | None,
) -> None:
    """The same flags to both, with unusual characters."""
    flags = ["--docker-server", server, "--docker-username", "al ice", "-n", namespace]
    flags += ["--docker-password", PASSWORD]
    flags += ["--docker-email", email] if email else []
    assert create("ours", *flags).exit_code == 0
    kubectl = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig)]
    made = [*kubectl, "create", "secret", "docker-registry", "theirs", *flags]
    subprocess.run(made, check=True, capture_output=True)
    ours, theirs = (kubernetes.secret(namespace, name) for name in ("ours", "theirs"))
    assert ours["type"] == theirs["type"]
    assert decoded(ours) == decoded(theirs)


def test_a_failing_namespace_does_not_stop_the_others(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, terminating and forbidden: a line each, the others done, exit code 3."""
    ending = kubernetes.create_namespace(f"{namespace}-ending")
    kubernetes.terminate_namespace(ending)
    result = create("-n", f"{namespace},nowhere,{ending}")
    assert result.exit_code == 3
    assert result.stdout == f"{namespace}/secret/registry.foo.com created\n"
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: cannot apply secret registry.foo.com in namespace nowhere: no such namespace",
        (
            f"error: cannot apply secret registry.foo.com in namespace {ending}: "
            "the namespace is being deleted"
        ),
        "error: 2 of 3 failed, 1 done",
    ]
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch", "create"]}
    kubernetes.grant("carol", namespace, [rule])
    as_user(kubernetes, "carol", monkeypatch)
    result = create("-n", namespace, "-n", "default")
    assert result.exit_code == 3
    assert result.stdout == f"{namespace}/secret/registry.foo.com unchanged\n"
    assert 'in namespace default: forbidden for user "carol"' in result.stderr


def test_a_user_without_any_right_gets_exit_code_4(
    kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user(kubernetes, "alice", monkeypatch)
    refused(create("-n", "default"), 4, 'forbidden for user "alice"', "regctl rbac")
    refused(create("-A"), 4, "cannot list namespaces", "-n NS")


def test_the_default_namespace_is_that_of_the_context(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubernetes.kubeconfig_for("admin", namespace=namespace)
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert create().stdout == f"{namespace}/secret/registry.foo.com created\n"


# Dry runs and formats


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--dry-run", "dry run"), ("--dry-run=client", "dry run"), ("--dry-run=server", "server dry")],
)
def test_a_dry_run_prints_the_same_and_changes_nothing(
    kubernetes: ApiServer, namespace: str, flag: str, words: str
) -> None:
    mark = kubernetes.audit_mark()
    result = create("-n", namespace, flag)
    assert result.stdout.startswith(f"{namespace}/secret/registry.foo.com created ({words}")
    assert create("-n", f"{namespace},nowhere", flag).exit_code == 3
    changing = [event for event in kubernetes.audit(mark) if event.verb not in {"get", "list"}]
    assert all(event.dry_run for event in changing)
    assert create("-n", namespace).stdout.endswith("created\n")


def test_manifests_need_no_cluster_when_namespaces_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = create("--dry-run=client", "-o", "yaml", "-n", "b,a")
    assert result.exit_code == 0, result.stderr
    documents = list(yaml.safe_load_all(result.stdout))
    assert [document["metadata"]["namespace"] for document in documents] == ["a", "b"]
    assert "creationTimestamp" not in result.stdout
    auth = decoded(documents[0])["auths"]["registry.foo.com"]
    assert (auth["username"], auth["password"]) == ("alice", PASSWORD)
    listed = json.loads(create("--dry-run=client", "-o", "json", "-n", "b,a").stdout)
    assert listed["kind"] == "List"
    assert listed["items"] == documents


def test_kubectl_applies_the_manifests_and_changes_nothing_the_second_time(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str]
) -> None:
    manifests = create("-n", namespace, "--dry-run=client", "-o", "yaml").stdout
    command = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig), "apply", "-f", "-"]
    printed = [
        subprocess.run(command, input=manifests, text=True, check=True, capture_output=True).stdout
        for _ in range(2)
    ]
    assert [words.split()[-1] for words in printed] == ["created", "unchanged"]
    assert create("-n", namespace).stdout.endswith("unchanged\n")


def test_append_hash_gives_the_name_that_kubectl_gives(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    flags = ["--docker-server=r.io", "--docker-username=alice", "--docker-password=secret"]
    kubectl = [program("kubectl"), "create", "secret", "docker-registry", "x", *flags]
    kubectl += ["--append-hash", "--dry-run=client", "-o", "name"]
    environ = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    made = subprocess.run(kubectl, check=True, capture_output=True, text=True, env=environ).stdout
    ours = create("x", *flags, "--append-hash", "--dry-run=client", "-o", "json", "-n", "a").stdout
    assert f"secret/{json.loads(ours)['metadata']['name']}" == made.strip()


def test_results_are_one_json_document_even_if_some_failed(namespace: str) -> None:
    result = create("-n", f"{namespace},nowhere", "-o", "json")
    assert result.exit_code == 3
    results = json.loads(result.stdout)["results"]
    assert [(one["namespace"], one["result"]) for one in results] == [
        ("nowhere", "failed"),
        (namespace, "created"),
    ]
    assert PASSWORD not in result.stdout
    assert create("-n", namespace, "-o", "name").stdout == f"{namespace}/secret/registry.foo.com\n"


def test_verbose_shows_requests_and_no_secret(kubernetes: ApiServer, namespace: str) -> None:
    result = create("-n", namespace, "-v")
    assert f"PATCH {kubernetes.url}/api/v1/namespaces/{namespace}/secrets/" in result.stderr
    assert "201" in result.stderr
    for hidden in (PASSWORD, "token-of-admin", "Bearer"):
        assert hidden not in result.stderr


# Where the credential comes from


def test_the_credential_comes_from_dockers_config(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGCTL_USERNAME")
    monkeypatch.delenv("REGCTL_PASSWORD")
    auth = base64.b64encode(b"docker:from-docker").decode()
    document = {"auths": {"registry.foo.com": {"auth": auth}}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert create("-n", namespace).exit_code == 0
    entry = decoded(kubernetes.secret(namespace, "registry.foo.com"))["auths"]["registry.foo.com"]
    assert (entry["username"], entry["password"]) == ("docker", "from-docker")


def test_a_docker_config_without_the_credential_is_an_error(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGCTL_USERNAME")
    monkeypatch.delenv("REGCTL_PASSWORD")
    (tmp_path / "config.json").write_text('{"auths": {"registry.foo.com": {}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    refused(create("-n", namespace), 1, "no credential for registry.foo.com", "--password-stdin")


@pytest.mark.parametrize(
    ("flags", "stdin", "text"),
    [
        (["--password-stdin"], "", "is empty"),
        (["--password-stdin"], "a\nb\n", "more than one line"),
        (["--password-stdin", "--docker-password", "x"], "y", "pass one of them"),
        (["--password-stdin", "--namespaces-from", "-"], "y", "standard input"),
        (["--username", "a:b"], "", "colon"),
        (["--server", "user:hunter2@r.io"], "", "before the host"),
        (["--server", "a b"], "", "not a registry"),
        (["-n", "Team_A"], "", "RFC 1123"),
        (["-n", ""], "", "not a namespace"),
        (["Bad_Name"], "", "not a name for a Secret"),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2(
    kubernetes: ApiServer, flags: list[str], stdin: str, text: str
) -> None:
    mark = kubernetes.audit_mark()
    where = [] if "-n" in flags else ["-n", "default"]
    refused(create(*flags, *where, stdin=stdin), 2, text)
    assert kubernetes.audit(mark) == []


def test_a_file_of_namespaces_that_cannot_be_read_is_one_line() -> None:
    refused(create("--namespaces-from", "/nonexistent"), 1, "/nonexistent: No such file")


def test_a_missing_kubeconfig_and_an_unreachable_server_are_one_line(
    tmp_path: Path, kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG")
    refused(create("-n", "default"), 1, "no kubeconfig", "--kubeconfig")
    refused(create("--kubeconfig", "/none", "-n", "default"), 1, "/none", "no such file")
    document = json.loads(kubernetes.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(document))
    flags = ["--kubeconfig", str(tmp_path / "config"), "--timeout", "0.1", "-n", "default"]
    refused(create(*flags), 1, "no answer from https://127.0.0.1:1", "kubectl")


# The whole process


def test_the_password_is_in_no_output_of_the_process(kubernetes: ApiServer, namespace: str) -> None:
    done = run_process("secret", "create", "-n", namespace, "-v", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert decoded(kubernetes.secret(namespace, "registry.foo.com"))


# Targets


def test_namespaces_come_from_commas_repeated_flags_files_and_standard_input(
    namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text(f"# ours\nnamespace/{namespace}\n\n")
    flags = ["--dry-run=client", "-o", "json", "-n", "a,b", "-n", "c"]
    listed = json.loads(create(*flags, "--namespaces-from", str(tmp_path / "list")).stdout)
    found = [item["metadata"]["namespace"] for item in listed["items"]]
    assert found == ["a", "b", "c", namespace]
    piped = create("--namespaces-from", "-", stdin=f"{namespace}\n")
    assert piped.stdout == f"{namespace}/secret/registry.foo.com created\n"


def test_a_selector_finds_namespaces_and_globs_exclude_some(
    kubernetes: ApiServer, namespace: str
) -> None:
    for suffix in ("a", "b", "c"):
        kubernetes.create_namespace(f"{namespace}-{suffix}", {"test": namespace})
    kubernetes.terminate_namespace(f"{namespace}-c")
    result = create("-l", f"test={namespace}", "--exclude", "*-b")
    assert result.exit_code == 0
    assert result.stdout == (
        f"{namespace}-a/secret/registry.foo.com created\n"
        f"{namespace}-c/secret/registry.foo.com skipped (terminating)\n"
    )


def test_many_namespaces_are_shown_to_a_person_first(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regctl.cli.app.App.interactive", True)
    for number in range(21):
        kubernetes.create_namespace(f"{namespace}-{number}", {"many": namespace})
    mark = kubernetes.audit_mark()
    result = create("-l", f"many={namespace}", stdin="n\n")
    assert result.exit_code == 1
    assert f"{namespace}-20/secret/registry.foo.com created (dry run)" in result.stderr
    assert "Change 21 namespaces?" in result.stderr
    assert "nothing was changed" in result.stderr
    assert "patch" not in {event.verb for event in kubernetes.audit(mark)}


# From another Secret, and several registries in one


def test_credentials_are_copied_from_another_secret(kubernetes: ApiServer, namespace: str) -> None:
    there = kubernetes.create_namespace(f"{namespace}-there")
    assert create("pull", "--server", "a.io", "-n", namespace).exit_code == 0
    assert create("pull", "--server", "b.io", "--merge", "-n", namespace).exit_code == 0
    source = f"{namespace}/pull"
    copied = create("--from-secret", source, "--server", "b.io", "-n", there)
    assert copied.stdout == f"{there}/secret/pull created\n"
    assert set(decoded(kubernetes.secret(there, "pull"))["auths"]) == {"b.io"}
    assert create("all", "--from-secret", source, "-n", there).exit_code == 0
    assert set(decoded(kubernetes.secret(there, "all"))["auths"]) == {"a.io", "b.io"}
    for flags, code, text in (
        (["--from-secret", source, "--server", "c.io"], 2, "no credential for c.io"),
        (["--from-secret", f"{namespace}/none"], 1, "does not exist"),
        (["--from-secret", "pull"], 2, "not NAMESPACE/NAME"),
        (["--from-secret", source, "--username", "x"], 2, "--from-secret and from flags"),
    ):
        refused(create(*flags, "-n", there), code, text)


def test_merging_adds_one_registry_and_keeps_the_others(
    kubernetes: ApiServer, namespace: str
) -> None:
    assert create("pull", "--server", "a.io", "-n", namespace).exit_code == 0
    merged = create("pull", "--server", "b.io", "--merge", "-n", namespace)
    assert merged.stdout == f"{namespace}/secret/pull configured\n"
    assert set(decoded(kubernetes.secret(namespace, "pull"))["auths"]) == {"a.io", "b.io"}
    again = create("pull", "--server", "b.io", "--merge", "-n", namespace)
    assert again.stdout == f"{namespace}/secret/pull unchanged\n"


# --check


def test_check_lists_differences_without_the_password_and_exits_with_1(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    flags = ["-n", namespace, "--attach", "default"]
    missing = create("--check", *flags)
    assert missing.exit_code == 1
    assert f"{namespace}\tsecret/registry.foo.com\tcreated\tmissing\n" in missing.stdout
    assert "does not use registry.foo.com" in missing.stdout
    assert create(*flags).exit_code == 0
    same = create("--check", *flags)
    assert (same.exit_code, same.stdout) == (0, "")
    changed = create("--check", *flags, "--username", "bob")
    assert changed.exit_code == 1
    assert "user is alice, not bob" in changed.stdout
    piped = create("--check", *flags, "--password-stdin", stdin="hunter2")
    assert "registry.foo.com: password differs" in piped.stdout
    assert "hunter2" not in piped.output
    record = json.loads(create("--check", *flags, "--username", "bob", "-o", "json").stdout)
    assert record["differences"][0]["differences"] == ["registry.foo.com: user is alice, not bob"]


def test_check_exits_with_3_if_a_namespace_cannot_be_read(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create("-n", namespace).exit_code == 0
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    kubernetes.grant("carol", namespace, [rule])
    as_user(kubernetes, "carol", monkeypatch)
    result = create("--check", "-n", f"{namespace},default")
    assert result.exit_code == 3
    assert "1 of 2 could not be compared" in result.stderr


# --attach


def test_attach_adds_the_secret_to_named_accounts_or_to_all(
    kubernetes: ApiServer, namespace: str
) -> None:
    for name in ("default", "build", "used"):
        kubernetes.create_service_account(namespace, name)
    line = f"{namespace}/serviceaccount"
    named = create("-n", namespace, "--attach", "default,account/used")
    assert named.stdout.splitlines()[1:] == [
        f"{line}/default configured (for new Pods)",
        f"{line}/used configured (for new Pods)",
    ]
    every = create("-n", namespace, "--attach", "all")
    assert every.stdout.splitlines()[1:] == [
        f"{line}/build configured (for new Pods)",
        f"{line}/default unchanged",
        f"{line}/used unchanged",
    ]


def test_an_unusable_word_for_attach_is_a_usage_error(kubernetes: ApiServer) -> None:
    mark = kubernetes.audit_mark()
    for word in ("used", "policy"):
        refused(create("-n", "a", "--attach", word), 2, "does not support", f"account/{word}")
    refused(create("-n", "a", "--attach", "Bad_Name"), 2, "not a name for a service account")
    refused(create("-n", "a", "--attach", "default,"), 2, "not a name for a service account")
    assert kubernetes.audit(mark) == []


# --replace


def test_a_replaced_immutable_secret_is_immutable_again(
    kubernetes: ApiServer, namespace: str
) -> None:
    assert create("-n", namespace).exit_code == 0
    path = f"/api/v1/namespaces/{namespace}/secrets/registry.foo.com"
    locked = {**kubernetes.secret(namespace, "registry.foo.com"), "immutable": True}
    assert kubernetes.request("PUT", path, locked)[0] == 200
    refused(create("-n", namespace, "--username", "bob"), 1, "it is immutable", "--replace")
    replaced = create("-n", namespace, "--username", "bob", "--replace")
    assert replaced.stdout.endswith("configured (recreated)\n")
    after = kubernetes.secret(namespace, "registry.foo.com")
    assert after["immutable"] is True
    assert decoded(after)["auths"]["registry.foo.com"]["username"] == "bob"
    assert create("-n", namespace, "--username", "bob").stdout.endswith("unchanged\n")
    refused(create("-n", namespace), 1, "it is immutable")


def test_a_secret_whose_replacement_is_rejected_is_restored(
    kubernetes: ApiServer, namespace: str, serve: Servers, tmp_path: Path
) -> None:
    assert create("-n", namespace).exit_code == 0
    path = f"/api/v1/namespaces/{namespace}/secrets/registry.foo.com"
    annotations = {"note": "kept"}
    before = {**kubernetes.secret(namespace, "registry.foo.com"), "immutable": True}
    before["metadata"]["annotations"] = annotations
    assert kubernetes.request("PUT", path, before)[0] == 200
    hook = serve(webhook(tmp_path / "webhook"))

    def decide(secret: dict[str, Any]) -> dict[str, Any]:
        accepted = secret.get("data") == before["data"]
        return {"allowed": accepted, "status": {"message": "no new users", "code": 403}}

    hook.decide = decide
    ask_webhook(kubernetes, namespace, hook.url, hook.ca_file)
    until_denied(kubernetes, namespace)
    result = create("-n", namespace, "--username", "bob", "--replace")
    refused(result, 4, "no new users; the old one was restored")
    after = kubernetes.secret(namespace, "registry.foo.com")
    for key in ("data", "type", "immutable"):
        assert after[key] == before[key]
    for key in ("labels", "annotations"):
        assert after["metadata"][key] == before["metadata"][key]
    # If the old one is rejected, too, that is said.
    hook.decide = lambda _secret: {"allowed": False, "status": {"message": "closed"}}
    lost = create("-n", namespace, "--username", "bob", "--replace")
    refused(lost, 1, "closed; it was deleted and is not restored: ", "closed")


@pytest.mark.parametrize("reason", ["immutable", "type"])
def test_a_replacement_that_was_killed_half_way_is_finished_by_the_same_command(
    kubernetes: ApiServer, namespace: str, reason: str
) -> None:
    """What a Secret is to contain is in the command, not in the Secret that was deleted."""
    kubernetes.create_service_account(namespace)
    secret: dict[str, Any] = {"metadata": {"name": "pull"}, "data": {KEY: "e30="}}
    if reason == "immutable":
        secret |= {"type": "kubernetes.io/dockerconfigjson", "immutable": True}
    kubernetes.create_secret(namespace, secret)
    command = ["secret", "create", "pull", "--server", "registry.foo.com", "-n", namespace]
    command += ["--username", "alice", "--password-stdin", "--no-verify"]
    command += ["--replace", "--adopt", "--attach", "default"]
    killed = subprocess.run(
        [sys.executable, str(FAULTS / "killed_replacement.py"), *command],
        input="secret",
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    path = f"/api/v1/namespaces/{namespace}/secrets/pull"
    assert kubernetes.request("GET", path)[0] == 404
    again = run(*command, stdin="secret")
    assert again.exit_code == 0, again.stderr
    assert f"{namespace}/secret/pull created\n" in again.stdout
    entry = decoded(kubernetes.secret(namespace, "pull"))["auths"]["registry.foo.com"]
    assert entry["password"] == "secret"
    account = kubernetes.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    assert account["imagePullSecrets"] == [{"name": "pull"}]
    assert "unchanged" in run(*command, stdin="secret").stdout
