"""The registries in the cluster."""

from pathlib import Path

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.namespaces import Targets
from regctl.credentials.credential import Credential
from regctl.provisioning import install
from regctl.provisioning.listing import InstalledRegistry, installed_registries
from regctl.provisioning.spec import RegistrySpec
from regctl.provisioning.users import read_users
from tests.servers.kubernetes import ApiServer


def test_a_registry_is_found_with_its_users(cluster: Cluster, spec: RegistrySpec) -> None:
    users = read_users(cluster, spec)
    assert len(list(install.prepare(cluster, users, Credential("ci", "x")).run())) == 5
    found = installed_registries(cluster, Targets((spec.namespace,)))
    assert found.errors == {}
    assert found.items == (
        InstalledRegistry(
            spec.namespace,
            "foo",
            "registry.foo.com",
            image="registry:3",
            auth="ingress",
            auth_secret="users",
            ready=0,
            replicas=1,
            users=("ci",),
            pull_secrets=found.items[0].pull_secrets,
        ),
    )
    assert found.items[0] in installed_registries(cluster, Targets(everywhere=True)).items


def test_a_namespace_that_cannot_be_listed_is_an_error_beside_the_others(
    kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}
    kubernetes.grant("bob", namespace, [rule])
    bob = Cluster(Kubeconfig({"HOME": str(tmp_path)}, kubernetes.kubeconfig_for("bob")))
    found = installed_registries(bob, Targets((namespace, "default")))
    assert (found.items, list(found.errors)) == ((), ["default"])
