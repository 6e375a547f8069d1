"""The credentials in a pull secret of the cluster."""

from collections.abc import Mapping
from typing import Any

from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import (
    DOCKERCFG,
    DOCKERCFG_KEY,
    DOCKERCONFIGJSON,
    DOCKERCONFIGJSON_KEY,
    decode_secret,
    read_auths,
    read_object,
)
from regctl.credentials.kubelet import PullSecretData, kubelet_key
from regctl.errors import InvalidInputError, InvalidReferenceError, MalformedError
from regctl.reference import Registry

PULL_SECRET_TYPES = (DOCKERCONFIGJSON, DOCKERCFG)


def credentials_of(secret: Secret) -> Mapping[str, Credential]:
    """Return the credentials by registry key; MalformedError if the kubelet cannot decode them."""
    decoded = decode_secret(secret.type, secret.data, source=secret.subject)
    if decoded is None:
        raise MalformedError(f"cannot read {secret.subject}: {secret.type} is not a pull secret")
    return decoded


def credentials_for(secret: Secret, registry: Registry | None) -> dict[str, Credential]:
    """
    Return the credentials for *registry* by key, or for None those for all registries.

    Empty for a Secret that the kubelet cannot decode.
    """
    try:
        credentials = credentials_of(secret)
    except MalformedError:
        return {}
    return {
        key: credential
        for key, credential in credentials.items()
        if registry is None or _is_for(key, registry)
    }


def _is_for(key: str, registry: Registry) -> bool:
    try:
        return Registry.parse(key) == registry
    except InvalidReferenceError:
        return False


def credentials_to_copy(secret: Secret, key: str | None) -> Mapping[str, Credential]:
    """
    Return the credentials in *secret* for the registry *key*, or all for None.

    Raises InvalidInputError if there is no such credential, MalformedError.
    """
    credentials = {
        present: credential
        for present, credential in credentials_of(secret).items()
        if key is None or kubelet_key(present) == kubelet_key(key)
    }
    if not credentials:
        wanted = f" for {key}" if key else ""
        raise InvalidInputError(
            f"{secret.subject} has no credential{wanted}",
            hint="`regctl secret list -o wide` shows the registries of each Secret",
        )
    return credentials


def kubelet_data(secret: Secret) -> PullSecretData:
    """Return what the kubelet reads of *secret*."""
    return PullSecretData(secret.name, secret.type, secret.data)


def raw_entries(secret: Secret) -> dict[str, Any]:
    """Return the entries by registry key, with the fields that regctl does not know."""
    credentials_of(secret)
    if secret.type == DOCKERCFG:
        return read_object(secret.data[DOCKERCFG_KEY], source=secret.subject)
    document = read_object(secret.data[DOCKERCONFIGJSON_KEY], source=secret.subject)
    return read_auths(document, source=secret.subject)
