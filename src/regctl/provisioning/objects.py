"""
The Kubernetes objects of a registry, rendered from its RegistrySpec without a cluster.

The registry is configured by its environment only: a change rolls out a new Pod, and no ConfigMap
can get out of step. The configuration file in the image is not replaced.
"""

import base64
from collections.abc import Mapping
from typing import Any

from regctl.cluster.ownership import OUR_LABELS, PART_OF
from regctl.cluster.resource import SECRETS, Resource
from regctl.provisioning.spec import Gateway, Ingress, RegistrySpec

DEPLOYMENTS = Resource("Deployment", "deployments", "/apis/apps/v1")
SERVICES = Resource("Service", "services")
CLAIMS = Resource("PersistentVolumeClaim", "persistentvolumeclaims")
INGRESSES = Resource("Ingress", "ingresses", "/apis/networking.k8s.io/v1")
POLICIES = Resource("NetworkPolicy", "networkpolicies", "/apis/networking.k8s.io/v1")
MIDDLEWARES = Resource("Middleware", "middlewares", "/apis/traefik.io/v1alpha1")
ROUTES = Resource("HTTPRoute", "httproutes", "/apis/gateway.networking.k8s.io/v1")

# What must be installed before the cluster has such a kind.
DEFINED_BY = {MIDDLEWARES: "Traefik", ROUTES: "the Gateway API"}

RESOURCES: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (
        *(SECRETS, CLAIMS, SERVICES, DEPLOYMENTS, POLICIES, MIDDLEWARES, INGRESSES, ROUTES),
    )
}

PART = "regctl-registry"
SELECTOR = ",".join(f"{key}={value}" for key, value in {PART_OF: PART, **OUR_LABELS}.items())
"""Selects the objects of every registry."""
INSTANCE = "app.kubernetes.io/instance"
# The API server labels each namespace with its name, from Kubernetes 1.21 on.
NAMESPACE_LABEL = "kubernetes.io/metadata.name"

# The annotations that `registry list` and `registry delete` read.
HOST = "regctl.registry/host"
AUTH = "regctl.registry/auth"
AUTH_SECRET = "regctl.registry/auth-secret"  # noqa: S105 - the name of an annotation

DEFAULT_STORAGE = "10Gi"

PORT = 5000
DATA = "/var/lib/registry"
NGINX = "nginx.ingress.kubernetes.io/"
_USERS = "/etc/registry/users"
_USER_ID = 1000
# Seconds that a proxy waits between two reads or writes, as distribution's documentation advises.
_PROXY_TIMEOUT = "900"


def manifests(registry: RegistrySpec) -> list[dict[str, Any]]:
    """Return the objects in the order to apply them; Secrets are not among them."""
    # The policy is first, so that the Pods are never open to all.
    policy = [_network_policy(registry)] if registry.network_policy else []
    core = [_claim(registry), _service(registry), *policy, _deployment(registry)]
    if isinstance(registry.entry, Gateway):
        return [*core, _route(registry, registry.entry)]
    middleware = [_middleware(registry)] if _has_middleware(registry) else []
    return [*core, *middleware, _ingress(registry, registry.entry)]


def http_secret(registry: RegistrySpec, name: str, content: str) -> dict[str, Any]:
    """Return the Secret that the replicas share."""
    data = {"secret": base64.b64encode(content.encode()).decode()}
    return _object(registry, SECRETS, name, type="Opaque", data=data)


def auth_secret_of(observed: Mapping[str, Any]) -> str | None:
    """Return the name of the auth Secret that an object of a registry is annotated with."""
    name: str | None = (observed["metadata"].get("annotations") or {}).get(AUTH_SECRET)
    return name


def entry_objects(name: str) -> list[tuple[Resource, str]]:
    """Return every object that may give or limit access to the registry *name*."""
    return [(INGRESSES, name), (MIDDLEWARES, f"{name}-auth"), (ROUTES, name), (POLICIES, name)]


def obsolete(registry: RegistrySpec) -> list[tuple[Resource, str]]:
    """Return the objects that other options would create and these do not."""
    needed = {(one["kind"], one["metadata"]["name"]) for one in manifests(registry)}
    return [
        (resource, name)
        for resource, name in entry_objects(registry.name)
        if (resource.kind, name) not in needed
    ]


def _object(registry: RegistrySpec, resource: Resource, name: str, **parts: Any) -> dict[str, Any]:
    annotations = parts.pop("annotations", {})
    return {
        "apiVersion": resource.prefix.removeprefix("/apis/").removeprefix("/api/"),
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": registry.namespace,
            "labels": {**instance_labels(registry), PART_OF: PART, **OUR_LABELS},
            **({"annotations": annotations} if annotations else {}),
        },
        **parts,
    }


def instance_labels(registry: RegistrySpec) -> dict[str, str]:
    """Return the labels of the registry's own objects and Pods."""
    return {"app.kubernetes.io/name": "registry", INSTANCE: registry.name}


