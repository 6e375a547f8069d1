"""The checks of a whole setup, each with what it finds."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import DEFAULT_READER, READERS
from regctl.authsecret.push import prepare as prepare_push
from regctl.authsecret.secret import AuthSecret
from regctl.checks import Check
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.namespaces import Targets
from regctl.cluster.resource import Namespace
from regctl.credentials.credential import Credential
from regctl.errors import KubeconfigError, NotAuthenticatedError, NotPermittedError
from regctl.pullsecrets.inventory import Inventory, list_pull_secrets
from regctl.pullsecrets.plan import PullSecret
from regctl.pullsecrets.rollout import prepare as prepare_rollout
from regctl.reference import Registry
from regctl.workflows.doctor import (
    Doctor,
    check_auth_file,
    check_auth_secret,
    check_coverage,
    check_pull_secrets,
    check_rights,
)
from tests.servers.kubernetes import ApiServer

REGISTRY = Registry("r.io")
BCRYPT = hashes.make("secret", cost=4)


@pytest.fixture
def cluster(kubernetes: ApiServer) -> Cluster:
    return Cluster(Kubeconfig({}, kubernetes.kubeconfig))


@pytest.fixture
def roll_out(cluster: Cluster) -> Callable[..., None]:
    """Create a pull secret for r.io in some namespaces."""

    def create(*namespaces: str, password: str = "secret") -> None:
        desired = PullSecret("regcred", {"r.io": Credential("ci", password)})
        rollout = prepare_rollout(cluster, desired, [Namespace(name) for name in namespaces])
        for outcomes in rollout.run():
            assert [outcome.error for outcome in outcomes] == [None]

    return create


def found(cluster: Cluster, *namespaces: str) -> Inventory:
    return list_pull_secrets(cluster, [Namespace(name) for name in namespaces], everywhere=False)


def states(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.state) for check in checks]


# The auth file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "nonsense\n",
            "not NAME:HASH: it is no user; distribution keeps using the file it read before",
        ),
        (f"ci:{BCRYPT}\nci:{BCRYPT}\n", "lines 1, 2: ci has 2 identical lines"),
        (
            "ci:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n",
            "line 1: sha1: ci: distribution rejects the user",
        ),
    ],
)
def test_an_auth_file_that_the_registry_misreads_fails(content: str, message: str) -> None:
    checks = list(check_auth_file(HtpasswdFile(content.encode()), READERS["distribution"]))
    assert checks[0].state == "failure"
    assert "ok" not in {check.state for check in checks}
    assert any(message in check.message for check in checks)
    assert "`regctl " in (checks[0].hint or "")


def test_a_good_auth_file_counts_its_users() -> None:
    good = BCRYPT.replace("$04$", "$10$")
    file = HtpasswdFile(f"ci:{good}\nbob:{good}\n".encode())
    [check] = check_auth_file(file, READERS["distribution"])
    assert (check.state, check.message) == ("ok", "2 users, as distribution reads it")


def test_what_the_reader_reads_is_no_failure() -> None:
    """The guide's apr1 lines work behind ingress-nginx, and not at the registry itself."""
    file = HtpasswdFile(b"ci:$apr1$abcdefgh$0123456789012345678901\n")
    states = {
        name: [check.state for check in check_auth_file(file, READERS[name])]
        for name in ("distribution", "ingress-nginx")
    }
    assert states["distribution"] == ["failure"]
    assert "failure" not in states["ingress-nginx"]


def test_an_expired_user_is_treated_as_locked(cluster: Cluster, namespace: str) -> None:
    rows = f"#regctl:expires ci:2026-01-31\nci:{BCRYPT}\nbob:{BCRYPT}\n"
    file, day = HtpasswdFile(rows.encode()), date(2026, 1, 31)
    desired = AuthSecret.of(file.as_of(day), DEFAULT_READER)
    [_outcome] = prepare_push(cluster, desired, [(namespace, "users")]).run()
    secret = (namespace, "users")
    checks = list(doctor(lambda: cluster, file=file, auth_secret=secret, today=day).checks())
    assert ("auth secret", "ok") in states(checks)
    assert any("expired and not locked: ci" in check.message for check in checks)


