"""`secret create` on the real API server: words, streams, exit codes, and what bad input gets."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from regctl.authfile import hashes
from regctl.cli.main import main
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer

PASSWORD = "p'\"<>&\\é:🔑 $x"
KEY = ".dockerconfigjson"


@pytest.fixture(autouse=True)
def person(kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator with a registry and a password."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.setenv("REGCTL_REGISTRY", "registry.foo.com")
    monkeypatch.setenv("REGCTL_USERNAME", "alice")
    monkeypatch.setenv("REGCTL_PASSWORD", PASSWORD)


def run(*args: str, stdin: str = "") -> Result:
    result = CliRunner().invoke(main, args, input=stdin, prog_name="regctl")
    assert "Traceback" not in result.stderr
    if "-o" not in args:
        assert PASSWORD not in result.output
    return result


def create(*args: str, stdin: str = "") -> Result:
    return run("secret", "create", *args, stdin=stdin)


def refused(result: Result, code: int, *said: str) -> None:
    """One error of one line, and nothing on stdout."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for words in said:
        assert words in result.stderr


def decoded(secret: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(secret["data"][KEY]))


def as_user(kubernetes: ApiServer, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for(user)))


# secret create


def test_a_secret_is_created_unchanged_and_configured(namespace: str) -> None:
    line = f"{namespace}/secret/registry.foo.com"
    assert create("-n", namespace).stdout == f"{line} created\n"
    assert create("-n", namespace).stdout == f"{line} unchanged\n"
    changed = create("-n", namespace, "--username", "bob")
    assert changed.stdout == f"{line} configured\n"
    assert changed.exit_code == 0


@pytest.mark.parametrize("email", [None, "alice@foo.com"])
@pytest.mark.parametrize("server", ["registry.foo.com", "r.io:5000", "https://index.docker.io/v1/"])
def test_what_is_made_decodes_to_what_kubectl_makes(
    kubernetes: ApiServer,
    namespace: str,
    program: Callable[[str], str],
    server: str,
    email: str | None,
) -> None:
    """The same flags to both, unusual characters and all."""
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


