"""`regctl rbac`: the Role that it prints is enough, and no more than that."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from regctl.authfile import hashes
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import ApiServer


def grant(kubernetes: ApiServer, *args: str) -> None:
    """Create what `regctl rbac` prints."""
    result = run("rbac", *args)
    assert result.exit_code == 0, result.stderr
    granted: list[tuple[str | None, list[dict[str, Any]]]] = []
    for manifest in yaml.safe_load_all(result.stdout):
        space = manifest["metadata"].get("namespace")
        where = f"/namespaces/{space}" if space else ""
        plural = manifest["kind"].lower() + "s"
        path = f"/apis/rbac.authorization.k8s.io/v1{where}/{plural}"
        status, answer = kubernetes.request("POST", path, manifest)
        assert status == 201, answer
        if "rules" in manifest:
            granted.append((space, manifest["rules"]))
    for space, rules in granted:
        kubernetes.until_allowed("carol", space, rules)


TO_CAROL = ["--to", "user:carol"]


@pytest.fixture(autouse=True)
def carol(kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without rights, in a namespace with a service account."""
    kubernetes.create_service_account(namespace)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("carol")))
    monkeypatch.setenv("REGCTL_REGISTRY", "r.io")
    monkeypatch.setenv("REGCTL_USERNAME", "alice")
    monkeypatch.setenv("REGCTL_PASSWORD", "secret")


def create(*args: str | Path) -> Result:
    """Run `regctl secret create ARGS`, for a registry that does not exist."""
    return run("secret", "create", *args, "--no-verify")


def test_the_role_for_create_allows_create_with_that_name_only(
    kubernetes: ApiServer, namespace: str
) -> None:
    flags = ["-n", namespace, "--attach", "default"]
    assert create(*flags).exit_code == 4
    grant(kubernetes, "secret", "create", "--name", "r.io", *flags, *TO_CAROL)
    assert create(*flags).exit_code == 0
    assert create("--check", *flags).exit_code == 0
    assert create(*flags, "--username", "bob").exit_code == 0
    assert create("another", *flags).exit_code == 4
    assert run("secret", "delete", "r.io", "-n", namespace, "--yes").exit_code != 0


def test_the_roles_for_delete_and_list_are_enough(kubernetes: ApiServer, namespace: str) -> None:
    flags = ["-n", namespace]
    grant(kubernetes, "secret", "create", "--name", "r.io", *flags, *TO_CAROL)
    assert create(*flags).exit_code == 0
    assert run("secret", "list", *flags).exit_code == 4
    grant(kubernetes, "secret", "list", *flags, *TO_CAROL)
    assert run("secret", "list", *flags).stdout.startswith(f"{namespace}\tr.io\t")
    grant(kubernetes, "secret", "delete", "--name", "r.io", *flags, *TO_CAROL)
    assert run("secret", "delete", "r.io", *flags, "--yes").exit_code == 0


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        ("account:a/b", {"kind": "ServiceAccount", "name": "b", "namespace": "a"}),
        ("user:ci", {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ci"}),
        (
            "group:system:masters",
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:masters"},
        ),
    ],
)
def test_it_binds_users_groups_and_accounts(to: str, subject: dict[str, str]) -> None:
    [role, binding] = yaml.safe_load_all(run_ok("rbac", "secret", "sync", "--to", to).stdout)
    assert role["kind"] == "ClusterRole"
    assert binding["subjects"] == [subject]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["secret", "list", "--to", "bob"], "'bob' is not user:NAME"),
        (["secret", "list", "--to", "account:b"], "'b' is not NAMESPACE/NAME"),
        (["secret", "list", "--to", "user:"], "'user:' is not user:NAME"),
        (["secret", "list", "-n", "Bad_Name"], "Bad_Name"),
        (["secret", "craete"], "no command 'secret craete' needs rights in the cluster"),
        (["--name", "some-secret"], "--name needs a command"),
        (["secret", "create", "--attach", "policy"], "cannot attach to 'policy'"),
    ],
)
def test_an_impossible_command_line_is_a_usage_error(args: list[str], message: str) -> None:
    result = run("rbac", *args)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_role_for_rotate_in_some_namespaces_says_that_the_old_user_stays() -> None:
    words = "it keeps the old user and exits with 3"
    assert words in run_ok("rbac", "rotate", "-n", "team-a").stderr
    assert words not in run_ok("rbac", "rotate").stderr
    assert words not in run_ok("rbac", "secret", "sync", "-n", "team-a").stderr