# The auth Secret


def test_an_auth_secret_is_compared_with_the_file(cluster: Cluster, namespace: str) -> None:
    file = HtpasswdFile(f"ci:{BCRYPT}\n".encode())
    missing = check_auth_secret(cluster, namespace, "users", file)
    assert missing.state == "failure"
    assert "does not exist" in missing.message
    [outcome] = prepare_push(
        cluster, AuthSecret.of(file, DEFAULT_READER), [(namespace, "users")]
    ).run()
    assert outcome.error is None
    subject = f"{namespace}/secret/users"
    same = check_auth_secret(cluster, namespace, "users", file)
    assert (same.state, same.message) == ("ok", f"{subject} has the users of the auth file")
    alone = check_auth_secret(cluster, namespace, "users", None)
    assert (alone.state, alone.message) == ("ok", f"{subject} has 1 user")
    more = HtpasswdFile(f"ci:{BCRYPT}\nbob:{BCRYPT}\n".encode())
    different = check_auth_secret(cluster, namespace, "users", more)
    assert (different.state, different.message) == (
        "failure",
        f"{subject} differs from the auth file: bob (added)",
    )
    assert different.hint == f"`regctl auth push --auth-secret {namespace}/users` updates it"


# Pull secrets


def accept(_registry: Registry, _credential: Credential) -> None:
    return None


def reject(_registry: Registry, _credential: Credential) -> NotAuthenticatedError:
    return NotAuthenticatedError("the registry rejects the password")


def test_each_credential_that_is_rejected_fails(
    cluster: Cluster, namespace: str, roll_out: Callable[..., None]
) -> None:
    roll_out(namespace)
    inventory = found(cluster, namespace)
    assert states(list(check_pull_secrets(inventory, accept, REGISTRY))) == [("pull secrets", "ok")]
    [failed] = check_pull_secrets(inventory, reject, REGISTRY)
    assert failed.state == "failure"
    assert failed.message.startswith(f"{namespace}/secret/regcred: ")


def test_different_passwords_of_a_user_are_a_warning(
    kubernetes: ApiServer, cluster: Cluster, namespace: str, roll_out: Callable[..., None]
) -> None:
    others = [kubernetes.create_namespace(f"{namespace}-{number}") for number in (1, 2)]
    roll_out(namespace, others[0])
    roll_out(others[1], password="another")
    inventory = found(cluster, namespace, *others)
    checks = list(check_pull_secrets(inventory, accept, REGISTRY))
    assert states(checks) == [("pull secrets", "ok"), ("pull secrets", "warning")]
    assert checks[1].message == (
        f"ci at r.io has 2 different passwords; the rarest is in {others[1]}"
    )
    assert checks[1].hint == (
        f"`regctl secret create regcred --server r.io --username ci -n {others[1]} --merge` "
        "sets the same one"
    )
    elsewhere = check_pull_secrets(inventory, accept, Registry("other.io"))
    assert states(list(elsewhere)) == [("pull secrets", "ok")], "only r.io has different ones"


@pytest.mark.parametrize(
    ("metadata", "flags"),
    [
        ({}, " --adopt"),
        ({"labels": {"app.kubernetes.io/managed-by": "regctl"}}, ""),
        ({"annotations": {"meta.helm.sh/release-name": "x"}}, None),
    ],
)
def test_the_hint_for_a_secret_has_the_flags_that_its_owner_requires(
    kubernetes: ApiServer,
    cluster: Cluster,
    namespace: str,
    metadata: dict[str, Any],
    flags: str | None,
) -> None:
    """That of a controller is left to it."""
    users = {"metadata": {"name": "users", **metadata}, "type": "Opaque", "data": {"auth": "YTpi"}}
    kubernetes.create_secret(namespace, users)
    check = check_auth_secret(cluster, namespace, "users", HtpasswdFile(f"ci:{BCRYPT}\n".encode()))
    command = f"`regctl auth push --auth-secret {namespace}/users{flags}` updates it"
    at_its_source = f"change secret users in namespace {namespace} at its source: "
    assert (check.hint or "").startswith(at_its_source if flags is None else command)


