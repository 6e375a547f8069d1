"""Rollouts on the real API server: counted requests, and objects of other owners."""

import base64
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.namespaces import Targets
from regctl.cluster.ownership import OUR_LABELS
from regctl.cluster.resource import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Namespace
from regctl.cluster.secret import read_secret
from regctl.cluster.serviceaccounts import Accounts
from regctl.credentials.credential import Credential
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    NotStartedError,
    ObjectNotFoundError,
)
from regctl.outcome import Outcome
from regctl.pullsecrets import rollout
from regctl.pullsecrets.content import credentials_of
from regctl.pullsecrets.plan import PullSecret, TakeoverPolicy
from regctl.pullsecrets.rollout import Rollout
from tests.conftest import Servers
from tests.servers.kubernetes import ApiServer, api_server

COUNT = 1000
WANTED = PullSecret("regcred", {"r.io": Credential("alice", "secret")})
OTHER = PullSecret("regcred", {"r.io": Credential("alice", "other")})


def connect(server: ApiServer, user: str = "admin", **options: Any) -> Cluster:
    return Cluster(Kubeconfig({}, server.kubeconfig_for(user)), **options)


def prepare(server: ApiServer, names: Sequence[str], wanted: PullSecret = WANTED) -> Rollout:
    spaces = [Namespace(name) for name in names]
    return rollout.prepare(connect(server), wanted, spaces)


def outcomes(task: Rollout) -> list[Outcome]:
    return [outcome for some in task.run() for outcome in some]


def only(task: Rollout) -> Outcome:
    [outcome] = outcomes(task)
    return outcome


def password(server: ApiServer, namespace: str) -> str:
    secret = read_secret(server.secret(namespace, "regcred"))
    return credentials_of(secret)["r.io"].password


def made_by_hand(**changes: Any) -> dict[str, Any]:
    manifest = OTHER.manifest(None) | changes
    manifest["metadata"] = {"name": "regcred"}
    return manifest


# Secrets of other owners


