"""Planning what a registry needs, and carrying it out."""

import pytest

from regctl.cluster.client import Cluster
from regctl.credentials.credential import Credential
from regctl.errors import ImmutableError, NamespaceMissingError, UnsuitableAuthFileError
from regctl.outcome import DryRun
from regctl.provisioning import install
from regctl.provisioning.spec import RegistrySpec
from regctl.provisioning.users import read_users
from tests.provisioning.specs import registry
from tests.servers.kubernetes import ApiServer

CI = Credential("ci", "secret")


def apply(
    cluster: Cluster,
    spec: RegistrySpec,
    user: Credential | None = None,
    dry_run: DryRun | None = None,
) -> list[tuple[str, str]]:
    plan = install.prepare(cluster, read_users(cluster, spec), user)
    return [(outcome.kind, outcome.result) for outcome in plan.run(dry_run)]


def test_every_object_is_created_after_the_users(cluster: Cluster, spec: RegistrySpec) -> None:
    kinds = ["secret", "persistentvolumeclaim", "service", "deployment", "ingress"]
    assert apply(cluster, spec, CI, "server") == [(kind, "created") for kind in kinds]
    assert apply(cluster, spec, CI) == [(kind, "created") for kind in kinds]
    assert apply(cluster, spec) == [(kind, "unchanged") for kind in kinds[1:]]


def test_another_volume_is_an_error_before_any_change(cluster: Cluster, namespace: str) -> None:
    apply(cluster, registry(namespace=namespace, storage="20Gi"))
    with pytest.raises(ImmutableError, match="cannot shrink"):
        apply(cluster, registry(namespace=namespace, storage="10Gi"))


def test_a_missing_namespace_is_an_error_or_created(cluster: Cluster, namespace: str) -> None:
    users = read_users(cluster, registry(namespace=f"{namespace}-new"))
    with pytest.raises(NamespaceMissingError, match="no such namespace") as error:
        install.prepare(cluster, users)
    assert error.value.hint == "`--create-namespace` creates it"
    plan = install.prepare(cluster, users, CI, create_namespace=True)
    outcomes = list(plan.run())
    assert [outcome.subject for outcome in outcomes][:2] == [
        f"namespace/{namespace}-new",
        f"{namespace}-new/secret/users",
    ]
    assert {outcome.result for outcome in outcomes} == {"created"}


def test_unsuitable_users_are_an_error(
    kubernetes: ApiServer, cluster: Cluster, spec: RegistrySpec
) -> None:
    secret = {"metadata": {"name": "users"}, "data": {"auth": "bm8gY29sb24K"}}
    kubernetes.create_secret(spec.namespace, secret)
    with pytest.raises(UnsuitableAuthFileError):
        install.prepare(cluster, read_users(cluster, spec))