def test_what_could_not_be_read_fails() -> None:
    unread = Inventory(errors={"team-b": NotPermittedError("forbidden")}, accounts=None)
    checks = list(check_pull_secrets(unread, accept, REGISTRY))
    assert states(checks) == [
        ("pull secrets", "failure"),
        ("accounts", "failure"),
        ("pull secrets", "ok"),
    ]
    assert checks[0].message == "cannot check namespace team-b: forbidden"
    assert checks[1].hint == "`regctl rbac doctor` prints the Role to ask for"


def test_namespaces_without_a_pull_secret_are_named(
    cluster: Cluster, namespace: str, roll_out: Callable[..., None]
) -> None:
    roll_out(namespace)
    inventory = found(cluster, namespace)
    spaces = [Namespace(namespace), Namespace("zz")]
    complete = check_coverage(inventory, spaces[:1], REGISTRY)
    assert complete.state == "ok"
    assert complete.message == "1 namespace, each with a pull secret for r.io"
    partial = check_coverage(inventory, spaces, REGISTRY)
    assert (partial.state, partial.message) == ("warning", "no pull secret for r.io in zz")
    assert partial.hint == "`regctl secret create --server r.io -n zz --attach default` creates one"


# Rights


@pytest.mark.parametrize(
    ("verbs", "state", "message"),
    [
        ([], "warning", "you may not read Secrets in "),
        (["get"], "warning", "you may not change Secrets in "),
        (["get", "patch"], "ok", "you may read and change pull secrets"),
    ],
)
def test_missing_rights_are_a_warning(
    kubernetes: ApiServer, namespace: str, verbs: list[str], state: str, message: str
) -> None:
    if verbs:
        rule: dict[str, Any] = {"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}
        kubernetes.grant("bob", namespace, [rule])
    bob = Cluster(Kubeconfig({}, kubernetes.kubeconfig_for("bob")))
    [check] = check_rights(bob, [Namespace(namespace)])
    assert check.state == state
    assert check.message.startswith(message)


# All together


def doctor(cluster: Callable[[], Cluster], **changes: Any) -> Doctor:
    def connect(*_arguments: object) -> Any:
        raise NotAuthenticatedError("not connected")

    return Doctor(connect, accept, cluster, **changes)


def test_parts_that_do_not_exist_are_skipped() -> None:
    def no_cluster() -> Cluster:
        raise KubeconfigError("there is no kubeconfig", hint="set $KUBECONFIG")

    checks = list(doctor(no_cluster).checks())
    assert states(checks) == [("auth file", "skipped"), ("cluster", "skipped")]
    assert checks[1].message == "there is no kubeconfig"


def test_a_cluster_that_rejects_the_user_is_a_failure(kubernetes: ApiServer) -> None:
    """Without a right to list namespaces nothing else can be checked."""
    bob = Cluster(Kubeconfig({}, kubernetes.kubeconfig_for("bob")))
    checks = list(doctor(lambda: bob).checks())
    assert states(checks) == [("auth file", "skipped"), ("cluster", "failure")]


def test_named_namespaces_are_the_only_ones_checked(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text(f"ci:{BCRYPT}\n")
    file = HtpasswdFile.read(tmp_path / "auth")
    checks = list(doctor(lambda: cluster, targets=Targets((namespace,)), file=file).checks())
    assert states(checks[-3:]) == [("auth file", "ok"), ("pull secrets", "ok"), ("rights", "ok")]
