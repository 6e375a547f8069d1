"""
Take over what exists of a registry: what its running Pods depend on is kept.

These are the selectors, the container, the volume claim, and whatever the Pod needs to read its
files. A setting that regctl does not understand is an error, before anything is changed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from regctl.cluster import drift
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import read_ownership
from regctl.cluster.resource import Resource
from regctl.errors import ForeignObjectError, ImmutableError
from regctl.provisioning.objects import (
    CLAIMS,
    DATA,
    DEPLOYMENTS,
    INGRESSES,
    INSTANCE,
    NGINX,
    PORT,
    SELECTOR,
    SERVICES,
    instance_labels,
)
from regctl.provisioning.spec import Existing, Ingress, RegistrySpec

Find = Callable[[Resource], dict[str, Any] | None]

# Settings that work as before beside those that regctl writes.
_KNOWN = re.compile(
    r"REGISTRY_(LOG|REDIS|NOTIFICATIONS|HEALTH|CATALOG|VALIDATION"
    r"|HTTP_(ADDR|SECRET|HEADERS|HOST|HTTP2|DEBUG|RELATIVEURLS|DRAINTIMEOUT)"
    r"|STORAGE_(FILESYSTEM|CACHE|DELETE|REDIRECT))(_|$)"
)
# Settings whose value must be the one that regctl writes.
_REQUIRED = {
    "REGISTRY_HTTP_ADDR": {f":{PORT}", f"0.0.0.0:{PORT}"},
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": {DATA},
}
_CONFIGURATION = ("/etc/docker/registry", "/etc/distribution")
_ISSUERS = {"cert-manager.io/cluster-issuer", "cert-manager.io/issuer"}


def keep_existing(spec: RegistrySpec, find: Find) -> RegistrySpec:
    """
    Return *spec* with what must stay of the objects that *find* returns by their kind.

    *find* returns None for an object that does not exist or is not to be changed. Raises
    ForeignObjectError if the existing registry cannot be taken over, and ImmutableError if *spec*
    needs another volume than it has.
    """
    deployment, service, ingress = map(find, (DEPLOYMENTS, SERVICES, INGRESSES))
    if deployment is not None:
        spec = _keep_pod(spec, deployment)
    if service is not None:
        spec = _keep_service(spec, service, deployment)
    if ingress is not None and isinstance(spec.entry, Ingress):
        spec = replace(spec, existing=_keep_ingress(spec, spec.entry, ingress))
    return spec


def claim_of(deployment: Mapping[str, Any]) -> str | None:
    """Return the name of the volume claim with a registry's images, or None if there are more."""
    mounted = list(_mounted_claims(deployment))
    return mounted[0][2] if len(mounted) == 1 else None


def kept_claims(cluster: Cluster, namespace: str, name: str) -> list[str]:
    """Return the names of the volume claims that belong to the registry *name*."""
    label_selector = f"{SELECTOR},{INSTANCE}={name}"
    claims = cluster.list(CLAIMS, namespace=namespace, label_selector=label_selector)
    return sorted(claim["metadata"]["name"] for claim in claims)


def asks_for_password(ingress: Mapping[str, Any]) -> bool:
    """Whether ingress-nginx checks passwords for this Ingress."""
    return f"{NGINX}auth-type" in (ingress["metadata"].get("annotations") or {})


def reads_users(spec: RegistrySpec, ingress: Mapping[str, Any]) -> bool:
    """Whether ingress-nginx checks passwords for this Ingress in the auth Secret of *spec*."""
    return (
        asks_for_password(ingress)
        and spec.checked_by == "ingress"
        and _auth_secret(spec, ingress) == spec.auth_secret
    )


def _keep_pod(spec: RegistrySpec, deployment: Mapping[str, Any]) -> RegistrySpec:
    mounted = list(_mounted_claims(deployment))
    if len(mounted) != 1:
        raise _cannot(
            spec, deployment, DEPLOYMENTS, f"not exactly one container has a claim at {DATA}"
        )
    container, volume, claim = mounted[0]
    if spec.claim not in {None, claim}:
        raise ImmutableError(
            f"cannot use volume claim {spec.claim} for registry {spec.name} in namespace "
            f"{spec.namespace}: its images are in {claim}",
            hint="leave out `--claim` to keep it",
        )
    managed = read_ownership(deployment["metadata"]).managed
    if not managed and (unknown := ", ".join(_unknown_settings(container))):
        raise _cannot(spec, deployment, DEPLOYMENTS, f"regctl does not know how to keep {unknown}")
    selector, template = deployment["spec"]["selector"], deployment["spec"]["template"]
    return replace(
        spec,
        claim=claim,
        existing=Existing(
            selector=selector,
            labels=selector.get("matchLabels") or template["metadata"]["labels"],
            container=container["name"],
            volume=volume,
            foreign_pod=not drift.owns(deployment, "spec", "template", "spec", "securityContext"),
        ),
    )


