"""The manifests of a registry: what each option does to them."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from regctl.provisioning.objects import http_secret, manifests, obsolete
from regctl.provisioning.spec import Gateway, Ingress, RegistrySpec
from tests.provisioning.specs import ISSUED, registry


def objects(wanted: RegistrySpec) -> dict[str, dict[str, Any]]:
    return {manifest["kind"]: manifest for manifest in manifests(wanted)}


def pod(wanted: RegistrySpec) -> dict[str, Any]:
    template: dict[str, Any] = objects(wanted)["Deployment"]["spec"]["template"]["spec"]
    return template


def environment(wanted: RegistrySpec) -> dict[str, str]:
    [container] = pod(wanted)["containers"]
    return {one["name"]: one.get("value", "from a Secret") for one in container["env"]}


def annotations(wanted: RegistrySpec) -> dict[str, str]:
    found: dict[str, str] = objects(wanted)["Ingress"]["metadata"]["annotations"]
    return {key.rpartition("/")[2]: value for key, value in found.items()}


def test_every_object_has_the_labels_of_its_registry() -> None:
    for manifest in manifests(registry()):
        assert manifest["metadata"]["namespace"] == "team"
        assert manifest["metadata"]["labels"] == {
            "app.kubernetes.io/name": "registry",
            "app.kubernetes.io/instance": "foo",
            "app.kubernetes.io/part-of": "regctl-registry",
            "app.kubernetes.io/managed-by": "regctl",
        }


def test_the_parts_fit_together() -> None:
    """Selectors match labels, and ports and volumes have the same names at both ends."""
    for entry in (ISSUED, Gateway("infra", "public")):
        made = objects(registry(entry))
        template = made["Deployment"]["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert made["Deployment"]["spec"]["selector"]["matchLabels"] == labels
        assert made["Service"]["spec"]["selector"] == labels
        [container] = template["spec"]["containers"]
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        [service_port] = made["Service"]["spec"]["ports"]
        [container_port] = container["ports"]
        assert service_port["targetPort"] == container_port["name"]
        assert environment(registry(entry))["REGISTRY_HTTP_ADDR"] == ":5000"
        assert service_port["port"] == container_port["containerPort"] == 5000


def test_the_pod_has_no_privileges() -> None:
    spec = pod(registry())
    [container] = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]
    assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize(
    ("entry", "auth", "path"),
    [
        (ISSUED, None, "/v2/"),
        (ISSUED, "registry", "/"),
        (Gateway("infra", "public"), None, "/"),
    ],
)
def test_no_probe_needs_a_password(entry: Ingress | Gateway, auth: Any, path: str) -> None:
    [container] = pod(registry(entry, auth=auth))["containers"]
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    assert container["livenessProbe"]["tcpSocket"] == {"port": "http"}


def test_the_ingress_checks_passwords_and_limits_no_layer() -> None:
    assert annotations(registry()) == {
        "proxy-body-size": "0",
        "proxy-request-buffering": "off",
        "proxy-read-timeout": "900",
        "proxy-send-timeout": "900",
        "auth-type": "basic",
        "auth-secret": "users",
        "auth-realm": "Registry foo",
        "cluster-issuer": "letsencrypt",
    }
    assert registry().reader.name == "ingress-nginx"


def test_traefik_checks_passwords_in_a_middleware() -> None:
    wanted = registry(Ingress("traefik", tls_secret="cert"))
    made = objects(wanted)
    assert list(made)[-2:] == ["Middleware", "Ingress"]
    assert made["Middleware"]["spec"]["basicAuth"]["secret"] == "users"
    assert annotations(wanted) == {
        "router.entrypoints": "websecure",
        "router.tls": "true",
        "router.middlewares": "team-foo-auth@kubernetescrd",
    }
    assert wanted.reader.name == "traefik"


@pytest.mark.parametrize("entry", [ISSUED, Ingress("traefik", tls_secret="cert")])
def test_the_ingress_checks_nothing_if_the_registry_does(entry: Ingress) -> None:
    wanted = registry(entry, auth="registry")
    assert "Middleware" not in objects(wanted)
    assert not [key for key in annotations(wanted) if "auth" in key or "middlewares" in key]
    assert wanted.reader.name == "distribution"


def test_the_registry_reads_its_users_from_a_folder() -> None:
    """A file mounted with subPath would never change."""
    wanted = registry(auth="registry")
    [container] = pod(wanted)["containers"]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "users"]
    assert mount == {"name": "users", "mountPath": "/etc/registry/users", "readOnly": True}
    assert environment(wanted)["REGISTRY_AUTH_HTPASSWD_PATH"] == "/etc/registry/users/auth"
    [volume] = [one for one in pod(wanted)["volumes"] if one["name"] == "users"]
    assert volume["secret"]["secretName"] == "users"
    assert not [name for name in environment(registry()) if "AUTH" in name]


def test_a_route_has_its_gateway_its_host_and_no_time_limit() -> None:
    made = objects(registry(Gateway("infra", "public")))
    spec = made["HTTPRoute"]["spec"]
    assert "Ingress" not in made
    assert spec["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert spec["hostnames"] == ["registry.foo.com"]
    assert spec["rules"][0]["timeouts"] == {"request": "0s"}


@pytest.mark.parametrize(
    ("entry", "secret"),
    [(ISSUED, "foo-tls"), (Ingress(tls_secret="cert"), "cert")],
)
def test_the_certificate_is_issued_or_taken_from_a_secret(entry: Ingress, secret: str) -> None:
    spec = objects(registry(entry))["Ingress"]["spec"]
    assert spec["tls"] == [{"hosts": ["registry.foo.com"], "secretName": secret}]


def test_the_ingress_class_can_differ_from_its_controller() -> None:
    for entry, name in (
        (ISSUED, "nginx"),
        (Ingress("traefik", None, "x"), "traefik"),
        (Ingress("nginx", "public", "x"), "public"),
    ):
        assert objects(registry(entry))["Ingress"]["spec"]["ingressClassName"] == name


def test_deletion_and_maintenance_are_off_by_default() -> None:
    assert environment(registry())["REGISTRY_STORAGE_DELETE_ENABLED"] == "false"
    assert "REGISTRY_STORAGE_MAINTENANCE_READONLY" not in environment(registry())
    asked = environment(registry(delete_enabled=True, maintenance=True))
    assert asked["REGISTRY_STORAGE_DELETE_ENABLED"] == "true"
    assert json.loads(asked["REGISTRY_STORAGE_MAINTENANCE_READONLY"]) == {"enabled": True}


def test_several_replicas_share_a_volume_and_a_secret_and_roll() -> None:
    one, two = registry(), registry(replicas=2)
    assert objects(one)["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert objects(one)["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "REGISTRY_HTTP_SECRET" not in environment(one)
    assert objects(two)["Deployment"]["spec"]["strategy"]["type"] == "RollingUpdate"
    assert objects(two)["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert environment(two)["REGISTRY_HTTP_SECRET"] == "from a Secret"
    assert (one.http_secret, two.http_secret) == (None, "foo-http")


def test_every_other_entry_object_is_obsolete() -> None:
    def kinds(wanted: RegistrySpec) -> Sequence[str]:
        return [resource.kind for resource, _ in obsolete(wanted)]

    assert kinds(registry()) == ["Middleware", "HTTPRoute", "NetworkPolicy"]
    traefik = Ingress("traefik", tls_secret="x")
    assert kinds(registry(traefik)) == ["HTTPRoute", "NetworkPolicy"]
    assert kinds(registry(traefik, network_policy=("a",))) == ["HTTPRoute"]
    assert kinds(registry(Gateway("a", "b"))) == ["Ingress", "Middleware", "NetworkPolicy"]


def test_an_image_can_be_given_by_digest() -> None:
    image = f"registry:3@sha256:{'0' * 64}"
    [container] = pod(registry(image=image))["containers"]
    assert container["image"] == image


def test_the_secret_of_replicas_is_an_object_of_the_registry() -> None:
    made = http_secret(registry(replicas=2), "foo-http", "random")
    assert made["metadata"]["labels"] == manifests(registry())[0]["metadata"]["labels"]
    assert base64.b64decode(made["data"]["secret"]) == b"random"