def test_a_namespace_that_fails_stops_no_other(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, ending and forbidden: a line each, the others done, exit code 3."""
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


def test_without_a_namespace_the_contexts_is_meant(
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
def test_a_dry_run_says_the_same_and_changes_nothing(
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


def test_kubectl_apply_of_the_manifests_says_unchanged_the_second_time(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str]
) -> None:
    manifests = create("-n", namespace, "--dry-run=client", "-o", "yaml").stdout
    command = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig), "apply", "-f", "-"]
    said = [
        subprocess.run(command, input=manifests, text=True, check=True, capture_output=True).stdout
        for _ in range(2)
    ]
    assert [words.split()[-1] for words in said] == ["created", "unchanged"]
    assert create("-n", namespace).stdout.endswith("unchanged\n")


def test_append_hash_names_it_as_kubectl_does(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    flags = ["--docker-server=r.io", "--docker-username=alice", "--docker-password=secret"]
    kubectl = [program("kubectl"), "create", "secret", "docker-registry", "x", *flags]
    kubectl += ["--append-hash", "--dry-run=client", "-o", "name"]
    environ = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    made = subprocess.run(kubectl, check=True, capture_output=True, text=True, env=environ).stdout
    ours = create("x", *flags, "--append-hash", "--dry-run=client", "-o", "json", "-n", "a").stdout
    assert f"secret/{json.loads(ours)['metadata']['name']}" == made.strip()


def test_results_are_one_json_document_also_in_part(namespace: str) -> None:
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


def test_a_docker_config_without_the_credential_is_refused_and_not_copied_empty(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGCTL_USERNAME")
    monkeypatch.delenv("REGCTL_PASSWORD")
    (tmp_path / "config.json").write_text('{"auths": {"registry.foo.com": {}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    refused(create("-n", namespace), 1, "no credential for registry.foo.com", "--password-stdin")


@pytest.mark.parametrize(
    ("flags", "stdin", "said"),
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
        (["--namespaces-from", "/nonexistent"], "", "No such file"),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2(
    kubernetes: ApiServer, flags: list[str], stdin: str, said: str
) -> None:
    mark = kubernetes.audit_mark()
    where = [] if "-n" in flags else ["-n", "default"]
    refused(create(*flags, *where, stdin=stdin), 2, said)
    assert kubernetes.audit(mark) == []


def test_no_kubeconfig_and_no_answer_are_one_line(
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


def start(*args: str, **environ: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "regctl", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


def test_the_password_is_no_argument_of_any_process_and_in_no_output(
    kubernetes: ApiServer, namespace: str
) -> None:
    with start("secret", "create", "-n", namespace, "-v") as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert PASSWORD not in out + err
    assert decoded(kubernetes.secret(namespace, "registry.foo.com"))


# Targets


def test_namespaces_come_from_commas_repeats_files_and_standard_input(
    namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text(f"# ours\nnamespace/{namespace}\n\n")
    flags = ["--dry-run=client", "-o", "json", "-n", "a,b", "-n", "c"]
    listed = json.loads(create(*flags, "--namespaces-from", str(tmp_path / "list")).stdout)
    found = [item["metadata"]["namespace"] for item in listed["items"]]
    assert found == ["a", "b", "c", namespace]
    piped = create("--namespaces-from", "-", stdin=f"{namespace}\n")
    assert piped.stdout == f"{namespace}/secret/registry.foo.com created\n"


def test_a_selector_finds_namespaces_and_globs_leave_some_out(
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


def test_many_namespaces_are_shown_to_a_person_before_they_are_changed(
    kubernetes: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regctl.cli.app.App.interactive", True)
    spaces = ",".join(f"many-{number}" for number in range(21))
    mark = kubernetes.audit_mark()
    result = create("-n", spaces, stdin="n\n")
    assert result.exit_code == 1
    assert "21 namespaces: many-0 many-1 many-10" in result.stderr
    assert "nothing was changed" in result.stderr
    assert "patch" not in {event.verb for event in kubernetes.audit(mark)}


# From another Secret, and several registries in one


def test_a_secret_is_copied_from_another_namespace(kubernetes: ApiServer, namespace: str) -> None:
    there = kubernetes.create_namespace(f"{namespace}-there")
    assert create("pull", "--server", "a.io", "-n", namespace).exit_code == 0
    assert create("pull", "--server", "b.io", "--merge", "-n", namespace).exit_code == 0
    source = f"{namespace}/pull"
    copied = create("--from-secret", source, "--server", "b.io", "-n", there)
    assert copied.stdout == f"{there}/secret/pull created\n"
    assert set(decoded(kubernetes.secret(there, "pull"))["auths"]) == {"b.io"}
    assert create("all", "--from-secret", source, "-n", there).exit_code == 0
    assert set(decoded(kubernetes.secret(there, "all"))["auths"]) == {"a.io", "b.io"}
    for flags, code, said in (
        (["--from-secret", source, "--server", "c.io"], 2, "no credential for c.io"),
        (["--from-secret", f"{namespace}/none"], 1, "does not exist"),
        (["--from-secret", "pull"], 2, "NAMESPACE/NAME"),
        (["--from-secret", source, "--username", "x"], 2, "at once"),
    ):
        refused(create(*flags, "-n", there), code, said)


def test_merging_adds_one_registry_and_keeps_the_others(
    kubernetes: ApiServer, namespace: str
) -> None:
    assert create("pull", "--server", "a.io", "-n", namespace).exit_code == 0
    merged = create("pull", "--server", "b.io", "--merge", "-n", namespace)
    assert merged.stdout == f"{namespace}/secret/pull configured\n"
    assert set(decoded(kubernetes.secret(namespace, "pull"))["auths"]) == {"a.io", "b.io"}
    again = create("pull", "--server", "b.io", "--merge", "-n", namespace)
    assert again.stdout == f"{namespace}/secret/pull unchanged\n"


# secret diff


def test_diff_says_what_differs_never_the_password_and_exits_with_1(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    flags = ["-n", namespace, "--service-account", "default"]
    missing = run("secret", "diff", *flags)
    assert missing.exit_code == 1
    assert f"{namespace}\tsecret/registry.foo.com\tcreated\tmissing\n" in missing.stdout
    assert "does not use registry.foo.com" in missing.stdout
    assert create(*flags).exit_code == 0
    same = run("secret", "diff", *flags)
    assert (same.exit_code, same.stdout) == (0, "")
    changed = run("secret", "diff", *flags, "--username", "bob")
    assert changed.exit_code == 1
    assert "user is alice, not bob" in changed.stdout
    piped = run("secret", "diff", *flags, "--password-stdin", stdin="hunter2")
    assert "registry.foo.com: password differs" in piped.stdout
    assert "hunter2" not in piped.output
    record = json.loads(run("secret", "diff", *flags, "--username", "bob", "-o", "json").stdout)
    assert record["differences"][0]["differences"] == ["registry.foo.com: user is alice, not bob"]


# secret list


def test_list_shows_registries_users_accounts_and_state(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    assert create("-n", namespace, "--service-account", "default").exit_code == 0
    broken = {"metadata": {"name": "broken"}, "type": "kubernetes.io/dockerconfigjson"}
    data = {KEY: base64.b64encode(b'{"auths": 5}').decode()}
    kubernetes.create_secret(namespace, {**broken, "data": data})
    lines = run("secret", "list", "-n", namespace).stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    assert [[*line[:4], *line[5:]] for line in fields] == [
        [namespace, "broken", "", "", "", "broken"],
        [namespace, "registry.foo.com", "registry.foo.com", "alice", "default", "regctl"],
    ]
    only = run("secret", "list", "-n", namespace, "--server", "https://registry.foo.com/v1/")
    assert [line.split("\t")[1] for line in only.stdout.splitlines()] == ["registry.foo.com"]
    record = json.loads(run("secret", "list", "-n", namespace, "-o", "json").stdout)["secrets"][0]
    assert "auths" in record["problem"]
    assert PASSWORD not in run("secret", "list", "-n", namespace, "-o", "yaml").stdout


# secret check


def test_check_names_what_the_kubelet_would_stumble_over(
    kubernetes: ApiServer, namespace: str
) -> None:
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
    told = {(subject, key): why for subject, key, why in found if "also lists" not in why}
    assert "every Pod that lists it fails to pull" in told["secret/broken", ""]
    assert "reads the end of the key as a path" in told["secret/trap", "https://a.io/v2"]
    assert told["secret/trap", "b.io"] == "has no user or no password"
    assert told["secret/empty", ""] == "has no registry"
    assert "valid" in told["secret/registry.foo.com", "registry.foo.com"]
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


# secret delete


def test_delete_detaches_first_asks_and_says_when_there_is_nothing(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace, pull_secrets=["theirs"])
    assert create("-n", namespace, "--service-account", "default").exit_code == 0
    command = ["secret", "delete", "registry.foo.com", "-n", namespace]
    asked = run(*command)
    refused(asked, 1, "not confirmed", "--yes", f"{namespace}/registry.foo.com, used by default")
    for flag, words in (("--dry-run", "dry run"), ("--dry-run=server", "server dry run")):
        dry = run(*command, flag)
        assert f"{namespace}/secret/registry.foo.com deleted ({words})" in dry.stdout
    assert kubernetes.secret(namespace, "registry.foo.com")
    done = run(*command, "--yes")
    assert done.stdout == (
        f"{namespace}/secret/registry.foo.com deleted\n"
        f"{namespace}/serviceaccount/default configured (no longer uses registry.foo.com)\n"
    )
    account = kubernetes.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    assert account["imagePullSecrets"] == [{"name": "theirs"}]
    again = run(*command, "--yes")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "there is no secret registry.foo.com to delete" in again.stderr


def test_delete_leaves_other_peoples_secrets(kubernetes: ApiServer, namespace: str) -> None:
    kind = {"metadata": {"name": "hand"}, "type": "kubernetes.io/dockerconfigjson"}
    kubernetes.create_secret(namespace, {**kind, "data": {KEY: "e30="}})
    command = ["secret", "delete", "hand", "-n", namespace, "--yes"]
    refused(run(*command), 1, "managed by Python-urllib, not by regctl", "--adopt")
    assert run(*command, "--adopt").stdout == f"{namespace}/secret/hand deleted\n"


def test_a_secret_stays_where_an_account_cannot_let_go_of_it(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubernetes.create_service_account(namespace)
    assert create("-n", namespace, "--service-account", "default").exit_code == 0
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "delete"]}
    accounts = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "get"]}
    kubernetes.grant("bob", namespace, [secrets, accounts])
    as_user(kubernetes, "bob", monkeypatch)
    result = run("secret", "delete", "registry.foo.com", "-n", namespace, "--yes")
    assert result.exit_code != 0
    assert "forbidden" in result.stderr
    assert "was not deleted: service account default still uses it" in result.stderr
    assert kubernetes.secret(namespace, "registry.foo.com")


# secret sync


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


def test_sync_brings_about_what_the_file_says_and_prunes_the_rest(
    kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    there = kubernetes.create_namespace(f"{namespace}-there")
    for one in (namespace, there):
        kubernetes.create_service_account(one)
    path = sync_file(tmp_path, [namespace, there])
    drift = run("secret", "sync", path, "--check")
    assert drift.exit_code == 1
    assert drift.stdout.count("missing") == 2
    done = run("secret", "sync", path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count("created") == 2
    auths = decoded(kubernetes.secret(namespace, "pull"))["auths"]
    assert auths["b.io"]["password"] == "from a file"
    assert auths["registry.foo.com"]["password"] == PASSWORD
    assert run("secret", "sync", path, "--check").exit_code == 0
    assert run("secret", "sync", path).stdout.count("unchanged") == 4
    # Made otherwise, with our label too: not this file's to prune.
    assert create("-n", there).exit_code == 0
    path = sync_file(tmp_path, [namespace])
    assert run("secret", "sync", path).stdout.count("unchanged") == 2
    refused(run("secret", "sync", path, "--prune"), 1, "not confirmed", f"{there}/pull")
    assert run("secret", "sync", path, "--prune", "--check").exit_code == 1
    pruned = run("secret", "sync", path, "--prune", "--yes")
    assert f"{there}/secret/pull deleted" in pruned.stdout
    assert kubernetes.secret(there, "registry.foo.com")
    account = kubernetes.get(f"/api/v1/namespaces/{there}/serviceaccounts/default")
    assert not account.get("imagePullSecrets")


def test_sync_with_a_credential_that_is_missing_does_the_rest_and_prunes_nothing(
    namespace: str, tmp_path: Path
) -> None:
    path = sync_file(tmp_path, [namespace])
    (tmp_path / "word").unlink()
    refused(run("secret", "sync", path, "--prune", "--yes"), 1, "word", "No such file")


def test_a_sync_file_with_a_fault_is_refused_with_its_line(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    path = tmp_path / "sync.yaml"
    path.write_text("name: x\nsecrets:\n  - registry: a.io\n")
    mark = kubernetes.audit_mark()
    refused(run("secret", "sync", str(path)), 1, "line 3", "registry: is not a known key")
    assert kubernetes.audit(mark) == []


def test_sync_takes_credentials_from_docker_and_from_other_secrets(
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
    assert run("secret", "sync", str(path)).stdout == f"{namespace}/secret/a.io created\n"
    auths = decoded(kubernetes.secret(namespace, "a.io"))["auths"]
    assert (auths["a.io"]["password"], auths["a.io"]["email"]) == (PASSWORD, "a@b.c")
    assert auths["b.io"]["password"] == "from-docker"
    (tmp_path / "config.json").unlink()
    refused(run("secret", "sync", str(path)), 1, "no credential for b.io")
