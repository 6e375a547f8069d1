"""Who checks the passwords of a registry in the cluster, and the Services that are a way around."""

from typing import Any

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.reference import Registry
from regctl.workflows.registry_access import RegistryAccess
from tests.cli.commands.registry.conftest import define
from tests.servers.kubernetes import ApiServer

HTPASSWD = "YTpi"
NGINX = "nginx.ingress.kubernetes.io"
LABELS = {"app": "registry"}


class Place:
    """A namespace with what stands around a registry."""

    def __init__(self, kubernetes: ApiServer, namespace: str) -> None:
        self.kubernetes, self.namespace = kubernetes, namespace
        self.cluster = Cluster(Kubeconfig({}, kubernetes.kubeconfig))
        self.host = f"{namespace}.foo.com"

    def create(self, api: str, plural: str, name: str, spec: Any, **metadata: Any) -> None:
        path = f"{api}/namespaces/{self.namespace}/{plural}"
        body = {"metadata": {"name": name, **metadata}, "spec": spec}
        status, answer = self.kubernetes.request("POST", path, body)
        assert status == 201, answer

    def ingress(self, **annotations: str) -> None:
        backend = {"service": {"name": "registry", "port": {"number": 5000}}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
        spec = {"rules": [{"host": self.host, "http": {"paths": paths}}]}
        api = "/apis/networking.k8s.io/v1"
        self.create(api, "ingresses", "registry", spec, annotations=annotations)

    def service(self, *environment: str) -> None:
        """Create the Service of a registry, and a Pod of it with these variables."""
        spec = {"selector": LABELS, "ports": [{"port": 5000}]}
        self.create("/api/v1", "services", "registry", spec)
        env = [{"name": name, "value": "x"} for name in environment]
        self.kubernetes.create_service_account(self.namespace)
        containers = [{"name": "registry", "image": "registry:3", "env": env}]
        self.create("/api/v1", "pods", "registry-0", {"containers": containers}, labels=LABELS)

    def policy(self, labels: dict[str, str], *types: str) -> None:
        spec = {"podSelector": {"matchLabels": labels}, "policyTypes": list(types)}
        self.create("/apis/networking.k8s.io/v1", "networkpolicies", "guard", spec)

    def secret(self, kind: str = "Opaque", key: str = "auth", **annotations: str) -> None:
        metadata = {"name": "users", "annotations": annotations}
        secret = {"metadata": metadata, "type": kind, "data": {key: HTPASSWD}}
        self.kubernetes.create_secret(self.namespace, secret)

    def access(self, *, secret: bool = False) -> RegistryAccess:
        named = (self.namespace, "users") if secret else None
        return RegistryAccess(lambda: self.cluster, Registry(f"{self.host}:443"), named)

    def states(self) -> list[tuple[str, str]]:
        return [(check.name, check.state) for check in self.access().checks()]


@pytest.fixture
def place(kubernetes: ApiServer, namespace: str) -> Place:
    return Place(kubernetes, namespace)


@pytest.mark.parametrize(
    ("annotations", "reader"),
    [
        ({f"{NGINX}/auth-secret": "users"}, "ingress-nginx"),
        ({f"{NGINX}/auth-secret": "NAMESPACE/users"}, "ingress-nginx"),
        (
            {f"{NGINX}/auth-secret": "users", f"{NGINX}/auth-secret-type": "auth-map"},
            "ingress-nginx-auth-map",
        ),
        ({"nginx.org/basic-auth-secret": "users"}, "nginx-ingress"),
        ({"haproxy-ingress.github.io/auth-secret": "users"}, "haproxy-ingress"),
        ({"haproxy.org/auth-secret": "users"}, "haproxytech"),
    ],
)
def test_the_ingress_of_the_registrys_host_decides_who_reads(
    place: Place, annotations: dict[str, str], reader: str
) -> None:
    named = {key: value.replace("NAMESPACE", place.namespace) for key, value in annotations.items()}
    place.ingress(**named)
    access = place.access()
    assert access.used_reader.name == reader
    [check] = access.checks()
    assert check.message == (
        f"{place.namespace}/ingress/registry checks passwords by {place.namespace}/secret/users, "
        f"as {reader} does"
    )


def test_a_middleware_of_traefik_names_the_auth_secret(place: Place) -> None:
    define(place.kubernetes, "traefik.io", "v1alpha1", "Middleware", "middlewares")
    middleware = {
        "apiVersion": "traefik.io/v1alpha1",
        "kind": "Middleware",
        "metadata": {"name": "login"},
        "spec": {"basicAuth": {"secret": "users"}},
    }
    path = f"/apis/traefik.io/v1alpha1/namespaces/{place.namespace}/middlewares"
    assert place.kubernetes.request("POST", path, middleware)[0] == 201
    key = "traefik.ingress.kubernetes.io/router.middlewares"
    place.ingress(**{key: f"other@file, {place.namespace}-login@kubernetescrd"})
    assert place.access().used_reader.name == "traefik"


@pytest.mark.parametrize(
    ("kind", "key", "annotations", "reader"),
    [
        ("Opaque", "auth", {}, "ingress-nginx"),
        ("Opaque", ".htpasswd", {}, "envoy-gateway"),
        ("nginx.org/htpasswd", "htpasswd", {}, "nginx-ingress"),
        ("Opaque", "auth", {"projectcontour.io/auth-type": "basic"}, "contour"),
        ("Opaque", "htpasswd", {}, "distribution"),
    ],
)
def test_without_an_ingress_the_secrets_shape_decides(
    place: Place, kind: str, key: str, annotations: dict[str, str], reader: str
) -> None:
    place.secret(kind, key, **annotations)
    assert place.access(secret=True).used_reader.name == reader


def test_a_registry_that_checks_passwords_itself_reads_the_secret(place: Place) -> None:
    place.secret()
    place.ingress()
    place.service("REGISTRY_AUTH_HTPASSWD_PATH")
    assert place.access(secret=True).used_reader.name == "distribution"
    assert place.states() == [("ingress", "ok")]


def test_a_registry_outside_the_cluster_reads_its_own_file(place: Place) -> None:
    assert place.access().used_reader.name == "distribution"
    assert place.states() == []


def test_a_service_without_a_password_is_a_warning(place: Place) -> None:
    place.ingress(**{f"{NGINX}/auth-secret": "users"})
    place.service()
    assert place.states() == [("ingress", "ok"), ("service", "warning")]


@pytest.mark.parametrize(
    ("labels", "types", "warns"),
    [
        (LABELS, ("Ingress",), False),
        ({}, ("Ingress", "Egress"), False),
        (LABELS, ("Egress",), True),
        ({"app": "other"}, ("Ingress",), True),
    ],
)
def test_a_network_policy_closes_the_way_around(
    place: Place, labels: dict[str, str], types: tuple[str, ...], *, warns: bool
) -> None:
    place.ingress(**{f"{NGINX}/auth-secret": "users"})
    place.service()
    place.policy(labels, *types)
    assert (("service", "warning") in place.states()) is warns


def test_a_user_without_the_right_sees_what_was_skipped(place: Place) -> None:
    place.ingress(**{f"{NGINX}/auth-secret": "users"})
    bob = Cluster(Kubeconfig({}, place.kubernetes.kubeconfig_for("bob")))
    access = RegistryAccess(lambda: bob, Registry(place.host), None)
    assert [(check.name, check.state) for check in access.checks()] == [("ingress", "skipped")]
    assert access.used_reader.name == "distribution"
