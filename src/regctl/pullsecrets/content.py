"""The credentials in a pull secret of the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from regctl.cluster.client import Cluster
from regctl.cluster.resource import check_namespace, check_object_name
from regctl.cluster.secret import Secret, get_secret
from regctl.credentials import dockerconfigjson
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import (
    DOCKERCFG,
    DOCKERCONFIGJSON,
    decode_entry,
    entry_fault,
)
from regctl.credentials.kubelet import key_matches, kubelet_key
from regctl.errors import InvalidInputError, MalformedError, ObjectNotFoundError
from regctl.reference import Registry

PULL_SECRET_TYPES = (DOCKERCONFIGJSON, DOCKERCFG)
_PATHS_OF_NO_IMAGE = {"v1", "v2", "v2/_catalog", "_catalog"}


@dataclass(frozen=True)
class Entry:
    """One entry of a pull secret: the credential under a registry key, from its *content*."""

    key: str
    credential: Credential
    content: object = field(repr=False)

    @property
    def fault(self) -> str | None:
        """Why the kubelet cannot use the entry, or None."""
        effective = kubelet_key(self.key)
        if effective is None:
            return "the kubelet ignores the key: it is not an address"
        if effective.partition("/")[2] in _PATHS_OF_NO_IMAGE:
            return "the kubelet reads the end of the key as a path, which no image has"
        return entry_fault(self.content)


def credentials_of(secret: Secret) -> Mapping[str, Credential]:
    """Return the credentials by registry key; MalformedError if the kubelet cannot decode them."""
    return {entry.key: entry.credential for entry in _entries(secret)}


def entries_of(secret: Secret) -> list[Entry] | None:
    """Return the entries, or None if the kubelet ignores the Secret. Raises MalformedError."""
    entries = dockerconfigjson.read_entries(secret.type, secret.data, source=secret.subject)
    if entries is None:
        return None
    return [
        Entry(key, decode_entry(content, source=secret.subject), content)
        for key, content in entries.items()
    ]


def _entries(secret: Secret) -> list[Entry]:
    entries = entries_of(secret)
    if entries is None:
        raise MalformedError(f"cannot read {secret.subject}: {secret.type} is not a pull secret")
    return entries


def credentials_for(secret: Secret) -> Mapping[str, Credential]:
    """Return the credentials by registry key, or none if the kubelet cannot decode them."""
    try:
        return credentials_of(secret)
    except MalformedError:
        return {}


def read_entries(
    cluster: Cluster, namespace: str, name: str, key: str | None = None
) -> list[Entry]:
    """
    Return the entries of an existing Secret for the registry *key*, or all for None, sorted.

    Raises ObjectNotFoundError, MalformedError.
    """
    secret = get_secret(cluster, check_namespace(namespace), check_object_name(name, "Secret"))
    if secret is None:
        raise ObjectNotFoundError(
            f"cannot read secret {name} in namespace {namespace}: it does not exist",
            hint=f"`regctl secret list -n {namespace}` shows the Secrets there",
        )
    return [
        entry
        for entry in sorted(_entries(secret), key=lambda entry: entry.key)
        if key is None or kubelet_key(entry.key) == kubelet_key(key)
    ]


def serves(key: str, registry: Registry) -> bool:
    """
    Whether the kubelet uses an entry under *key* for some image of *registry*.

    The key's host may have globs, and the image's host may name the HTTPS port.
    """
    if Registry.find(key) == registry:
        return True
    glob = (kubelet_key(key) or "").partition("/")[0]
    host = registry.host.removesuffix(":443")
    return any(key_matches(glob, f"{name}/") for name in (host, f"{host}:443"))


def read_credentials(
    cluster: Cluster, namespace: str, name: str, key: str | None = None
) -> Mapping[str, Credential]:
    """
    Return the credentials in an existing Secret for the registry *key*, or all for None.

    Raises ObjectNotFoundError, InvalidInputError if it has none for *key*, MalformedError.
    """
    entries = read_entries(cluster, namespace, name, key)
    if not entries:
        wanted = f" for {key}" if key else ""
        raise InvalidInputError(
            f"secret {name} in namespace {namespace} has no credential{wanted}",
            hint=f"`regctl secret show {namespace}/{name}` shows its registries",
        )
    return {entry.key: entry.credential for entry in entries}
