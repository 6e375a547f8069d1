"""
A private registry on Kubernetes, as the objects that it is made of. Nothing here asks anybody.

The registry is configured by its environment alone: a change of it rolls the Pod out, and there is
one object less to keep in step. Its own file in the image stays as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from regctl.authfile.readers import READERS, AuthFileReader
from regctl.cluster.ownership import OUR_LABELS, PART_OF
from regctl.cluster.resource import SECRETS, Resource, check_namespace, check_object_name
from regctl.errors import ImmutableError, InvalidInputError, InvalidObjectNameError
from regctl.reference import ImageReference, Registry

DEPLOYMENTS = Resource("Deployment", "deployments", "/apis/apps/v1")
SERVICES = Resource("Service", "services")
CLAIMS = Resource("PersistentVolumeClaim", "persistentvolumeclaims")
INGRESSES = Resource("Ingress", "ingresses", "/apis/networking.k8s.io/v1")
MIDDLEWARES = Resource("Middleware", "middlewares", "/apis/traefik.io/v1alpha1")
ROUTES = Resource("HTTPRoute", "httproutes", "/apis/gateway.networking.k8s.io/v1")

# What must be installed before the cluster knows such an object.
DEFINED_BY = {MIDDLEWARES: "Traefik", ROUTES: "the Gateway API"}

RESOURCES: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (SECRETS, CLAIMS, SERVICES, DEPLOYMENTS, MIDDLEWARES, INGRESSES, ROUTES)
}

PART = "regctl-library"
SELECTOR = ",".join(f"{key}={value}" for key, value in {PART_OF: PART, **OUR_LABELS}.items())
"""The labels that every library has."""
INSTANCE = "app.kubernetes.io/instance"

# Where `library list` and `library delete` read what they can't know otherwise.
HOST = "regctl.library/host"
AUTH = "regctl.library/auth"
AUTH_SECRET = "regctl.library/auth-secret"  # noqa: S105 - the name of an annotation

DEFAULT_IMAGE = "registry:3"
DEFAULT_STORAGE = "10Gi"

Auth = Literal["ingress", "registry"]
Controller = Literal["nginx", "traefik"]

_PORT = 5000
_DATA = "/var/lib/registry"
_USERS = "/etc/registry/users"
_USER_ID = 1000
# Seconds that a proxy waits between two reads or writes: what distribution's documentation advises.
_PATIENCE = "900"
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST = 63
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([kMGTPE]|[KMGTPE]i)?")
_UNITS: Mapping[str, int] = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)},
}


def quantity(text: str) -> int:
    """Return how many bytes `10Gi` is. Raises InvalidInputError."""
    match = _QUANTITY.fullmatch(text)
    size = Decimal(match[1]) * _UNITS[match[2] or ""] if match else Decimal()
    if not size or size != int(size):
        raise InvalidInputError(f"not a size: {text!r}", hint="a size is like 10Gi or 500G")
    return int(size)


def canonical(text: str) -> str:
    """Return a size as the API server writes it, `1536Gi` for `1.5Ti`. Raises InvalidInputError."""
    size, base, mark = quantity(text), 1000, ""
    units = "kMGTPE"
    if text.endswith("i"):
        base, mark, units = 1024, "i", "KMGTPE"
    for power in range(len(units), 0, -1):
        if size % base**power == 0:
            return f"{size // base**power}{units[power - 1]}{mark}"
    return str(size)


@dataclass(frozen=True)
class Ingress:
    """
    The way in through an Ingress, for *controller*; *class_name* where its class has another name.

    The certificate is in *tls_secret*, or made by cert-manager's *cluster_issuer*.
    """

    controller: Controller = "nginx"
    class_name: str | None = None
    cluster_issuer: str | None = None
    tls_secret: str | None = None

    def __post_init__(self) -> None:
        if (self.cluster_issuer is None) == (self.tls_secret is None):
            raise InvalidInputError(
                "one certificate is needed: docker speaks HTTPS",
                hint="pass --cluster-issuer NAME, of cert-manager, or --tls-secret NAME",
            )
        check_object_name(self.cluster_issuer or self.tls_secret or "", "certificate's source")
        check_object_name(self.class_name or self.controller, "IngressClass")


@dataclass(frozen=True)
class Gateway:
    """The way in through a Gateway of the Gateway API, which holds the certificate itself."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Gateway":
        """Read `NAMESPACE/NAME`. Raises InvalidInputError."""
        namespace, slash, name = text.partition("/")
        if not slash:
            raise InvalidInputError(
                f"not a Gateway: {text!r}", hint="pass --gateway NAMESPACE/NAME"
            )
        return cls(check_namespace(namespace), check_object_name(name, "Gateway"))