def test_without_a_command_the_role_is_for_all_commands() -> None:
    (whole,) = yaml.safe_load_all(run_ok("rbac", "-n", "team-a").stdout)
    verbs = {rule["resources"][0]: set(rule["verbs"]) for rule in whole["rules"]}
    assert whole["metadata"]["name"] == "regctl"
    assert verbs == {
        "secrets": {"get", "list", "create", "patch", "delete"},
        "serviceaccounts": {"get", "list", "patch"},
        "pods": {"get", "list"},
        **{kind: {"list"} for kind in ("statefulsets", "daemonsets", "jobs", "cronjobs")},
        "networkpolicies": {"list"},
        "deployments": {"get", "list", "create", "patch", "delete"},
        "persistentvolumeclaims": {"get", "list", "create", "patch", "delete"},
        **{
            resource: {"get", "create", "patch", "delete"}
            for resource in ("services", "httproutes")
        },
        **{
            resource: {"get", "list", "create", "patch", "delete"}
            for resource in ("ingresses", "networkpolicies", "middlewares")
        },
    }


PULL = "regcred"
ACCOUNT = ["--attach", "default"]

# The command lines of each command: with all rights each succeeds, without one some fail.
NEEDS: dict[str, list[list[str]]] = {
    "auth push": [["auth", "push", "--auth-secret", "NAMESPACE/users", "--yes"]],
    "auth pull": [["auth", "pull", "--auth-secret", "NAMESPACE/users", "--yes"]],
    "auth push --check": [["auth", "push", "--auth-secret", "NAMESPACE/users", "--check"]],
    "rotate": [["rotate", "alice", "--plain-http", "--grace", "0", "--wait=0"]],
    "secret create": [["secret", "create", PULL, *ACCOUNT, "--username", "alice"]],
    "secret create --check": [
        ["secret", "create", "--check", PULL, *ACCOUNT, "--username", "alice"]
    ],
    "secret list": [["secret", "list"]],
    "secret check": [["secret", "check", "--plain-http"]],
    "secret delete": [["secret", "delete", PULL, "--yes"]],
    "doctor": [
        ["doctor", "--plain-http", "--auth-secret", "NAMESPACE/users"],
        ["doctor", "pod/web", "--plain-http", "--platform", "linux/amd64"],
        ["doctor", "HOST/team/app:1.0", "--plain-http", "--platform", "linux/amd64"],
    ],
}
NAMES = {
    **dict.fromkeys(("auth push", "auth pull", "auth push --check"), "users"),
    **dict.fromkeys(("secret create", "secret create --check", "secret delete"), PULL),
}
UNSEEN = ("forbidden", "could not be listed", "cannot list service accounts", "\t?\t")


