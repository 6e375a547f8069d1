"""The description of a private registry, checked without a cluster."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from regctl.authfile.readers import READERS, AuthFileReader, SecretLayout
from regctl.cluster.resource import check_namespace, check_object_name
from regctl.errors import ImmutableError, InvalidInputError, InvalidObjectNameError
from regctl.provisioning.quantity import canonical, size_in_bytes
from regctl.reference import ImageReference, Registry

DEFAULT_IMAGE = "registry:3"

Auth = Literal["ingress", "registry"]
Controller = Literal["nginx", "traefik"]

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MAX_NAME_LENGTH = 63

# The Secret is mounted as a folder, and the registry's configuration names one file in it.
_REGISTRY_READER = replace(
    READERS["distribution"], layout=SecretLayout(key="auth", source="this package")
)


@dataclass(frozen=True)
class Ingress:
    """
    Access through an Ingress for *controller*.

    *class_name* is needed only if the IngressClass is not named after the controller. The
    certificate is in *tls_secret*, or cert-manager's *cluster_issuer* issues it.
    """

    controller: Controller = "nginx"
    class_name: str | None = None
    cluster_issuer: str | None = None
    tls_secret: str | None = None

    def __post_init__(self) -> None:
        if (self.cluster_issuer is None) == (self.tls_secret is None):
            raise InvalidInputError(
                "an Ingress needs exactly one source for its certificate: docker requires HTTPS",
                hint="`--cluster-issuer NAME` makes cert-manager issue it, `--tls-secret NAME` "
                "takes it from a Secret",
            )
        check_object_name(self.cluster_issuer or self.tls_secret or "", "certificate's source")
        check_object_name(self.class_name or self.controller, "IngressClass")


@dataclass(frozen=True)
class Gateway:
    """Access through a Gateway of the Gateway API, which has the certificate itself."""

    namespace: str
    name: str

    def __post_init__(self) -> None:
        check_namespace(self.namespace)
        check_object_name(self.name, "Gateway")


@dataclass(frozen=True)
class Existing:
    """
    What the objects of an existing registry fix; the defaults are those of a new one.

    *selector* is the Deployment's, *service_selector* the Service's, and *labels* are the Pods'
    that they select. Without them both select the registry's own labels. *container* and *volume*
    are names in the Pod. A *foreign_pod* keeps its user, its privileges and how it is replaced:
    regctl did not create it, and another user might not be able to read its files. A
    *foreign_class* of the Ingress stays. *certificate* is the Secret that cert-manager writes.
    """

    selector: Mapping[str, Any] = field(default_factory=dict)
    service_selector: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    container: str = "registry"
    volume: str = "data"
    foreign_pod: bool = False
    foreign_class: bool = False
    certificate: str | None = None


@dataclass(frozen=True, kw_only=True)
class RegistrySpec:
    """
    A private registry, as the user describes it.

    *auth* says who checks passwords, the ingress or the registry; None means the ingress if it
    can. *claim* names the volume claim; None means that it is named after the registry. *storage*,
    *storage_class* and *access_mode* describe the volume; None means the default. *network_policy*
    has the namespaces whose Pods may connect; none means all. *existing* is what present objects
    fix. Raises InvalidInputError, InvalidObjectNameError and
    InvalidReferenceError for bad values.
    """

    name: str
    host: str
    namespace: str
    entry: Ingress | Gateway
    auth_secret: str
    auth: Auth | None = None
    image: str = DEFAULT_IMAGE
    replicas: int = 1
    claim: str | None = None
    storage: str | None = None
    storage_class: str | None = None
    access_mode: str | None = None
    delete_enabled: bool = False
    maintenance: bool = False
    network_policy: tuple[str, ...] = ()
    existing: Existing = field(default=Existing(), repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        check_namespace(self.namespace)
        check_object_name(self.auth_secret, "Secret")
        for namespace in self.network_policy:
            check_namespace(namespace)
        object.__setattr__(self, "host", _checked_host(self.host))
        ImageReference.parse(self.image)
        if self.claim is not None:
            check_object_name(self.claim, "PersistentVolumeClaim")
        if self.storage is not None:
            object.__setattr__(self, "storage", canonical(self.storage))
        if self.storage_class is not None:
            check_object_name(self.storage_class, "StorageClass")
        if self.auth == "ingress" and isinstance(self.entry, Gateway):
            raise InvalidInputError(
                "a Gateway cannot check passwords: the Gateway API has no filter for it",
                hint="`--auth registry` makes the registry check them; it is the default here",
            )

    @property
    def claim_name(self) -> str:
        """The volume claim with the images."""
        return self.claim or self.name

    @property
    def checked_by(self) -> Auth:
        """Who checks passwords."""
        return self.auth or ("registry" if isinstance(self.entry, Gateway) else "ingress")

    @property
    def behind_traefik(self) -> bool:
        """Whether the registry is reached through Traefik's Ingress."""
        return isinstance(self.entry, Ingress) and self.entry.controller == "traefik"

    @property
    def reader(self) -> AuthFileReader:
        """Who reads the auth Secret."""
        if self.checked_by == "registry":
            return _REGISTRY_READER
        return READERS["traefik" if self.behind_traefik else "ingress-nginx"]

    @property
    def http_secret(self) -> str | None:
        """The Secret with which replicas continue each other's uploads; None for one replica."""
        return f"{self.name}-http" if self.replicas > 1 else None

    def with_volume(self, claim: Mapping[str, Any], *, owns_class: bool) -> "RegistrySpec":
        """
        Return the spec, with the values of an existing volume *claim* where it has none.

        *owns_class* says whether regctl set the claim's storage class. Raises ImmutableError if
        the spec needs another volume.
        """
        spec = claim.get("spec") or {}
        modes, present_class = spec.get("accessModes") or [], spec.get("storageClassName")
        size = str(((spec.get("resources") or {}).get("requests") or {}).get("storage", ""))
        attempt = f"cannot change volume claim {self.claim_name} in namespace {self.namespace}"
        storage = self.storage or size
        if size_in_bytes(storage) < size_in_bytes(size):
            raise ImmutableError(
                f"{attempt}: its size is {size}, and a volume cannot shrink",
                hint="leave out `--storage` to keep the size",
            )
        if self.storage_class not in {None, present_class}:
            raise ImmutableError(
                f"{attempt}: its storage class is {present_class}, which cannot be changed",
                hint="leave out `--storage-class` to keep it",
            )
        if self.replicas > 1 and "ReadWriteMany" not in modes:
            raise ImmutableError(
                f"{attempt}: its access mode is {', '.join(modes)}, and several replicas need "
                "ReadWriteMany",
                hint="pass `--replicas 1`, or create a registry with another name",
            )
        return replace(
            self,
            storage=storage,
            storage_class=present_class if owns_class or self.storage_class else None,
            access_mode=modes[0] if modes else "ReadWriteOnce",
        )


def check_name(name: str) -> str:
    """Return *name*; raise InvalidObjectNameError if no Service can have it (RFC 1035)."""
    if len(name) > _MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise InvalidObjectNameError(
            f"not a name for a registry: {name!r}",
            hint="use at most 63 of a-z, 0-9 and '-', starting with a letter, without a '-' last",
        )
    return name


def _checked_host(text: str) -> str:
    host = Registry.parse(text).host
    name, colon, _ = host.partition(":")
    if colon or name.startswith("[") or re.fullmatch(r"[\d.]+", name):
        raise InvalidInputError(
            f"not a host for an Ingress: {text!r}",
            hint="pass a name such as registry.foo.com, without a port, and no IP address",
        )
    return check_object_name(name, "host")
