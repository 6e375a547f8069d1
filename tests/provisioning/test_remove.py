"""Planning the deletion of a registry."""

import pytest

from regctl.cluster.client import Cluster
from regctl.credentials.credential import Credential
from regctl.errors import InvalidObjectNameError, NamespaceMissingError, ObjectNotFoundError
from regctl.provisioning import install, remove
from regctl.provisioning.spec import RegistrySpec
from regctl.provisioning.users import read_users
from tests.provisioning.specs import registry


def apply(cluster: Cluster, spec: RegistrySpec) -> None:
    users = read_users(cluster, spec)
    assert {one.result for one in install.prepare(cluster, users, Credential("ci", "x")).run()}


def deleted(cluster: Cluster, spec: RegistrySpec, *, with_data: bool = False) -> dict[str, str]:
    """Plan to delete a registry; return what becomes of each kind."""
    plan = remove.prepare(cluster, spec.namespace, spec.name, with_data=with_data)
    return {outcome.kind: outcome.result for outcome in plan.run("client")}


def test_the_volume_and_the_users_are_kept_unless_asked_for(
    cluster: Cluster, spec: RegistrySpec
) -> None:
    apply(cluster, spec)
    objects = dict.fromkeys(("ingress", "service", "deployment"), "deleted")
    kept, gone = ({"persistentvolumeclaim": one, "secret": one} for one in ("skipped", "deleted"))
    assert deleted(cluster, spec) == objects | kept
    assert deleted(cluster, spec, with_data=True) == objects | gone


def test_users_that_another_registry_has_are_kept(cluster: Cluster, spec: RegistrySpec) -> None:
    apply(cluster, spec)
    apply(cluster, registry(name="bar", namespace=spec.namespace))
    assert deleted(cluster, spec, with_data=True)["secret"] == "skipped"


def test_nothing_to_delete_is_an_error(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"cannot delete registry foo .* not exist"):
        remove.prepare(cluster, namespace, "foo")
    with pytest.raises(NamespaceMissingError):
        remove.prepare(cluster, "nowhere", "foo")
    with pytest.raises(InvalidObjectNameError):
        remove.prepare(cluster, namespace, "Foo")