@pytest.fixture
def at_work(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """
    Create a registry, its users in a file and in the Secret `users`, and a pod that pulls.

    Returns the registry's host.
    """
    auth = tmp_path / "auth"
    auth.write_text(f"alice:{hashes.make('secret', cost=4)}\n")
    monkeypatch.setenv("REGCTL_AUTH_FILE", str(auth))
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    registry.push_image("team/app", "1.0", user=("alice", "secret"))
    monkeypatch.setenv("REGCTL_REGISTRY", registry.host)
    admin = ["--kubeconfig", str(kubernetes.kubeconfig)]
    push = ["auth", "push", "--auth-secret", f"{namespace}/users", "--yes"]
    assert run(*push, *admin).exit_code == 0
    create = ["secret", "create", PULL, "--username", "alice", *ACCOUNT, "-n", namespace, *admin]
    assert run(*create).exit_code == 0
    spec = {"containers": [{"name": "a", "image": f"{registry.host}/team/app:1.0"}]}
    labels = {"app": "web"}
    pod = {
        "metadata": {"name": "web", "labels": labels},
        "spec": {**spec, "imagePullSecrets": [{"name": PULL}]},
    }
    status, answer = kubernetes.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert status == 201, answer
    create_ingress(kubernetes, namespace)
    return registry.host


def create_ingress(kubernetes: ApiServer, namespace: str) -> None:
    """Create an Ingress that checks passwords, and a Service behind it with the pod."""
    annotations = {
        "nginx.ingress.kubernetes.io/auth-secret": "users",
        "traefik.ingress.kubernetes.io/router.middlewares": "other@file",
    }
    backend = {"service": {"name": "registry", "port": {"number": 5000}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    ingress = {
        "metadata": {"name": "registry", "annotations": annotations},
        "spec": {"rules": [{"host": "r.io", "http": {"paths": paths}}]},
    }
    service = {
        "metadata": {"name": "registry"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 5000}]},
    }
    for path, body in (
        (f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses", ingress),
        (f"/api/v1/namespaces/{namespace}/services", service),
    ):
        assert kubernetes.request("POST", path, body)[0] == 201


@pytest.mark.parametrize("need", NEEDS)
def test_each_right_is_needed_and_all_are_enough(
    kubernetes: ApiServer,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    at_work: str,
    need: str,
) -> None:
    """Without one of its rights the command is not permitted something; with all of them it is."""
    named = NAMES.get(need)
    rules = _single_rules(need, named, namespace)
    lines = [
        [word.replace("HOST", at_work).replace("NAMESPACE", namespace) for word in line]
        for line in NEEDS[need]
    ]

    def run_as(user: str, granted: list[dict[str, Any]]) -> list[Result]:
        if need == "secret delete":
            admin = ["--kubeconfig", str(kubernetes.kubeconfig), "-n", namespace]
            assert run("secret", "create", PULL, *ACCOUNT, *admin).exit_code == 0
        kubernetes.grant(user, namespace, granted)
        monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for(user)))
        return [run(*line, *([] if line[0] == "auth" else ["-n", namespace])) for line in lines]

    if need in {"auth push", "secret create"}:
        # What is created, attached and patched: the right to each is needed.
        kubernetes.request("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{named}")
        kubernetes.request("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        kubernetes.create_service_account(namespace)
    for missing, rule in enumerate(rules):
        if (need, rule["resources"], rule["verbs"]) == (
            "secret delete",
            ["serviceaccounts"],
            ["get"],
        ):
            continue  # an account is read again only after a conflict
        left = [other for number, other in enumerate(rules) if number != missing]
        results = run_as(f"clerk-{missing}", left)
        output = "".join(one.stdout + one.stderr for one in results)
        if any(one.exit_code != 0 for one in results):
            assert "forbidden" in output or "you may not" in output
        else:
            # It does what it may, and reports what it could not see.
            assert any(words in output for words in UNSEEN), (rule, output)
    # Who may not list the Secrets of all namespaces keeps the old user, and is told so.
    code = 3 if need == "rotate" else 0
    for result in run_as(f"clerk-{len(rules)}", rules):
        assert result.exit_code == code, (result.stdout, result.stderr)


def _single_rules(need: str, name: str | None, namespace: str) -> list[dict[str, Any]]:
    """The rules of the Role, each with one verb only."""
    line = ["rbac", *need.split(), *(["--name", name] if name else []), "-n", namespace]
    line += ["--attach", "default"] if "secret create" in need else []
    (role,) = yaml.safe_load_all(run_ok(*line).stdout)
    return [{**rule, "verbs": [verb]} for rule in role["rules"] for verb in rule["verbs"]]


def test_a_second_role_takes_nothing_from_the_first(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str]
) -> None:
    """Two Secrets and two users, each by `regctl rbac ... | kubectl apply -f -`."""

    def give(name: str, user: str) -> None:
        printed = run_ok("rbac", "secret", "create", "--name", name, *flags, "--to", f"user:{user}")
        apply = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig), "apply", "-f", "-"]
        subprocess.run(apply, input=printed.stdout, text=True, check=True, capture_output=True)
        role, _ = yaml.safe_load_all(printed.stdout)
        kubernetes.until_allowed(user, namespace, role["rules"])

    flags = ["-n", namespace]
    give("first", "carol")
    give("second", "carol")
    give("first", "bob")
    for user, name in (("carol", "first"), ("carol", "second"), ("bob", "first")):
        config = kubernetes.kubeconfig_for(user)
        assert create(name, *flags, "--kubeconfig", config).exit_code == 0
    config = kubernetes.kubeconfig_for("bob")
    assert create("second", *flags, "--kubeconfig", config).exit_code == 4


def test_a_namespace_is_created_by_a_user_who_may_not_read_namespaces(
    kubernetes: ApiServer, namespace: str
) -> None:
    new = f"{namespace}-new"
    where = ["--host", "r.foo.com", "--tls-secret", "tls"]
    command = ["registry", "apply", "reg", "-n", new, *where, "--create-namespace"]
    denied = run(*command)
    assert denied.exit_code == 4, denied.output
    assert "regctl rbac" in denied.stderr
    rights = ["registry", "apply", "--name", "reg", "-n", new, "--create-namespace"]
    grant(kubernetes, *rights, *TO_CAROL)
    assert run("secret", "list", "-A").exit_code == 4, "carol may not list namespaces"
    assert f"namespace/{new} created" in run_ok(*command).stdout
    assert f"namespace/{new} unchanged" in run_ok(*command).stdout