def _keep_service(
    spec: RegistrySpec, service: Mapping[str, Any], deployment: Mapping[str, Any] | None
) -> RegistrySpec:
    """Keep the selector if it selects the Pods; only a Service of regctl may get another."""
    labels: Mapping[str, str] = instance_labels(spec)
    if deployment is not None:
        labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
    selector = service["spec"].get("selector") or {}
    if selector and selector.items() <= labels.items():
        kept = replace(
            spec.existing,
            service_selector=selector,
            labels={**spec.existing.labels, **selector},
        )
        return replace(spec, existing=kept)
    if not read_ownership(service["metadata"]).managed:
        shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "none"
        raise _cannot(
            spec, service, SERVICES, f"its selector, {shown}, does not select the registry's Pods"
        )
    return spec


def _keep_ingress(spec: RegistrySpec, entry: Ingress, ingress: Mapping[str, Any]) -> Existing:
    """Keep the class, unless one is named, and a certificate that cert-manager issues already."""
    if not read_ownership(ingress["metadata"]).managed:
        problem = next(_ingress_problems(spec, entry, ingress), None)
        if problem is not None:
            raise _cannot(spec, ingress, INGRESSES, problem)
    issued = [
        tls.get("secretName")
        for tls in ingress["spec"].get("tls") or ()
        if spec.host in (tls.get("hosts") or ())
        and _ISSUERS & (ingress["metadata"].get("annotations") or {}).keys()
    ]
    return replace(
        spec.existing,
        foreign_class=not (
            entry.class_name
            or drift.owns(ingress, "spec", "ingressClassName")
            or _other_class(entry, ingress)
        ),
        certificate=issued[0] if issued else None,
    )


def _ingress_problems(
    spec: RegistrySpec, entry: Ingress, ingress: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what would be lost of an Ingress that regctl did not create."""
    for rule in ingress["spec"].get("rules") or ():
        paths = (rule.get("http") or {}).get("paths") or ()
        services = {(path["backend"].get("service") or {}).get("name") for path in paths}
        if rule.get("host") != spec.host or services != {spec.name}:
            yield f"it also serves {rule.get('host', 'all hosts')}, from {_joined(services)}"
    annotations, secret = ingress["metadata"].get("annotations") or {}, _auth_secret(spec, ingress)
    if secret != spec.auth_secret:
        yield f"its users are in secret {secret}: pass `--auth-secret {spec.namespace}/{secret}`"
    if f"{NGINX}auth-url" in annotations:
        yield f"another service checks its passwords ({NGINX}auth-url)"
    if entry.class_name is None and (other := _other_class(entry, ingress)):
        yield f"its class is {other}: pass `--ingress-class {other}`"


def _auth_secret(spec: RegistrySpec, ingress: Mapping[str, Any]) -> str:
    """Return the name of the Secret that ingress-nginx reads, by default that of *spec*."""
    annotations = ingress["metadata"].get("annotations") or {}
    return str(annotations.get(f"{NGINX}auth-secret", spec.auth_secret)).rpartition("/")[2]


def _other_class(entry: Ingress, ingress: Mapping[str, Any]) -> str | None:
    """Return the class of the Ingress if it is another controller's."""
    present: str | None = ingress["spec"].get("ingressClassName")
    return present if present in {"nginx", "traefik"} - {entry.controller} else None


def _joined(names: set[str | None]) -> str:
    return ", ".join(sorted(f"service {name}" for name in names if name)) or "no service"


def _mounted_claims(
    deployment: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    """Yield each container with a claim at the registry's folder, the volume and the claim."""
    pod = deployment["spec"]["template"]["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod.get("volumes") or ()
        if "persistentVolumeClaim" in volume
    }
    for container in pod["containers"]:
        for mount in container.get("volumeMounts") or ():
            if mount["mountPath"] == DATA and mount["name"] in claims:
                yield container, mount["name"], claims[mount["name"]]


def _unknown_settings(container: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings with which the registry might not start or answer after a change."""
    yield from (key for key in ("command", "args", "envFrom") if container.get(key))
    for mount in container.get("volumeMounts") or ():
        if mount["mountPath"].startswith(_CONFIGURATION):
            yield f"the file in {mount['mountPath']}"
    for one in container.get("env") or ():
        name, value = one["name"], one.get("value", "")
        if name in _REQUIRED and value not in _REQUIRED[name]:
            yield f"{name}={value}"
        elif name.startswith("REGISTRY_") and _KNOWN.match(name) is None:
            yield name


def _cannot(
    spec: RegistrySpec, observed: Mapping[str, Any], resource: Resource, reason: str
) -> ForeignObjectError:
    return ForeignObjectError(
        f"cannot take over {resource.noun} {observed['metadata']['name']} in namespace "
        f"{spec.namespace}: {reason}",
        hint="change that first, or give the registry another name",
    )