def test_a_secret_made_by_hand_is_refused_until_it_is_adopted(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_secret(namespace, made_by_hand())
    outcome = only(prepare(kubernetes, [namespace]))
    assert outcome.result == "refused"
    assert isinstance(outcome.error, ForeignObjectError)
    assert password(kubernetes, namespace) == "other"
    adopting = replace(prepare(kubernetes, [namespace]), policy=TakeoverPolicy(adopt=True))
    assert only(adopting).result == "configured"
    assert password(kubernetes, namespace) == "secret"
    assert only(prepare(kubernetes, [namespace])).result == "unchanged"


def test_a_secret_of_another_type_needs_replace(kubernetes: ApiServer, namespace: str) -> None:
    old: dict[str, Any] = {"type": "Opaque", "data": {".dockerconfigjson": "eA=="}}
    before = kubernetes.create_secret(namespace, made_by_hand(**old))
    adopting = replace(prepare(kubernetes, [namespace]), policy=TakeoverPolicy(adopt=True))
    assert isinstance(only(adopting).error, ImmutableError)
    replacing = replace(
        prepare(kubernetes, [namespace]), policy=TakeoverPolicy(adopt=True, replace=True)
    )
    outcome = only(replacing)
    assert outcome.result == "configured"
    assert "recreated" in (outcome.note or "")
    after = kubernetes.secret(namespace, "regcred")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert password(kubernetes, namespace) == "secret"


@pytest.mark.parametrize("labels", [{}, dict(OUR_LABELS)])
def test_a_secret_with_other_content_is_never_replaced(
    kubernetes: ApiServer, namespace: str, labels: dict[str, str]
) -> None:
    """Such as the auth Secret, whose users would be lost."""
    before = kubernetes.create_secret(
        namespace,
        {"metadata": {"name": "regcred", "labels": labels}, "data": {"auth": "eA=="}},
    )
    policy = TakeoverPolicy(adopt=True, replace=True)
    outcome = only(replace(prepare(kubernetes, [namespace]), policy=policy))
    assert outcome.result == "refused"
    assert isinstance(outcome.error, ForeignObjectError)
    assert "its type is Opaque and it contains auth" in outcome.error.message
    assert kubernetes.secret(namespace, "regcred")["data"] == before["data"]


def test_a_managed_secret_is_updated_in_place(kubernetes: ApiServer, namespace: str) -> None:
    """The kubelet remembers pulls by the Secret's UID (KEP-2535)."""
    assert only(prepare(kubernetes, [namespace])).result == "created"
    before = kubernetes.secret(namespace, "regcred")["metadata"]["uid"]
    assert only(prepare(kubernetes, [namespace], OTHER)).result == "configured"
    assert kubernetes.secret(namespace, "regcred")["metadata"]["uid"] == before


def test_a_change_by_another_client_is_reverted_and_reported(
    kubernetes: ApiServer, namespace: str
) -> None:
    assert only(prepare(kubernetes, [namespace])).result == "created"
    path = f"/api/v1/namespaces/{namespace}/secrets/regcred?fieldManager=kubectl-edit"
    data = OTHER.manifest(None)["data"]
    patch = "application/merge-patch+json"
    kubernetes.request("PATCH", path, {"data": data}, content_type=patch)
    outcome = only(prepare(kubernetes, [namespace]))
    assert outcome.result == "configured"
    assert "was changed by kubectl-edit" in (outcome.note or "")
    assert password(kubernetes, namespace) == "secret"


def test_a_secret_created_after_planning_is_not_overwritten(
    kubernetes: ApiServer, namespace: str
) -> None:
    task = prepare(kubernetes, [namespace])
    kubernetes.create_secret(namespace, made_by_hand())
    assert only(task).result == "refused"
    assert password(kubernetes, namespace) == "other"


def test_a_secret_changed_after_planning_is_read_again(
    kubernetes: ApiServer, namespace: str
) -> None:
    """A merge keeps the entry that somebody else merged in the meantime."""
    merging = replace(WANTED, merge=True)
    outcomes(prepare(kubernetes, [namespace], OTHER))
    task = prepare(kubernetes, [namespace], merging)
    between = PullSecret("regcred", {"b.io": Credential("bob", "b")}, merge=True)
    assert only(prepare(kubernetes, [namespace], between)).result == "configured"
    assert only(task).result == "configured"
    found = read_secret(kubernetes.secret(namespace, "regcred"))
    assert {key: one.password for key, one in credentials_of(found).items()} == {
        "r.io": "secret",
        "b.io": "b",
    }


def test_a_secret_deleted_after_planning_is_created(kubernetes: ApiServer, namespace: str) -> None:
    outcomes(prepare(kubernetes, [namespace], OTHER))
    task = prepare(kubernetes, [namespace])
    connect(kubernetes).delete(SECRETS, namespace, "regcred")
    assert only(task).result == "created"


def test_parallel_runs_with_the_same_content_succeed(kubernetes: ApiServer, namespace: str) -> None:
    outcomes(prepare(kubernetes, [namespace], OTHER))
    tasks = [prepare(kubernetes, [namespace]) for _ in range(4)]
    results = [result for _, result in parallel.run(only, tasks, workers=4)]
    assert all(isinstance(one, Outcome) and one.error is None for one in results)
    assert password(kubernetes, namespace) == "secret"


def test_a_secret_of_another_sync_file_is_refused(kubernetes: ApiServer, namespace: str) -> None:
    part = "app.kubernetes.io/part-of"
    outcomes(prepare(kubernetes, [namespace], replace(OTHER, labels={part: "one"})))
    other = replace(WANTED, labels={part: "two"})
    assert isinstance(only(prepare(kubernetes, [namespace], other)).error, ForeignObjectError)
    # `secret create` may change it and keeps its label.
    assert only(prepare(kubernetes, [namespace])).result == "configured"
    assert kubernetes.secret(namespace, "regcred")["metadata"]["labels"][part] == "one"


# Service accounts


def listed(server: ApiServer, namespace: str) -> list[str]:
    account = server.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    return [entry["name"] for entry in account.get("imagePullSecrets", [])]


def test_an_account_gets_the_secret_and_keeps_its_others(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace, pull_secrets=["theirs"])
    for expected in ("configured", "unchanged"):
        task = replace(prepare(kubernetes, [namespace]), accounts=Accounts(("default",)))
        account = outcomes(task)[1]
        assert (account.kind, account.name, account.result) == (
            "serviceaccount",
            "default",
            expected,
        )
    assert listed(kubernetes, namespace) == ["theirs", "regcred"]


def test_a_missing_account_is_an_error_and_is_not_created(
    kubernetes: ApiServer, namespace: str
) -> None:
    task = replace(prepare(kubernetes, [namespace]), accounts=Accounts(("none",)))
    secret, account = outcomes(task)
    assert secret.result == "created"
    assert isinstance(account.error, ObjectNotFoundError)
    assert connect(kubernetes).get(SERVICE_ACCOUNTS, namespace, "none") is None


def test_every_account_gets_the_secret(kubernetes: ApiServer, namespace: str) -> None:
    for name in ("default", "build", "deploy"):
        kubernetes.create_service_account(namespace, name)
    task = replace(prepare(kubernetes, [namespace]), accounts=Accounts(every=True))
    assert [outcome.name for outcome in outcomes(task)[1:]] == ["build", "default", "deploy"]


@pytest.mark.slow
def test_twenty_parallel_processes_on_one_account_lose_nothing(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace, pull_secrets=["before"])
    environ = {
        **os.environ,
        "KUBECONFIG": str(kubernetes.kubeconfig),
        "REGCTL_USERNAME": "alice",
        "REGCTL_PASSWORD": "secret",
    }
    flags = ["--server", "r.io", "-n", namespace, "--attach", "default", "--no-verify"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "regctl", "secret", "create", f"pull-{number}", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
        for number in range(20)
    ]
    output = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 20, output
    names = listed(kubernetes, namespace)
    assert sorted(names) == sorted(["before", *(f"pull-{number}" for number in range(20))])
    assert names[0] == "before"


# A thousand namespaces


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect the frames of a test's errors while its filter of warnings is in force."""
    yield
    gc.collect()


def kills_the_server(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that kills a server: a TLS handshake at that moment leaves urllib3 a socket."""
    ignored = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
    marked: Callable[..., None] = pytest.mark.usefixtures("collected")(ignored(test))
    return marked


@pytest.fixture(scope="module")
def fleet(serve_module: Servers, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    """An API server of our own, to count at and to kill."""
    server = serve_module(api_server(tmp_path_factory.mktemp("fleet")))
    cluster = connect(server)

    def make(number: int) -> None:
        name = f"team-{number:04d}"
        labels = {"tier": "first" if number < 10 else "other"}
        manifest = {"apiVersion": "v1", "kind": "Namespace"}
        cluster.apply(NAMESPACES, {**manifest, "metadata": {"name": name, "labels": labels}})
        if number < 20:
            account = {"apiVersion": "v1", "kind": "ServiceAccount"}
            metadata = {"name": "default", "namespace": name}
            cluster.apply(SERVICE_ACCOUNTS, {**account, "metadata": metadata})

    list(parallel.run(make, range(COUNT)))
    return server


def everywhere(server: ApiServer, wanted: PullSecret = WANTED, **options: Any) -> Rollout:
    """The rollout of `-A`, from the first request on."""
    cluster = connect(server, **options)
    return rollout.prepare(cluster, wanted, Targets(everywhere=True).resolve(cluster))


def asked(server: ApiServer, mark: int) -> list[tuple[str, str]]:
    return [(event.verb, event.resource) for event in server.audit(mark)]


READS = [("list", "namespaces"), ("list", "secrets")]


def test_a_run_has_two_requests_and_one_for_each_change(fleet: ApiServer) -> None:
    mark = fleet.audit_mark()
    first = outcomes(everywhere(fleet))
    assert {outcome.result for outcome in first} == {"created"}
    assert asked(fleet, mark)[:2] == READS
    assert asked(fleet, mark)[2:] == [("patch", "secrets")] * len(first)
    assert len(first) == COUNT + 1
    assert "kube-system" not in {outcome.namespace for outcome in first}

    mark = fleet.audit_mark()
    assert {outcome.result for outcome in outcomes(everywhere(fleet))} == {"unchanged"}
    assert asked(fleet, mark) == READS

    for number in (3, 500, 999):
        connect(fleet).delete(SECRETS, f"team-{number:04d}", "regcred")
    for number in (7, 77, 777):
        outcomes(prepare(fleet, [f"team-{number:04d}"], OTHER))
    mark = fleet.audit_mark()
    changed = {o.namespace for o in outcomes(everywhere(fleet)) if o.result != "unchanged"}
    assert changed == {f"team-{n:04d}" for n in (3, 7, 77, 500, 777, 999)}
    assert asked(fleet, mark) == READS + [("patch", "secrets")] * 6


def test_accounts_cost_one_list_and_a_patch_for_each_change(fleet: ApiServer) -> None:
    outcomes(everywhere(fleet))
    cluster = connect(fleet)
    spaces = Targets(selector="tier=first").resolve(cluster)
    accounts = Accounts(("default",))
    task = rollout.prepare(cluster, WANTED, spaces, accounts=accounts)
    assert {o.result for o in outcomes(task) if o.kind == "serviceaccount"} == {"configured"}
    mark = fleet.audit_mark()
    cluster = connect(fleet)
    spaces = Targets(selector="tier=first").resolve(cluster)
    again = outcomes(rollout.prepare(cluster, WANTED, spaces, accounts=accounts))
    assert {outcome.result for outcome in again} == {"unchanged"}
    assert asked(fleet, mark) == [*READS, ("list", "serviceaccounts")]


def test_a_role_for_one_name_in_three_namespaces_is_enough_for_these(
    fleet: ApiServer,
) -> None:
    names = ["team-0101", "team-0102", "team-0103"]
    rule = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["mine"],
        "verbs": ["get", "create", "patch"],
    }
    for name in names:
        fleet.grant("alice", name, [rule])
    alice = connect(fleet, "alice")
    wanted = PullSecret("mine", WANTED.credentials)
    spaces = Targets((*names, "team-0104")).resolve(alice)
    mark = fleet.audit_mark()
    results = {o.namespace: o.result for o in outcomes(rollout.prepare(alice, wanted, spaces))}
    assert results == {**dict.fromkeys(names, "created"), "team-0104": "failed"}
    assert sorted(asked(fleet, mark)) == [("get", "secrets")] * 4 + [("patch", "secrets")] * 3
    mark = fleet.audit_mark()
    again = outcomes(rollout.prepare(alice, wanted, spaces[:3]))
    assert {outcome.result for outcome in again} == {"unchanged"}
    assert asked(fleet, mark) == [("get", "secrets")] * 3


def test_without_the_right_to_list_secrets_there_is_one_get_for_each(fleet: ApiServer) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch", "create"]},
    ]
    name = fleet.grant_cluster("bob", rules)
    try:
        bob = connect(fleet, "bob")
        spaces = Targets(selector="tier=first").resolve(bob)
        mark = fleet.audit_mark()
        outcomes(rollout.prepare(bob, PullSecret("bobs", WANTED.credentials), spaces))
        events = asked(fleet, mark)
    finally:
        fleet.revoke_cluster(name)
    assert events[0] == ("list", "secrets")
    assert sorted(events[1:]) == [("get", "secrets")] * 10 + [("patch", "secrets")] * 10


@pytest.mark.slow
@kills_the_server
def test_a_restarted_server_is_waited_for(fleet: ApiServer) -> None:
    """Every namespace gets its Secret or a failure, and the next run does the rest."""
    wanted = PullSecret("killed", WANTED.credentials)
    seen: list[Outcome] = []
    for some in everywhere(fleet, wanted, timeout=60).run():
        seen += some
        if len(seen) == 200:
            fleet.kill()
            # The workers go on and are refused while it starts.
            fleet.start()
    assert_outcomes_are_true(fleet, "killed", seen)
    assert all(outcome.error is None for outcome in seen)


@pytest.mark.slow
@kills_the_server
def test_a_stopped_server_leaves_a_list_of_failures(fleet: ApiServer) -> None:
    wanted = PullSecret("missing", WANTED.credentials)
    seen: list[Outcome] = []
    for some in everywhere(fleet, wanted, timeout=0.5).run():
        seen += some
        if len(seen) == 200:
            fleet.kill()
    fleet.start()
    failed = [outcome for outcome in seen if outcome.error is not None]
    assert len(failed) > COUNT // 2
    assert_outcomes_are_true(fleet, "missing", seen)
    assert {o.result for o in outcomes(everywhere(fleet, wanted))} == {"created", "unchanged"}
    mark = fleet.audit_mark()
    assert {o.result for o in outcomes(everywhere(fleet, wanted))} == {"unchanged"}
    assert asked(fleet, mark) == READS


def assert_outcomes_are_true(server: ApiServer, name: str, seen: Sequence[Outcome]) -> None:
    """Each namespace has one outcome, and every Secret that was reported as done is complete."""
    assert len({outcome.namespace for outcome in seen}) == len(seen) == COUNT + 1
    there = {
        item["metadata"]["namespace"]: item
        for item in connect(server).list(SECRETS, field_selector=f"metadata.name={name}")
    }
    for outcome in seen:
        if outcome.error is None:
            assert outcome.namespace in there
    for item in there.values():
        document = json.loads(base64.b64decode(item["data"][".dockerconfigjson"]))
        assert document["auths"]["r.io"]["password"] == "secret"


def test_an_interrupted_run_names_what_was_not_started(
    fleet: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    task = everywhere(fleet, PullSecret("interrupted", WANTED.credentials))
    monkeypatch.setattr("regctl.parallel.as_completed", interrupted)
    seen: list[Outcome] = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(outcome for some in task.run() for outcome in some)
    assert len({outcome.namespace for outcome in seen}) == COUNT + 1
    assert all(o.error is None or isinstance(o.error, NotStartedError) for o in seen)
