"""The content of a pull secret: `.dockerconfigjson` and the older `.dockercfg`, out and in."""

import json
from collections.abc import Mapping
from typing import Any

from regctl.credentials.credential import Credential, decode_auth, encode_auth
from regctl.errors import InvalidInputError, MalformedError
from regctl.jsontext import GoObject, parse_go_json

# Types of Secrets and their keys (kubernetes, core/v1/types.go).
DOCKERCONFIGJSON = "kubernetes.io/dockerconfigjson"
DOCKERCONFIGJSON_KEY = ".dockerconfigjson"
DOCKERCFG = "kubernetes.io/dockercfg"
DOCKERCFG_KEY = ".dockercfg"

# docker's fields in place of a password.
_TOKENS = {"identitytoken": "an identitytoken", "registrytoken": "a registrytoken"}


def encode_dockerconfigjson(
    credentials: Mapping[str, Credential], others: Mapping[str, Any] | None = None
) -> bytes:
    """
    Return the `.dockerconfigjson` of *credentials* by registry key, with kubectl's fields.

    *others* are entries to keep as they are.
    Raises InvalidInputError for text that is not UTF-8, and for a token: the kubelet uses only a
    user and password.
    """
    entries = dict(others or {})
    entries |= {key: _encode_entry(value) for key, value in credentials.items()}
    return _compact({"auths": dict(sorted(entries.items()))})


def _encode_entry(credential: Credential) -> dict[str, str]:
    """Return one registry's entry: username, password, auth, and email if there is one."""
    if credential.identity_token or credential.registry_token:
        raise InvalidInputError(
            "cannot put a token into a pull secret: the kubelet uses only a user and password",
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


def read_entries(kind: str, data: Mapping[str, bytes], *, source: str) -> dict[str, Any] | None:
    """
    Return the entries in a Secret's data by registry key, with fields that regctl does not know.

    Return None, or raise MalformedError, as `decode_secret` does.
    """
    if kind == DOCKERCONFIGJSON and data.get(DOCKERCONFIGJSON_KEY):
        document = read_object(data[DOCKERCONFIGJSON_KEY], source=source)
        _check_headers(document, source=source)
        return read_auths(document, source=source)
    if kind == DOCKERCFG and data.get(DOCKERCFG_KEY):
        return _checked(read_object(data[DOCKERCFG_KEY], source=source), source=source)
    return None


def replace_entries(
    kind: str, data: Mapping[str, bytes], credentials: Mapping[str, Credential], *, source: str
) -> dict[str, bytes]:
    """
    Return a Secret's data with the entries of *credentials* replaced, and the rest as it is.

    Raises MalformedError if the kubelet cannot read the Secret, InvalidInputError for other text
    than UTF-8.
    """
    entries = read_entries(kind, data, source=source) or {}
    entries |= {key: _encode_entry(value) for key, value in credentials.items()}
    if kind == DOCKERCFG:
        return {DOCKERCFG_KEY: _compact(entries)}
    document = read_object(data[DOCKERCONFIGJSON_KEY], source=source)
    return {DOCKERCONFIGJSON_KEY: _compact(document.without("auths") | {"auths": entries})}


def _compact(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode_secret(
    kind: str, data: Mapping[str, bytes], *, source: str
) -> dict[str, Credential] | None:
    """
    Return the credentials in a Secret's data by its keys unchanged.

    Return None if the kubelet ignores the Secret, because it has another type or lacks the key of
    its type. As strict as the kubelet: raises MalformedError, which names *source*, if the kubelet
    could not decode it either. An entry without a user gives an empty credential.
    """
    entries = read_entries(kind, data, source=source)
    if entries is None:
        return None
    return {key: decode_entry(entry, source=source) for key, entry in entries.items()}


def decode_entry(entry: object, *, source: str) -> Credential:
    """
    Return the credential in one registry's entry; raises MalformedError, which names *source*.

    `auth` overrides user and password (kubernetes, pkg/credentialprovider/config.go).
    """
    fields = text_fields(entry, ("username", "password", "email", "auth"), source=source)
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        username, password = decode_auth(fields["auth"], source=source)
    return Credential(username, password, fields["email"] or None)


def entry_fault(entry: object) -> str | None:
    """Return why the kubelet has no user and password from an entry that it decodes, or None."""
    credential = decode_entry(entry, source="the entry")
    if credential.username and credential.password:
        return None
    fields = entry if isinstance(entry, GoObject) else GoObject(())
    for field, token in _TOKENS.items():
        if any(fields.values_of(field)):
            return f"has {token}, which the kubelet ignores"
    if not credential.username and not credential.password:
        return "has no user and no password"
    return "has no password" if credential.username else "has no user"


# As Go reads JSON into a struct: field names in any case, and null is no value


def read_object(data: bytes | str, *, source: str) -> GoObject:
    """Return the JSON object in *data*, empty for null. Raises MalformedError."""
    return _object(parse_go_json(data, source=source), f"cannot read {source}: not a JSON object")


def read_auths(document: GoObject, *, source: str) -> dict[str, Any]:
    """
    Return the object `auths` of a document, empty if absent or null.

    Raises MalformedError, also for an entry that cannot be decoded.
    """
    auths: dict[str, Any] = {}
    for value in document.values_of("auths"):
        if value is None:
            auths = {}
        message = f"cannot read {source}: `auths` is not an object"
        auths |= _checked(_object(value, message), source=source)
    return auths


def _checked(entries: GoObject, *, source: str) -> GoObject:
    """Return *entries*; each one must be decoded, also one that a later one replaces."""
    for key, entry in entries.members:
        decode_entry(entry, source=f"{source}, registry {key}")
    return entries


def _check_headers(document: GoObject, *, source: str) -> None:
    message = f"cannot read {source}: `HttpHeaders` is not an object of strings"
    for value in document.values_of("httpheaders"):
        if not all(isinstance(text, str | None) for _, text in _object(value, message).members):
            raise MalformedError(message)


def text_fields(entry: object, names: tuple[str, ...], *, source: str) -> dict[str, str]:
    """Return the fields *names* of a JSON object, empty if absent. Raises MalformedError."""
    fields = _object(entry, f"cannot read {source}: not an object")
    return {name: _text(fields.values_of(name.lower()), name, source) for name in names}


def _text(values: list[Any], name: str, source: str) -> str:
    texts = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in texts):
        raise MalformedError(f"cannot read {source}: `{name}` is not a string")
    return texts[-1] if texts else ""


def _object(value: object, message: str) -> GoObject:
    """Return *value* if it is an object, an empty one for null. Raises MalformedError."""
    if value is None:
        return GoObject(())
    if not isinstance(value, dict):
        raise MalformedError(message)
    return value if isinstance(value, GoObject) else GoObject(value.items())
