"""`secret create` on the real API server: words, streams, exit codes, and what bad input gets."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from regctl.cli import main
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
