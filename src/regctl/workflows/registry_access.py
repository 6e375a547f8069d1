"""Who checks the passwords of a registry in the cluster: its Ingress, and the way around it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from regctl.authfile.readers import DEFAULT_READER, READERS, AuthFileReader
from regctl.authsecret.secret import fetch, reader_by_shape
from regctl.checks import Check
from regctl.cluster.client import Cluster
from regctl.cluster.resource import PODS, Resource
from regctl.errors import ClusterError, NotPermittedError, RegctlError, UnknownKindError
from regctl.reference import Registry

_NETWORKING = "/apis/networking.k8s.io/v1"
_INGRESSES = Resource("Ingress", "ingresses", _NETWORKING)
_POLICIES = Resource("NetworkPolicy", "networkpolicies", _NETWORKING)
_SERVICES = Resource("Service", "services")
_MIDDLEWARES = Resource("Middleware", "middlewares", "/apis/traefik.io/v1alpha1")

# The annotation with which each controller's Ingress names its auth Secret.
_AUTH_SECRET = {
    "nginx.ingress.kubernetes.io/auth-secret": "ingress-nginx",
    "nginx.org/basic-auth-secret": "nginx-ingress",
    "haproxy-ingress.github.io/auth-secret": "haproxy-ingress",
    "ingress.kubernetes.io/auth-secret": "haproxy-ingress",
    "haproxy.org/auth-secret": "haproxytech",
}
_AUTH_MAP = ("nginx.ingress.kubernetes.io/auth-secret-type", "auth-map")
_MIDDLEWARE = "traefik.ingress.kubernetes.io/router.middlewares"
# distribution reads its configuration from variables with this start.
_OWN_AUTH = "REGISTRY_AUTH"


@dataclass(frozen=True)
class Entrance:
    """
    An Ingress, with its *hosts* and the Services behind it.

    *reader* checks passwords by *auth_secret*, `NS/NAME`; both are None if nothing is checked.
    """

    namespace: str
    name: str
    hosts: frozenset[str]
    services: frozenset[str]
    reader: AuthFileReader | None = None
    auth_secret: tuple[str, str] | None = None

    @property
    def subject(self) -> str:
        """Its namespace, kind and name."""
        return f"{self.namespace}/ingress/{self.name}"


@dataclass(frozen=True)
class RegistryAccess:
    """
    The way to a *registry*, or to the one that reads *auth_secret*, `NS/NAME`.

    *cluster* returns the cluster, or raises why it cannot. *reader* is who reads the
    auth file; None finds out. Without the right to list all Ingresses those of *namespaces* count.
    """

    cluster: Callable[[], Cluster] = field(repr=False)
    registry: Registry | None
    auth_secret: tuple[str, str] | None
    reader: AuthFileReader | None = None
    namespaces: Sequence[str] = ()

    @cached_property
    def used_reader(self) -> AuthFileReader:
        """Who reads the auth file: *reader*, else by the Ingress, the auth Secret, the registry."""
        entrance, secret = self.entrance, self.auth_secret
        if self.reader is not None:
            return self.reader
        if isinstance(entrance, Entrance):
            if entrance.reader is not None:
                return entrance.reader
            if checks_passwords_itself(self.cluster(), entrance):
                return READERS["distribution"]
        if secret is None:
            return READERS["distribution"]
        try:
            return reader_by_shape(fetch(self.cluster(), *secret))
        except RegctlError:
            return DEFAULT_READER

    @cached_property
    def entrance(self) -> Entrance | RegctlError | None:
        """The Ingress of the registry or for the auth Secret, or the error of reading it."""
        secret = self.auth_secret
        if self.registry is None and secret is None:
            return None
        host = self.registry.host.partition(":")[0] if self.registry is not None else None
        try:
            found = self._entrances(secret[0] if secret is not None else None)
        except RegctlError as error:
            return error
        fits = [one for one in found if secret is not None and one.auth_secret == secret]
        return next(iter([*fits, *(one for one in found if host in one.hosts)]), None)

    def _entrances(self, namespace: str | None) -> list[Entrance]:
        try:
            return entrances(self.cluster(), namespace)
        except NotPermittedError:
            if namespace is not None or not self.namespaces:
                raise
        return [one for space in self.namespaces for one in entrances(self.cluster(), space)]

    def checks(self) -> Iterator[Check]:
        """Yield who checks passwords, and each way around; nothing if there is no Ingress."""
        if isinstance(self.entrance, Entrance):
            yield from check_entrance(self.cluster(), self.entrance)
        elif isinstance(self.entrance, NotPermittedError):
            yield Check("ingress", "skipped", self.entrance.message, self.entrance.hint)


def entrances(cluster: Cluster, namespace: str | None) -> list[Entrance]:
    """Return the Ingresses of a namespace, or of all. Raises errors of the cluster."""
    items = list(cluster.list(_INGRESSES, namespace=namespace))
    used = any(_MIDDLEWARE in (item["metadata"].get("annotations") or {}) for item in items)
    middlewares = _basic_auth(cluster, namespace) if used else {}
    return [_entrance(item, middlewares) for item in items]


def _entrance(item: Mapping[str, Any], middlewares: Mapping[str, tuple[str, str]]) -> Entrance:
    metadata, rules = item["metadata"], item["spec"].get("rules") or ()
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    paths = [path for rule in rules for path in (rule.get("http") or {}).get("paths") or ()]
    backends = (path["backend"].get("service") or {} for path in paths)
    found: tuple[str, tuple[str, str]] | None = None
    for annotation, reader in _AUTH_SECRET.items():
        if value := annotations.get(annotation):
            space, _, name = value.rpartition("/")
            found = found or (reader, (space or metadata["namespace"], name))
    for name in annotations.get(_MIDDLEWARE, "").split(","):
        if name.strip() in middlewares:
            found = found or ("traefik", middlewares[name.strip()])
    if found and annotations.get(_AUTH_MAP[0]) == _AUTH_MAP[1]:
        found = "ingress-nginx-auth-map", found[1]
    return Entrance(
        metadata["namespace"],
        metadata["name"],
        frozenset(str(rule.get("host") or "") for rule in rules),
        frozenset(str(backend["name"]) for backend in backends if backend),
        READERS[found[0]] if found else None,
        found[1] if found else None,
    )


def _basic_auth(cluster: Cluster, namespace: str | None) -> dict[str, tuple[str, str]]:
    """Return the auth Secret of each Middleware, by the name that an Ingress has for it."""
    found = {}
    with contextlib.suppress(UnknownKindError):
        for item in cluster.list(_MIDDLEWARES, namespace=namespace):
            space, name = item["metadata"]["namespace"], item["metadata"]["name"]
            if secret := (item["spec"].get("basicAuth") or {}).get("secret"):
                found[f"{space}-{name}@kubernetescrd"] = space, secret
    return found


def check_entrance(cluster: Cluster, entrance: Entrance) -> Iterator[Check]:
    """Yield who checks passwords at an Ingress, and each Service that is a way around it."""
    if entrance.reader is None or entrance.auth_secret is None:
        yield Check("ingress", "ok", f"{entrance.subject} checks no passwords")
        return
    secret = "/secret/".join(entrance.auth_secret)
    message = f"{entrance.subject} checks passwords by {secret}, as {entrance.reader.name} does"
    yield Check("ingress", "ok", message)
    for name in sorted(entrance.services):
        service = f"{entrance.namespace}/service/{name}"
        try:
            open_ = _admits_everybody(cluster, entrance.namespace, name)
        except (ClusterError, NotPermittedError) as error:
            yield Check("service", "skipped", f"{service}: {error.message}", error.hint, error)
            continue
        if open_:
            yield Check(
                "service",
                "warning",
                f"Pods in the cluster reach {service} without a password, unless its own "
                f"configuration asks for one: only {entrance.subject} does",
                "a NetworkPolicy that admits only the ingress controller closes it: "
                "`registry apply --network-policy NS` writes one",
            )


def checks_passwords_itself(cluster: Cluster, entrance: Entrance) -> bool:
    """Return whether a Pod behind an Ingress checks passwords, as far as can be seen."""
    with contextlib.suppress(ClusterError, NotPermittedError):
        for name in entrance.services:
            if any(map(_checks_passwords, _pods_of(cluster, entrance.namespace, name))):
                return True
    return False


def _pods_of(cluster: Cluster, namespace: str, service: str) -> list[Mapping[str, Any]]:
    found = cluster.get(_SERVICES, namespace, service)
    selector = ((found or {}).get("spec") or {}).get("selector")
    if not selector:
        return []
    labels = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return list(cluster.list(PODS, namespace=namespace, label_selector=labels))


def _admits_everybody(cluster: Cluster, namespace: str, service: str) -> bool:
    """Return whether a Service has a Pod that checks no password and that no policy protects."""
    pods = _pods_of(cluster, namespace, service)
    policies = list(cluster.list(_POLICIES, namespace=namespace)) if pods else []
    return any(
        not _checks_passwords(pod) and not any(_protects(policy, pod) for policy in policies)
        for pod in pods
    )


def _checks_passwords(pod: Mapping[str, Any]) -> bool:
    containers = pod["spec"]["containers"]
    names = (one["name"] for container in containers for one in container.get("env") or ())
    return any(name.startswith(_OWN_AUTH) for name in names)


def _protects(policy: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Return whether a NetworkPolicy limits who reaches a Pod; an expression counts as a match."""
    spec = policy["spec"]
    wanted = (spec.get("podSelector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    return (
        "Ingress" in (spec.get("policyTypes") or ["Ingress"]) and wanted.items() <= labels.items()
    )