@dataclass(frozen=True)
class Claim:
    """What the volume claim asks for: as wanted, or as one that is there already."""

    storage: str
    access_mode: str
    storage_class: str | None = None


@dataclass(frozen=True)
class RegistrySpec:
    """
    One private registry: what is asked for, and the objects that bring it about.

    *auth* says who checks passwords: the ingress, or the registry; None is the first that can.
    *storage* and *storage_class* None keep those of a volume that is there already. Raises
    InvalidInputError, InvalidObjectNameError and InvalidReferenceError for what can't be right.
    """

    name: str
    host: str
    namespace: str
    entry: Ingress | Gateway
    auth_secret: str
    auth: Auth | None = None
    image: str = DEFAULT_IMAGE
    replicas: int = 1
    storage: str | None = None
    storage_class: str | None = None
    delete_enabled: bool = False
    maintenance: bool = False
    claim: Claim | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_namespace(self.namespace)
        check_object_name(self.auth_secret, "Secret")
        object.__setattr__(self, "host", _checked_host(self.host))
        ImageReference.parse(self.image)
        if self.storage is not None:
            object.__setattr__(self, "storage", canonical(self.storage))
        if self.storage_class is not None:
            check_object_name(self.storage_class, "StorageClass")
        if self.auth == "ingress" and isinstance(self.entry, Gateway):
            raise InvalidInputError(
                "a Gateway cannot ask for passwords: the Gateway API has no filter for that",
                hint="leave --auth out, or pass --auth registry: the registry asks itself",
            )

    # What follows from it

    @property
    def checked_by(self) -> Auth:
        """Who checks passwords."""
        return self.auth or ("registry" if isinstance(self.entry, Gateway) else "ingress")

    @property
    def behind_traefik(self) -> bool:
        """Whether Traefik's Ingress is the way in."""
        return isinstance(self.entry, Ingress) and self.entry.controller == "traefik"

    @property
    def consumer(self) -> AuthFileReader:
        """Who reads the auth Secret."""
        if self.checked_by == "registry":
            return READERS["distribution"]
        return READERS["traefik" if self.behind_traefik else "ingress-nginx"]

    @property
    def http_secret(self) -> str | None:
        """The Secret that several replicas must share, to go on with each other's uploads."""
        return f"{self.name}-http" if self.replicas > 1 else None

    @property
    def labels(self) -> dict[str, str]:
        """The labels of every object of it."""
        return {**self._selector, PART_OF: PART, **OUR_LABELS}

    @property
    def _selector(self) -> dict[str, str]:
        return {"app.kubernetes.io/name": "registry", INSTANCE: self.name}

    def keeping(self, claim: Mapping[str, Any], *, owns_class: bool) -> "RegistrySpec":
        """
        Return it with the volume that is there: what can't be changed, and what is not asked for.

        *owns_class* tells whether regctl asked for its storage class. Raises ImmutableError for
        what would need another volume.
        """
        spec = claim.get("spec") or {}
        modes, there = spec.get("accessModes") or [], spec.get("storageClassName")
        size = str(((spec.get("resources") or {}).get("requests") or {}).get("storage", ""))
        cannot = f"cannot change volume claim {self.name} in namespace {self.namespace}"
        wanted = self.storage or size
        if quantity(wanted) < quantity(size):
            raise ImmutableError(
                f"{cannot}: it has {size}, and a volume can't get smaller than it is",
                hint="leave --storage out to keep it",
            )
        if self.storage_class not in {None, there}:
            raise ImmutableError(
                f"{cannot}: its storage class is {there}, and can't be changed",
                hint="leave --storage-class out to keep it",
            )
        if self.replicas > 1 and "ReadWriteMany" not in modes:
            raise ImmutableError(
                f"{cannot}: it is {', '.join(modes)}, and replicas on several nodes need "
                "ReadWriteMany",
                hint="pass --replicas 1, or make another library",
            )
        name = there if owns_class or self.storage_class else None
        return replace(self, claim=Claim(wanted, modes[0] if modes else "ReadWriteOnce", name))

    # The objects

    def manifests(self) -> list[dict[str, Any]]:
        """Return the objects in the order to apply them; Secrets are not among them."""
        made = [self._claim(), self._service(), self._deployment()]
        if isinstance(self.entry, Gateway):
            return [*made, self._route(self.entry)]
        middleware = [self._middleware()] if self.consumer.name == "traefik" else []
        return [*made, *middleware, self._ingress(self.entry)]

    def unwanted(self) -> list[tuple[Resource, str]]:
        """Return what another choice of options would have made, and is in the way now."""
        wanted = {(one["kind"], one["metadata"]["name"]) for one in self.manifests()}
        return [
            (resource, name)
            for resource, name in entry_objects(self.name)
            if (resource.kind, name) not in wanted
        ]

    def _object(self, resource: Resource, name: str, **parts: Any) -> dict[str, Any]:
        group = resource.prefix.removeprefix("/apis/").removeprefix("/api/")
        annotations = parts.pop("annotations", {})
        return {
            "apiVersion": group,
            "kind": resource.kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": self.labels,
                **({"annotations": annotations} if annotations else {}),
            },
            **parts,
        }

    @property
    def _annotations(self) -> dict[str, str]:
        return {HOST: self.host, AUTH: self.checked_by, AUTH_SECRET: self.auth_secret}

    def _claim(self) -> dict[str, Any]:
        mode = "ReadWriteMany" if self.replicas > 1 else "ReadWriteOnce"
        claim = self.claim or Claim(self.storage or DEFAULT_STORAGE, mode, self.storage_class)
        spec: dict[str, Any] = {
            "accessModes": [claim.access_mode],
            "resources": {"requests": {"storage": claim.storage}},
        }
        if claim.storage_class is not None:
            spec["storageClassName"] = claim.storage_class
        return self._object(CLAIMS, self.name, annotations=self._annotations, spec=spec)

    def _service(self) -> dict[str, Any]:
        ports = [{"name": "http", "port": _PORT, "targetPort": "http", "protocol": "TCP"}]
        return self._object(SERVICES, self.name, spec={"selector": self._selector, "ports": ports})

    def _deployment(self) -> dict[str, Any]:
        # A volume for one node can't be handed over while the old Pod holds it.
        strategy: dict[str, Any] = {"type": "Recreate"}
        if self.replicas > 1:
            # Said in full: what regctl applied goes when it is left out, and a default of the API
            # server's would stay, and forbid `Recreate`.
            rolling = {"maxSurge": 1, "maxUnavailable": 0}
            strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
        return self._object(
            DEPLOYMENTS,
            self.name,
            annotations=self._annotations,
            spec={
                "replicas": self.replicas,
                "strategy": strategy,
                "selector": {"matchLabels": self._selector},
                "template": {"metadata": {"labels": self._selector}, "spec": self._pod()},
            },
        )

    def _pod(self) -> dict[str, Any]:
        volumes: list[dict[str, Any]] = [
            {"name": "data", "persistentVolumeClaim": {"claimName": self.name}}
        ]
        if self.checked_by == "registry":
            # 0440: the registry reads it as the group fsGroup.
            secret = {"secretName": self.auth_secret, "defaultMode": 0o440}
            volumes.append({"name": "users", "secret": secret})
        return {
            "automountServiceAccountToken": False,
            # A Service named `registry` would else put REGISTRY_* into its environment, which is
            # where the registry looks for its configuration.
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER_ID,
                "runAsGroup": _USER_ID,
                "fsGroup": _USER_ID,
                # Else each start walks over the whole volume.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self._container()],
            "volumes": volumes,
        }

    def _container(self) -> dict[str, Any]:
        mounts: list[dict[str, Any]] = [{"name": "data", "mountPath": _DATA}]
        if self.checked_by == "registry":
            # The folder and no subPath, which would never see a change of the Secret.
            mounts.append({"name": "users", "mountPath": _USERS, "readOnly": True})
        return {
            "name": "registry",
            "image": self.image,
            "env": self._environment(),
            "ports": [{"name": "http", "containerPort": _PORT, "protocol": "TCP"}],
            **self._probes(),
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "512Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": mounts,
        }

    def _probes(self) -> dict[str, Any]:
        """
        Return the probes of a registry that may ask for a password.

        Where it does, `/v2/` is a 401 and a failure to the kubelet, and a password in a probe
        would be one for everybody to read. `/` is the registry's own answer to "are you well?":
        200, or 503 while its storage is out of reach, and nobody is asked for a password
        (distribution, registry/registry.go: `alive` and `health.Handler`).
        """
        path = "/" if self.checked_by == "registry" else "/v2/"
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
            # The port only: a restart mends no storage that is out of reach.
            "livenessProbe": {
                "tcpSocket": {"port": "http"},
                "periodSeconds": 20,
                "timeoutSeconds": 5,
            },
        }

    def _environment(self) -> list[dict[str, Any]]:
        values = {
            "REGISTRY_HTTP_ADDR": f":{_PORT}",
            # Else an upload goes on at the address that the registry takes for its own, which
            # behind a proxy may be http://, and pushing ends there.
            "REGISTRY_HTTP_RELATIVEURLS": "true",
            # Within the 30 seconds that a Pod has to end.
            "REGISTRY_HTTP_DRAINTIMEOUT": "25s",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": _DATA,
            "REGISTRY_STORAGE_DELETE_ENABLED": "true" if self.delete_enabled else "false",
            "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "true",
        }
        if self.maintenance:
            # As a map: with …_READONLY_ENABLED=true the registry panics at its start.
            values["REGISTRY_STORAGE_MAINTENANCE_READONLY"] = '{"enabled": true}'
        if self.checked_by == "registry":
            values["REGISTRY_AUTH_HTPASSWD_REALM"] = self._realm
            values["REGISTRY_AUTH_HTPASSWD_PATH"] = f"{_USERS}/auth"
        environment: list[dict[str, Any]] = [
            {"name": name, "value": value} for name, value in values.items()
        ]
        if self.http_secret is not None:
            key = {"secretKeyRef": {"name": self.http_secret, "key": "secret"}}
            environment.append({"name": "REGISTRY_HTTP_SECRET", "valueFrom": key})
        return environment

    @property
    def _realm(self) -> str:
        return f"Registry {self.name}"

    def _ingress(self, entry: Ingress) -> dict[str, Any]:
        annotations = self._traefik() if entry.controller == "traefik" else self._nginx()
        if entry.cluster_issuer is not None:
            annotations["cert-manager.io/cluster-issuer"] = entry.cluster_issuer
        service = {"service": {"name": self.name, "port": {"name": "http"}}}
        paths = [{"path": "/", "pathType": "Prefix", "backend": service}]
        certificate = entry.tls_secret or f"{self.name}-tls"
        return self._object(
            INGRESSES,
            self.name,
            annotations=annotations,
            spec={
                "ingressClassName": entry.class_name or entry.controller,
                "tls": [{"hosts": [self.host], "secretName": certificate}],
                "rules": [{"host": self.host, "http": {"paths": paths}}],
            },
        )

    def _nginx(self) -> dict[str, str]:
        values = {
            "proxy-body-size": "0",
            # A layer goes to the registry as it comes, not to the controller's disk first.
            "proxy-request-buffering": "off",
            "proxy-read-timeout": _PATIENCE,
            "proxy-send-timeout": _PATIENCE,
        }
        if self.checked_by == "ingress":
            values |= {
                "auth-type": "basic",
                "auth-secret": self.auth_secret,
                "auth-realm": self._realm,
            }
        return {f"nginx.ingress.kubernetes.io/{key}": value for key, value in values.items()}

    def _traefik(self) -> dict[str, str]:
        """Traefik limits no body; its time-outs belong to the entry point, not to an Ingress."""
        values = {"entrypoints": "websecure", "tls": "true"}
        if self.checked_by == "ingress":
            values["middlewares"] = f"{self.namespace}-{self.name}-auth@kubernetescrd"
        return {f"traefik.ingress.kubernetes.io/router.{k}": value for k, value in values.items()}

    def _middleware(self) -> dict[str, Any]:
        basic = {"secret": self.auth_secret, "realm": self._realm, "removeHeader": True}
        return self._object(MIDDLEWARES, f"{self.name}-auth", spec={"basicAuth": basic})

    def _route(self, gateway: Gateway) -> dict[str, Any]:
        rule = {
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{"name": self.name, "port": _PORT}],
            # No limit: a layer takes as long as it takes.
            "timeouts": {"request": "0s"},
        }
        parent = {"name": gateway.name, "namespace": gateway.namespace}
        spec = {"parentRefs": [parent], "hostnames": [self.host], "rules": [rule]}
        return self._object(ROUTES, self.name, spec=spec)


def check_name(name: str) -> str:
    """Return *name*; raise InvalidObjectNameError where it can't name a Service (RFC 1035)."""
    if len(name) > _LONGEST or _NAME.fullmatch(name) is None:
        raise InvalidObjectNameError(
            f"not a name for a library: {name!r}",
            hint="at most 63 of a-z, 0-9 and '-', with a letter first and no '-' last",
        )
    return name


def entry_objects(name: str) -> list[tuple[Resource, str]]:
    """Return every object that may let people in to the library *name*."""
    return [(INGRESSES, name), (MIDDLEWARES, f"{name}-auth"), (ROUTES, name)]


def _checked_host(text: str) -> str:
    host = Registry.parse(text).host
    name, colon, _ = host.partition(":")
    if colon or name.startswith("[") or re.fullmatch(r"[\d.]+", name):
        raise InvalidInputError(
            f"not a host for an Ingress: {text!r}",
            hint="pass the name alone, as registry.foo.com: no port, no address",
        )
    return check_object_name(name, "host")