def _annotations(registry: RegistrySpec) -> dict[str, str]:
    return {HOST: registry.host, AUTH: registry.checked_by, AUTH_SECRET: registry.auth_secret}


def _realm(registry: RegistrySpec) -> str:
    return f"Registry {registry.name}"


# Storage, Service and Deployment


def _claim(registry: RegistrySpec) -> dict[str, Any]:
    mode = registry.access_mode or ("ReadWriteMany" if registry.replicas > 1 else "ReadWriteOnce")
    claim: dict[str, Any] = {
        "accessModes": [mode],
        "resources": {"requests": {"storage": registry.storage or DEFAULT_STORAGE}},
    }
    if registry.storage_class is not None:
        claim["storageClassName"] = registry.storage_class
    return _object(
        registry, CLAIMS, registry.claim_name, annotations=_annotations(registry), spec=claim
    )


def _service(registry: RegistrySpec) -> dict[str, Any]:
    ports = [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}]
    existing = registry.existing
    selector = existing.service_selector or existing.labels or instance_labels(registry)
    service = {"selector": dict(selector), "ports": ports}
    return _object(registry, SERVICES, registry.name, spec=service)


def _deployment(registry: RegistrySpec) -> dict[str, Any]:
    existing, labels = registry.existing, instance_labels(registry)
    # A volume for one node cannot be attached while the old Pod uses it.
    strategy: dict[str, Any] = {"type": "Recreate"}
    if registry.replicas > 1:
        # Written in full: server-side apply removes fields that regctl set before, but not the
        # API server's defaults. Such a default would remain and make `Recreate` invalid.
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return _object(
        registry,
        DEPLOYMENTS,
        registry.name,
        annotations=_annotations(registry),
        spec={
            "replicas": registry.replicas,
            **({} if existing.foreign_pod else {"strategy": strategy}),
            "selector": dict(existing.selector) or {"matchLabels": labels},
            "template": {
                "metadata": {"labels": {**labels, **existing.labels}},
                "spec": _pod(registry),
            },
        },
    )


def _pod(registry: RegistrySpec) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {
            "name": registry.existing.volume,
            "persistentVolumeClaim": {"claimName": registry.claim_name},
        }
    ]
    if registry.checked_by == "registry":
        # 0440: the registry reads it through the group fsGroup.
        secret = {"secretName": registry.auth_secret, "defaultMode": 0o440}
        volumes.append({"name": "users", "secret": secret})
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "runAsUser": _USER_ID,
        "runAsGroup": _USER_ID,
        "fsGroup": _USER_ID,
        # Without it, each start changes the group of every file in the volume.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "automountServiceAccountToken": False,
        # A Service named `registry` would otherwise add REGISTRY_* variables to the environment,
        # which the registry reads as its configuration.
        "enableServiceLinks": False,
        **({} if registry.existing.foreign_pod else {"securityContext": security}),
        "containers": [_container(registry)],
        "volumes": volumes,
    }


def _container(registry: RegistrySpec) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [{"name": registry.existing.volume, "mountPath": DATA}]
    if registry.checked_by == "registry":
        # A folder, because a subPath mount never sees a change of the Secret.
        mounts.append({"name": "users", "mountPath": _USERS, "readOnly": True})
    security: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return {
        "name": registry.existing.container,
        "image": registry.image,
        "env": _environment(registry),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        **_probes(registry),
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        **({} if registry.existing.foreign_pod else {"securityContext": security}),
        "volumeMounts": mounts,
    }


