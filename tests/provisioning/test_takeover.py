"""What is kept of an existing registry, and what cannot be taken over."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from regctl.cluster.resource import Resource
from regctl.errors import ForeignObjectError, ImmutableError
from regctl.provisioning.objects import manifests
from regctl.provisioning.spec import Ingress, RegistrySpec
from regctl.provisioning.takeover import claim_of, keep_existing
from tests.provisioning.guide import DATA, HOST, NAME, guide
from tests.provisioning.specs import ISSUED, registry

Objects = dict[str, dict[str, Any]]
NGINX = "nginx.ingress.kubernetes.io/"


@pytest.fixture
def present() -> Objects:
    """The guide's objects by kind."""
    return {one["kind"]: one for one in guide("team")}


def kept(present: Mapping[str, Any], entry: Ingress = ISSUED, **options: Any) -> RegistrySpec:
    def find(resource: Resource) -> dict[str, Any] | None:
        found: dict[str, Any] | None = present.get(resource.kind)
        return found

    given = {"name": NAME, "host": HOST, "auth_secret": "registry-basic-auth"}
    return keep_existing(registry(entry, **{**given, **options}), find)


def rendered(spec: RegistrySpec) -> Objects:
    return {one["kind"]: one for one in manifests(spec)}


def container(present: Objects) -> dict[str, Any]:
    [one] = present["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(one)


def set_container(present: Objects, **fields: Any) -> None:
    [one] = present["Deployment"]["spec"]["template"]["spec"]["containers"]
    one.update(fields)


def set_env(name: str, value: str = "x") -> Callable[[Objects], None]:
    def change(present: Objects) -> None:
        set_container(present, env=[*container(present)["env"], {"name": name, "value": value}])

    return change


def set_mount(path: str, **more: Any) -> Callable[[Objects], None]:
    def change(present: Objects) -> None:
        mount = {"name": "registry-data", "mountPath": path}
        set_container(present, volumeMounts=[*more.get("others", ()), mount])

    return change


def set_volume(present: Objects) -> None:
    pod = present["Deployment"]["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "registry-data", "emptyDir": {}}]


def set_selector(selector: dict[str, str] | None) -> Callable[[Objects], None]:
    return lambda present: present["Service"]["spec"].update(selector=selector)


def set_rules(host: str, service: str) -> Callable[[Objects], None]:
    path = {"path": "/", "backend": {"service": {"name": service}}}
    rule = {"host": host, "http": {"paths": [path]}}
    return lambda present: present["Ingress"]["spec"].update(rules=[rule])


def annotate(key: str, value: str) -> Callable[[Objects], None]:
    return lambda present: present["Ingress"]["metadata"]["annotations"].update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_volume, f"not exactly one container has a claim at {DATA}"),
        (set_mount("/data"), "not exactly one container"),
        (set_env("REGISTRY_STORAGE_S3_BUCKET"), "how to keep REGISTRY_STORAGE_S3_BUCKET"),
        (set_env("REGISTRY_AUTH"), "how to keep REGISTRY_AUTH"),
        (set_env("REGISTRY_HTTP_ADDR", ":80"), "how to keep REGISTRY_HTTP_ADDR=:80"),
        (set_env("REGISTRY_HTTP_TLS_KEY"), "REGISTRY_HTTP_TLS_KEY"),
        (lambda present: set_container(present, args=["serve", "x"]), "how to keep args"),
        (set_mount(DATA, others=[{"name": "c", "mountPath": "/etc/docker/registry"}]), "the file"),
        (set_selector({"app": "other"}), "its selector, app=other, does not select"),
        (set_selector(None), "its selector, none, does not select"),
        (set_rules("ui.foo.com", NAME), "it also serves ui.foo.com"),
        (set_rules(HOST, "ui"), f"it also serves {HOST}, from service ui"),
        (annotate(f"{NGINX}auth-secret", "team/users"), "pass `--auth-secret team/users`"),
        (annotate(f"{NGINX}auth-url", "https://sso"), "another service checks its passwords"),
        (
            lambda present: present["Ingress"]["spec"].update(ingressClassName="traefik"),
            "pass `--ingress-class traefik`",
        ),
    ],
)
def test_what_would_break_is_refused(
    present: Objects, change: Callable[[Objects], None], message: str
) -> None:
    change(present)
    with pytest.raises(ForeignObjectError, match="cannot take over") as error:
        kept(present)
    assert message in error.value.message


@pytest.mark.parametrize(
    "change",
    [
        set_env("REGISTRY_LOG_LEVEL"),
        set_env("REGISTRY_HTTP_SECRET"),
        set_env("REGISTRY_HTTP_ADDR", "0.0.0.0:5000"),
        annotate(f"{NGINX}auth-secret", "registry-basic-auth"),
    ],
)
def test_harmless_settings_are_taken_over(
    present: Objects, change: Callable[[Objects], None]
) -> None:
    change(present)
    assert kept(present).claim == "registry-data"


def test_a_selector_of_a_service_may_name_fewer_labels_than_the_deployment(
    present: Objects,
) -> None:
    selector = present["Deployment"]["spec"]["selector"]["matchLabels"]
    present["Deployment"]["spec"]["template"]["metadata"]["labels"] = {**selector, "tier": "x"}
    present["Service"]["spec"]["selector"] = {"tier": "x"}
    made = rendered(kept(present))
    assert made["Service"]["spec"]["selector"] == {"tier": "x"}
    assert made["Deployment"]["spec"]["selector"] == {"matchLabels": selector}
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert {**selector, "tier": "x"}.items() <= labels.items()


def test_a_new_service_selects_the_running_pods(present: Objects) -> None:
    del present["Service"]
    assert rendered(kept(present))["Service"]["spec"]["selector"] == {"app": "registry"}
    present["Deployment"]["spec"]["selector"] = {
        "matchExpressions": [{"key": "app", "operator": "Exists"}]
    }
    assert rendered(kept(present))["Service"]["spec"]["selector"] == {"app": "registry"}


def test_another_claim_than_the_mounted_one_is_an_error(present: Objects) -> None:
    assert claim_of(present["Deployment"]) == "registry-data"
    assert kept(present, claim="registry-data").claim_name == "registry-data"
    with pytest.raises(ImmutableError, match="its images are in registry-data"):
        kept(present, claim="other")


def test_the_class_and_an_issued_certificate_are_kept_unless_named(present: Objects) -> None:
    present["Ingress"]["spec"]["tls"][0]["secretName"] = "cert"
    present["Ingress"]["spec"]["ingressClassName"] = "public"

    def made(entry: Ingress) -> tuple[str | None, str]:
        spec = rendered(kept(present, entry))["Ingress"]["spec"]
        return spec.get("ingressClassName"), spec["tls"][0]["secretName"]

    assert made(ISSUED) == (None, "cert")
    assert made(Ingress(class_name="other", tls_secret="mine")) == ("other", "mine")
    # cert-manager must not write into a Secret that it does not write now.
    del present["Ingress"]["metadata"]["annotations"]["cert-manager.io/cluster-issuer"]
    assert made(ISSUED) == (None, f"{NAME}-tls")


def test_a_new_registry_has_its_own_names() -> None:
    spec = kept({})
    assert (spec.claim_name, spec.existing.container) == (NAME, "registry")
