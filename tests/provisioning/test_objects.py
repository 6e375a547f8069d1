"""The objects of a library: what each option does to them, and what can't be asked for."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from regctl.errors import (
    ImmutableError,
    InvalidInputError,
    InvalidObjectNameError,
    InvalidReferenceError,
    RegctlError,
)
from regctl.provisioning.objects import Gateway, Ingress, RegistrySpec, canonical, quantity

ISSUED = Ingress(cluster_issuer="letsencrypt")


def library(entry: Ingress | Gateway = ISSUED, **options: Any) -> RegistrySpec:
    given = {"name": "foo", "host": "registry.foo.com", "namespace": "team", "auth_secret": "users"}
    return RegistrySpec(**{**given, **options}, entry=entry)


def objects(wanted: RegistrySpec) -> dict[str, dict[str, Any]]:
    return {manifest["kind"]: manifest for manifest in wanted.manifests()}


def pod(wanted: RegistrySpec) -> dict[str, Any]:
    spec: dict[str, Any] = objects(wanted)["Deployment"]["spec"]["template"]["spec"]
    return spec


def environment(wanted: RegistrySpec) -> dict[str, str]:
    [container] = pod(wanted)["containers"]
    return {one["name"]: one.get("value", "from a Secret") for one in container["env"]}


def annotations(wanted: RegistrySpec) -> dict[str, str]:
    found: dict[str, str] = objects(wanted)["Ingress"]["metadata"]["annotations"]
    return {key.rpartition("/")[2]: value for key, value in found.items()}


def test_every_object_says_whose_it_is_and_what_it_is_part_of() -> None:
    for manifest in library().manifests():
        assert manifest["metadata"]["namespace"] == "team"
        assert manifest["metadata"]["labels"] == {
            "app.kubernetes.io/name": "registry",
            "app.kubernetes.io/instance": "foo",
            "app.kubernetes.io/part-of": "regctl-library",
            "app.kubernetes.io/managed-by": "regctl",
        }


def test_the_parts_fit_together() -> None:
    """Selectors select, ports and volumes have the same names at both ends."""
    for entry in (ISSUED, Gateway("infra", "public")):
        made = objects(library(entry))
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
        assert environment(library(entry))["REGISTRY_HTTP_ADDR"] == ":5000"
        assert service_port["port"] == container_port["containerPort"] == 5000


def test_the_pod_has_no_right_that_it_does_not_need() -> None:
    spec = pod(library())
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
    [container] = pod(library(entry, auth=auth))["containers"]
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    assert container["livenessProbe"]["tcpSocket"] == {"port": "http"}


def test_the_ingress_asks_for_passwords_and_limits_no_layer() -> None:
    assert annotations(library()) == {
        "proxy-body-size": "0",
        "proxy-request-buffering": "off",
        "proxy-read-timeout": "900",
        "proxy-send-timeout": "900",
        "auth-type": "basic",
        "auth-secret": "users",
        "auth-realm": "Registry foo",
        "cluster-issuer": "letsencrypt",
    }
    assert library().consumer.name == "ingress-nginx"


def test_traefik_asks_by_a_middleware_of_its_own() -> None:
    wanted = library(Ingress("traefik", tls_secret="cert"))
    made = objects(wanted)
    assert list(made)[-2:] == ["Middleware", "Ingress"]
    assert made["Middleware"]["spec"]["basicAuth"]["secret"] == "users"
    assert annotations(wanted) == {
        "router.entrypoints": "websecure",
        "router.tls": "true",
        "router.middlewares": "team-foo-auth@kubernetescrd",
    }
    assert wanted.consumer.name == "traefik"


@pytest.mark.parametrize("entry", [ISSUED, Ingress("traefik", tls_secret="cert")])
def test_where_the_registry_asks_the_ingress_does_not(entry: Ingress) -> None:
    wanted = library(entry, auth="registry")
    assert "Middleware" not in objects(wanted)
    assert not [key for key in annotations(wanted) if "auth" in key or "middlewares" in key]
    assert wanted.consumer.name == "distribution"


def test_the_registry_reads_its_users_from_a_folder() -> None:
    """A file mounted by itself, by subPath, would never change."""
    wanted = library(auth="registry")
    [container] = pod(wanted)["containers"]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "users"]
    assert mount == {"name": "users", "mountPath": "/etc/registry/users", "readOnly": True}
    assert environment(wanted)["REGISTRY_AUTH_HTPASSWD_PATH"] == "/etc/registry/users/auth"
    [volume] = [one for one in pod(wanted)["volumes"] if one["name"] == "users"]
    assert volume["secret"]["secretName"] == "users"
    assert not [name for name in environment(library()) if "AUTH" in name]


def test_a_route_names_its_gateway_and_its_host_and_has_no_time_limit() -> None:
    made = objects(library(Gateway("infra", "public")))
    spec = made["HTTPRoute"]["spec"]
    assert "Ingress" not in made
    assert spec["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert spec["hostnames"] == ["registry.foo.com"]
    assert spec["rules"][0]["timeouts"] == {"request": "0s"}


@pytest.mark.parametrize(
    ("entry", "secret"),
    [(ISSUED, "foo-tls"), (Ingress(tls_secret="cert"), "cert")],
)
def test_the_certificate_is_issued_or_given(entry: Ingress, secret: str) -> None:
    spec = objects(library(entry))["Ingress"]["spec"]
    assert spec["tls"] == [{"hosts": ["registry.foo.com"], "secretName": secret}]


def test_the_class_may_have_another_name_than_its_controller() -> None:
    for entry, name in (
        (ISSUED, "nginx"),
        (Ingress("traefik", None, "x"), "traefik"),
        (Ingress("nginx", "public", "x"), "public"),
    ):
        assert objects(library(entry))["Ingress"]["spec"]["ingressClassName"] == name


def test_deletion_and_maintenance_are_off_unless_asked_for() -> None:
    assert environment(library())["REGISTRY_STORAGE_DELETE_ENABLED"] == "false"
    assert "REGISTRY_STORAGE_MAINTENANCE_READONLY" not in environment(library())
    asked = environment(library(delete_enabled=True, maintenance=True))
    assert asked["REGISTRY_STORAGE_DELETE_ENABLED"] == "true"
    assert json.loads(asked["REGISTRY_STORAGE_MAINTENANCE_READONLY"]) == {"enabled": True}


def test_one_replica_is_replaced_and_several_roll_with_a_shared_volume_and_secret() -> None:
    one, two = library(), library(replicas=2)
    assert objects(one)["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert objects(one)["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "REGISTRY_HTTP_SECRET" not in environment(one)
    assert objects(two)["Deployment"]["spec"]["strategy"]["type"] == "RollingUpdate"
    assert objects(two)["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert environment(two)["REGISTRY_HTTP_SECRET"] == "from a Secret"
    assert (one.http_secret, two.http_secret) == (None, "foo-http")


def test_what_is_unwanted_is_every_other_way_in() -> None:
    def unwanted(wanted: RegistrySpec) -> Sequence[str]:
        return [resource.kind for resource, _ in wanted.unwanted()]

    assert unwanted(library()) == ["Middleware", "HTTPRoute"]
    assert unwanted(library(Ingress("traefik", tls_secret="x"))) == ["HTTPRoute"]
    assert unwanted(library(Gateway("a", "b"))) == ["Ingress", "Middleware"]


# The volume


@pytest.mark.parametrize(
    ("text", "written", "size"),
    [
        ("10Gi", "10Gi", 10 * 2**30),
        ("1.5Ti", "1536Gi", 3 * 2**39),
        ("1024Mi", "1Gi", 2**30),
        ("2000G", "2T", 2 * 10**12),
        ("500", "500", 500),
        ("0.5k", "500", 500),
        ("1000", "1k", 1000),
    ],
)
def test_a_size_is_written_as_the_api_server_does(text: str, written: str, size: int) -> None:
    assert (canonical(text), quantity(text)) == (written, size)


@pytest.mark.parametrize("text", ["", "ten", "0", "0Gi", "-1Gi", "10 Gi", "10GB", "1.5", "0.3Ki"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not a size"):
        quantity(text)


def claim(
    size: str = "20Gi", mode: str = "ReadWriteOnce", cls: str | None = None
) -> dict[str, Any]:
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": size}}}
    return {"spec": {**spec, "storageClassName": cls} if cls else spec}


def test_a_volume_that_is_there_is_kept_and_may_grow() -> None:
    def kept(there: dict[str, Any], *, owns: bool = False, **options: Any) -> dict[str, Any]:
        made = objects(library(**options).keeping(there, owns_class=owns))
        spec: dict[str, Any] = made["PersistentVolumeClaim"]["spec"]
        return spec

    assert kept(claim()) == claim()["spec"]
    assert kept(claim(), storage="30Gi") == claim("30Gi")["spec"]
    assert kept(claim(mode="ReadWriteMany")) == claim(mode="ReadWriteMany")["spec"]
    # A class that the cluster chose is not ours to ask for.
    assert kept(claim(cls="default")) == claim()["spec"]
    assert kept(claim(cls="fast"), owns=True) == claim(cls="fast")["spec"]
    assert kept(claim(cls="fast"), storage_class="fast") == claim(cls="fast")["spec"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"storage": "10Gi"}, "can't get smaller"),
        ({"storage_class": "slow"}, "its storage class is fast"),
        ({"replicas": 2}, "it is ReadWriteOnce"),
    ],
)
def test_what_would_need_another_volume_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ImmutableError, match=said):
        library(**options).keeping(claim(cls="fast"), owns_class=True)


# What can't be asked for


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": "Foo"}, InvalidObjectNameError),
        ({"name": "1foo"}, InvalidObjectNameError),
        ({"name": "a" * 64}, InvalidObjectNameError),
        ({"host": "registry.foo.com:5000"}, InvalidInputError),
        ({"host": "10.0.0.1"}, InvalidInputError),
        ({"host": "[::1]"}, InvalidInputError),
        ({"host": "under_score.foo.com"}, RegctlError),
        ({"image": "registry 3"}, InvalidReferenceError),
        ({"storage_class": "Fast"}, InvalidObjectNameError),
        ({"auth_secret": "Users"}, InvalidObjectNameError),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], error: type[RegctlError]) -> None:
    with pytest.raises(error):
        library(**options)


def test_an_image_may_be_named_by_digest() -> None:
    image = f"registry:3@sha256:{'0' * 64}"
    [container] = pod(library(image=image))["containers"]
    assert container["image"] == image


def test_what_people_paste_as_host_is_taken() -> None:
    assert library(host="https://Registry.Foo.com/v2/_catalog").host == "registry.foo.com"


def test_a_gateway_cannot_ask_for_passwords() -> None:
    with pytest.raises(InvalidInputError, match="has no filter for that"):
        library(Gateway("infra", "public"), auth="ingress")
    assert library(Gateway("infra", "public")).checked_by == "registry"


@pytest.mark.parametrize("text", ["public", "infra/", "/public", "a/b/c", "Infra/public"])
def test_a_gateway_has_a_namespace_and_a_name(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Gateway.parse(text)