def _probes(registry: RegistrySpec) -> dict[str, Any]:
    """
    Return the probes, which work without a password.

    If the registry checks passwords, it answers 401 to `/v2/`, which the kubelet takes for a
    failure, and a password in a probe could be read by everybody. `/` needs no password: it is
    200, or 503 while the storage fails (distribution, registry/registry.go: `alive` and
    `health.Handler`).
    """
    path = "/" if registry.checked_by == "registry" else "/v2/"
    return {
        "startupProbe": {
            "httpGet": {"path": path, "port": "http"},
            "periodSeconds": 2,
            "failureThreshold": 60,
        },
        "readinessProbe": {
            "httpGet": {"path": path, "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
        },
        # The port only: a restart does not repair storage that fails.
        "livenessProbe": {
            "tcpSocket": {"port": "http"},
            "periodSeconds": 20,
            "timeoutSeconds": 5,
        },
    }


def _environment(registry: RegistrySpec) -> list[dict[str, Any]]:
    values = {
        "REGISTRY_HTTP_ADDR": f":{PORT}",
        # Without it, the registry names the URL of an upload as it sees itself. Behind a proxy
        # that may be http://, where the push fails.
        "REGISTRY_HTTP_RELATIVEURLS": "true",
        # Less than the 30 seconds that a Pod has to terminate.
        "REGISTRY_HTTP_DRAINTIMEOUT": "25s",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": DATA,
        "REGISTRY_STORAGE_DELETE_ENABLED": "true" if registry.delete_enabled else "false",
        "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "true",
        # The configuration in the image registry:3 opens port 5001 to everybody, for profiles and
        # metrics, logs at level debug and exports traces.
        "REGISTRY_HTTP_DEBUG_ADDR": "",
        "REGISTRY_LOG_LEVEL": "info",
        "OTEL_TRACES_EXPORTER": "none",
    }
    if registry.maintenance:
        # As a map: with …_READONLY_ENABLED=true the registry panics when it starts.
        values["REGISTRY_STORAGE_MAINTENANCE_READONLY"] = '{"enabled": true}'
    if registry.checked_by == "registry":
        values["REGISTRY_AUTH_HTPASSWD_REALM"] = _realm(registry)
        values["REGISTRY_AUTH_HTPASSWD_PATH"] = f"{_USERS}/auth"
    # The API server does not store an empty value.
    environment: list[dict[str, Any]] = [
        {"name": name} | ({"value": value} if value else {}) for name, value in values.items()
    ]
    if registry.http_secret is not None:
        key = {"secretKeyRef": {"name": registry.http_secret, "key": "secret"}}
        environment.append({"name": "REGISTRY_HTTP_SECRET", "valueFrom": key})
    return environment


# Access


def _network_policy(registry: RegistrySpec) -> dict[str, Any]:
    """Admit the Pods of some namespaces only, by the label that each namespace has."""
    names = {"key": NAMESPACE_LABEL, "operator": "In", "values": list(registry.network_policy)}
    rule = {
        "from": [{"namespaceSelector": {"matchExpressions": [names]}}],
        "ports": [{"protocol": "TCP", "port": PORT}],
    }
    labels = registry.existing.labels or instance_labels(registry)
    policy = {
        "podSelector": {"matchLabels": dict(labels)},
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    }
    return _object(registry, POLICIES, registry.name, spec=policy)


def _ingress(registry: RegistrySpec, entry: Ingress) -> dict[str, Any]:
    traefik = entry.controller == "traefik"
    annotations = _traefik_annotations(registry) if traefik else _nginx_annotations(registry)
    if entry.cluster_issuer is not None:
        annotations["cert-manager.io/cluster-issuer"] = entry.cluster_issuer
    service = {"service": {"name": registry.name, "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": service}]
    certificate = entry.tls_secret or registry.existing.certificate or f"{registry.name}-tls"
    class_name = entry.class_name or entry.controller
    return _object(
        registry,
        INGRESSES,
        registry.name,
        annotations=annotations,
        spec={
            **({} if registry.existing.foreign_class else {"ingressClassName": class_name}),
            "tls": [{"hosts": [registry.host], "secretName": certificate}],
            "rules": [{"host": registry.host, "http": {"paths": paths}}],
        },
    )


def _nginx_annotations(registry: RegistrySpec) -> dict[str, str]:
    values = {
        "proxy-body-size": "0",
        # A layer is streamed to the registry, not buffered on the controller's disk.
        "proxy-request-buffering": "off",
        "proxy-read-timeout": _PROXY_TIMEOUT,
        "proxy-send-timeout": _PROXY_TIMEOUT,
    }
    if registry.checked_by == "ingress":
        values |= {
            "auth-type": "basic",
            "auth-secret": registry.auth_secret,
            "auth-realm": _realm(registry),
        }
    return {f"{NGINX}{key}": value for key, value in values.items()}


def _traefik_annotations(registry: RegistrySpec) -> dict[str, str]:
    """Traefik limits no body, and its timeouts belong to the entry point, not to an Ingress."""
    values = {"entrypoints": "websecure", "tls": "true"}
    if _has_middleware(registry):
        values["middlewares"] = f"{registry.namespace}-{registry.name}-auth@kubernetescrd"
    return {f"traefik.ingress.kubernetes.io/router.{k}": value for k, value in values.items()}


def _has_middleware(registry: RegistrySpec) -> bool:
    return registry.behind_traefik and registry.checked_by == "ingress"


def _middleware(registry: RegistrySpec) -> dict[str, Any]:
    basic = {"secret": registry.auth_secret, "realm": _realm(registry), "removeHeader": True}
    return _object(registry, MIDDLEWARES, f"{registry.name}-auth", spec={"basicAuth": basic})


def _route(registry: RegistrySpec, gateway: Gateway) -> dict[str, Any]:
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": registry.name, "port": PORT}],
        # No time limit, because a large layer can take long.
        "timeouts": {"request": "0s"},
    }
    parent = {"name": gateway.name, "namespace": gateway.namespace}
    route = {"parentRefs": [parent], "hostnames": [registry.host], "rules": [rule]}
    return _object(registry, ROUTES, registry.name, spec=route)
