"""
A user and password for a registry, and the content of a pull secret that carries it:
`.dockerconfigjson` and the older `.dockercfg`. Nothing here talks to a registry or a cluster.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from regctl.errors import (
    InvalidInputError,
    InvalidUserError,
    MalformedError,
)

# Types of Secrets and their keys (kubernetes, core/v1/types.go).
DOCKERCONFIGJSON = "kubernetes.io/dockerconfigjson"
DOCKERCONFIGJSON_KEY = ".dockerconfigjson"
DOCKERCFG = "kubernetes.io/dockercfg"
DOCKERCFG_KEY = ".dockercfg"


@dataclass(frozen=True)
class Credential:
    """
    Who to be at a registry.

    *identity_token* is an OAuth2 refresh token and *registry_token* a bearer token, where docker's
    config holds one in place of a password; username and password are then empty.
    """

    username: str
    password: str = field(repr=False)
    email: str | None = None
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything that must never be shown, the base64 form included."""
        encoded = encode_auth(self.username, self.password) if self.password else None
        values = (self.password, encoded, self.identity_token, self.registry_token)
        return tuple(value for value in values if value)


def check_username(username: str) -> str:
    """
    Return *username*; raise InvalidUserError where basic authentication can't carry it.

    RFC 7617, section 2: a colon ends the name, and control characters are forbidden.
    """
    if not username:
        raise InvalidUserError("the user name is empty")
    if ":" in username:
        raise InvalidUserError(f"not a user name: {username!r} holds a colon")
    if any(ord(character) < 32 or ord(character) == 127 for character in username):
        raise InvalidUserError(f"not a user name: {username!r} holds a control character")
    return username


# The `auth` field


def encode_auth(username: str, password: str) -> str:
    """Return the `auth` field: base64 of `username:password` in UTF-8."""
    return base64.b64encode(f"{username}:{password}".encode(errors="surrogateescape")).decode()


def decode_auth(auth: str, *, source: str) -> tuple[str, str]:
    """
    Return the user name and password in an `auth` field, padded or not, as the kubelet reads it.

    Raises MalformedError, with *source* named and nothing of the content shown.
    """
    # Go's base64 skips line endings and nothing else (encoding/base64).
    text = auth.replace("\r", "").replace("\n", "")
    try:
        padding = "" if text.endswith("=") else "=" * (-len(text) % 4)
        decoded = base64.b64decode(text + padding, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"cannot read {source}: `auth` is not base64") from error
    username, colon, password = decoded.decode(errors="surrogateescape").partition(":")
    if not colon:
        raise MalformedError(f"cannot read {source}: `auth` has no colon between user and password")
    return username, password


# The content of a pull secret


def encode_dockerconfigjson(credentials: Mapping[str, Credential]) -> bytes:
    """
    Return the `.dockerconfigjson` of *credentials* by registry key, the fields as kubectl has them.

    Raises InvalidInputError for text that is not UTF-8, and for a token: the kubelet takes a user
    and password only.
    """
    return _json_bytes({"auths": _entries(credentials)})


def decode_dockerconfigjson(data: bytes, *, source: str) -> dict[str, Credential]:
    """
    Return the credentials in a `.dockerconfigjson`, by the keys as they stand there.

    Read as strictly as the kubelet does: raises MalformedError, with *source* named, where the
    kubelet would not decode it either. An entry that holds nothing gives an empty credential.
    """
    document = json_object(data, source)
    auths = document.get("auths")
    if auths is None:
        return {}
    if not isinstance(auths, dict):
        raise MalformedError(f"cannot read {source}: `auths` is not an object")
    return _credentials(auths, source)


def decode_dockercfg(data: bytes, *, source: str) -> dict[str, Credential]:
    """Return the credentials in a `.dockercfg`; as `decode_dockerconfigjson`."""
    return _credentials(json_object(data, source), source)


def decode_secret(
    kind: str, data: Mapping[str, bytes], *, source: str
) -> dict[str, Credential] | None:
    """
    Return the credentials in a Secret's data, or None where the kubelet passes it over.

    That is a Secret of another type, or one without the key of its type. Raises MalformedError.
    """
    if kind == DOCKERCONFIGJSON and DOCKERCONFIGJSON_KEY in data:
        return decode_dockerconfigjson(data[DOCKERCONFIGJSON_KEY], source=source)
    if kind == DOCKERCFG and DOCKERCFG_KEY in data:
        return decode_dockercfg(data[DOCKERCFG_KEY], source=source)
    return None


def dockerconfigjson_entry(credential: Credential) -> dict[str, str]:
    """Return one registry's entry: username, password, email where there is one, auth."""
    if credential.identity_token or credential.registry_token:
        raise InvalidInputError(
            "cannot put a token into a pull secret: the kubelet takes a user and password",
            hint="pass --username and --password-stdin",
        )
    try:
        "".join((credential.username, credential.password, credential.email or "")).encode()
    except UnicodeEncodeError:
        # Not chained: the cause would carry the text.
        raise InvalidInputError("user name, password or e-mail is not UTF-8") from None
    entry = {"username": credential.username, "password": credential.password}
    if credential.email:
        entry["email"] = credential.email
    return entry | {"auth": encode_auth(credential.username, credential.password)}


def _entries(credentials: Mapping[str, Credential]) -> dict[str, dict[str, str]]:
    return {key: dockerconfigjson_entry(credentials[key]) for key in sorted(credentials)}


def _json_bytes(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def json_object(data: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object in *data*; null is an empty one. Raises MalformedError."""
    # A JSON error carries the whole document: not chained, for it holds passwords.
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        raise MalformedError(f"cannot read {source}: not JSON: line {error.lineno}") from None
    except (ValueError, RecursionError):
        raise MalformedError(f"cannot read {source}: not JSON") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise MalformedError(f"cannot read {source}: not a JSON object")
    return document


def _credentials(entries: Mapping[str, Any], source: str) -> dict[str, Credential]:
    return {
        key: _kubelet_credential(entry, f"{source}, registry {key}")
        for key, entry in entries.items()
    }


def _kubelet_credential(entry: object, source: str) -> Credential:
    """Decode one entry as pkg/credentialprovider/config.go does: `auth` overrides the rest."""
    fields = text_fields(entry, source, ("username", "password", "email", "auth"))
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        username, password = decode_auth(fields["auth"], source=source)
    return Credential(username, password, fields["email"] or None)


def text_fields(entry: object, source: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the fields *names* of a JSON object, empty where absent. Raises MalformedError."""
    if entry is None:
        entry = {}
    if not isinstance(entry, dict):
        raise MalformedError(f"cannot read {source}: not an object")
    fields = {name: "" if entry.get(name) is None else entry[name] for name in names}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise MalformedError(f"cannot read {source}: `{name}` is not a string")
    return fields
