"""The inventory of pull secrets, and their deletion, on the real API server."""

from dataclasses import replace

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.namespaces import Targets
from regctl.cluster.ownership import Manager, Ownership
from regctl.cluster.resource import SECRETS
from regctl.errors import ConflictError, ForeignObjectError, NotPermittedError
from regctl.outcome import Outcome
from regctl.pullsecrets.inventory import (
    Inventory,
    PullSecretUse,
    deletable,
    delete,
    find_pull_secrets,
    list_pull_secrets,
)
from regctl.pullsecrets.plan import PullSecret
from tests.pullsecrets.secrets import ALICE, pull_secret
from tests.servers.kubernetes import ApiServer

WANTED = PullSecret("regcred", {"r.io": ALICE})


def outcomes(cluster: Cluster, found: Inventory, *, adopt: bool = False) -> list[Outcome]:
    return [one for some in delete(cluster, found.items, adopt=adopt) for one in some]


def test_the_inventory_has_secrets_and_the_accounts_that_use_them(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace, "build", pull_secrets=["regcred", "gone"])
    kubernetes.create_service_account(namespace)
    cluster.apply(SECRETS, WANTED.manifest(namespace))
    cluster.apply(SECRETS, PullSecret("other", {"a.io": ALICE}).manifest(namespace))
    found = find_pull_secrets(cluster, Targets((namespace,)))
    other, regcred = found.items
    assert (other.secret.name, other.accounts) == ("other", ())
    assert regcred.secret.name == "regcred"
    assert [account.name for account in regcred.accounts or ()] == ["build"]
    assert [account.name for account in found.accounts or ()] == ["build", "default"]
    assert [use.secret.name for use in found.for_registry("https://r.io/v1/").items] == ["regcred"]
    everywhere = list_pull_secrets(cluster, None, everywhere=True, name="regcred")
    assert namespace in {use.secret.namespace for use in everywhere.items}


def test_a_namespace_that_cannot_be_read_is_an_error_beside_the_others(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    cluster.apply(SECRETS, WANTED.manifest(namespace))
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
    kubernetes.grant("bob", namespace, [rule])
    bob = Cluster(Kubeconfig({}, kubernetes.kubeconfig_for("bob")))
    found = find_pull_secrets(bob, Targets((namespace, "default")))
    assert [use.accounts for use in found.items] == [None]
    assert found.accounts is None
    assert isinstance(found.errors["default"], NotPermittedError)
    (unread,) = found.unread("regcred")
    assert (unread.namespace, unread.result) == ("default", "failed")


def test_the_state_is_broken_or_the_owner() -> None:
    hand = Ownership(managed=False, controller=None, data_managers=(Manager("kubectl", None),))
    helm = Ownership(managed=True, controller="Helm")
    assert PullSecretUse(pull_secret()).state == "regctl"
    assert PullSecretUse(replace(pull_secret(), ownership=hand)).state == "kubectl"
    assert PullSecretUse(replace(pull_secret(), ownership=helm)).state == "Helm"
    broken = PullSecretUse(pull_secret(content=b"{"))
    assert (broken.state, broken.registries, broken.users) == ("broken", (), ())


def test_delete_detaches_first(cluster: Cluster, kubernetes: ApiServer, namespace: str) -> None:
    kubernetes.create_service_account(namespace, pull_secrets=["regcred", "theirs"])
    cluster.apply(SECRETS, WANTED.manifest(namespace))
    done = outcomes(cluster, find_pull_secrets(cluster, Targets((namespace,)), "regcred"))
    assert [(one.kind, one.result) for one in done] == [
        ("serviceaccount", "configured"),
        ("secret", "deleted"),
    ]
    account = kubernetes.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    assert account["imagePullSecrets"] == [{"name": "theirs"}]
    assert cluster.get(SECRETS, namespace, "regcred") is None


def test_a_recreated_secret_is_kept(cluster: Cluster, namespace: str) -> None:
    cluster.apply(SECRETS, WANTED.manifest(namespace))
    found = find_pull_secrets(cluster, Targets((namespace,)))
    cluster.delete(SECRETS, namespace, "regcred")
    cluster.apply(SECRETS, WANTED.manifest(namespace))
    (outcome,) = outcomes(cluster, found)
    assert isinstance(outcome.error, ConflictError)
    assert outcome.error.message.endswith("it was recreated in the meantime")
    assert cluster.get(SECRETS, namespace, "regcred") is not None


def test_a_foreign_secret_is_refused_until_it_is_adopted(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    manifest = WANTED.manifest(None)
    kubernetes.create_secret(namespace, {**manifest, "metadata": {"name": "regcred"}})
    found = find_pull_secrets(cluster, Targets((namespace,)))
    assert deletable(found.items, adopt=False) == []
    (outcome,) = outcomes(cluster, found)
    assert outcome.result == "refused"
    assert isinstance(outcome.error, ForeignObjectError)
    assert deletable(found.items, adopt=True) == list(found.items)
    assert [one.result for one in outcomes(cluster, found, adopt=True)] == ["deleted"]
