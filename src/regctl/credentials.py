"""
A user and password for a registry, and the two files that carry it.

docker's `config.json` with its credential helpers, and the content of a pull secret:
`.dockerconfigjson` and the older `.dockercfg`. Nothing here talks to a registry or a cluster.
"""

import base64
import binascii
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regctl.errors import (
    CredentialHelperError,
    FileAccessError,
    InvalidInputError,
    InvalidReferenceError,
    InvalidUserError,
    MalformedError,
)
from regctl.reference import Registry

# Types of Secrets and their keys (kubernetes, core/v1/types.go).
DOCKERCONFIGJSON = "kubernetes.io/dockerconfigjson"
DOCKERCONFIGJSON_KEY = ".dockerconfigjson"
DOCKERCFG = "kubernetes.io/dockercfg"
DOCKERCFG_KEY = ".dockercfg"

_HELPER_SECONDS = 120.0
_HELPER_HAS_NONE = "credentials not found in native keychain"
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that marks a token, not a token


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


def encode_dockercfg(credentials: Mapping[str, Credential]) -> bytes:
    """Return the older `.dockercfg`: the same without `auths` around it."""
    return _json_bytes(_entries(credentials))


def decode_dockerconfigjson(data: bytes, *, source: str) -> dict[str, Credential]:
    """
    Return the credentials in a `.dockerconfigjson`, by the keys as they stand there.

    Read as strictly as the kubelet does: raises MalformedError, with *source* named, where the
    kubelet would not decode it either. An entry that holds nothing gives an empty credential.
    """
    document = _json_object(data, source)
    auths = document.get("auths")
    if auths is None:
        return {}
    if not isinstance(auths, dict):
        raise MalformedError(f"cannot read {source}: `auths` is not an object")
    return _credentials(auths, source)


def decode_dockercfg(data: bytes, *, source: str) -> dict[str, Credential]:
    """Return the credentials in a `.dockercfg`; as `decode_dockerconfigjson`."""
    return _credentials(_json_object(data, source), source)


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


def _json_object(data: bytes, source: str) -> dict[str, Any]:
    # A JSON error carries the whole document: not chained, for it holds passwords.
    try:
        document = json.loads(data)
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
    fields = _text_fields(entry, source, ("username", "password", "email", "auth"))
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        username, password = decode_auth(fields["auth"], source=source)
    return Credential(username, password, fields["email"] or None)


def _text_fields(entry: object, source: str, names: tuple[str, ...]) -> dict[str, str]:
    if entry is None:
        entry = {}
    if not isinstance(entry, dict):
        raise MalformedError(f"cannot read {source}: not an object")
    fields = {name: "" if entry.get(name) is None else entry[name] for name in names}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise MalformedError(f"cannot read {source}: `{name}` is not a string")
    return fields


# docker's config.json


@dataclass(frozen=True)
class DockerConfig:
    """
    docker's client configuration: the credentials of `docker login`.

    *path* is None where the environment names no home folder. The document is docker's own
    (docker/cli, cli/config/configfile/file.go); credential helpers run with *environ*.
    """

    path: Path | None
    document: Mapping[str, Any] = field(repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def locate(cls, environ: Mapping[str, str]) -> Path | None:
        """Return where the file is: in `$DOCKER_CONFIG`, else in `.docker` of the home folder."""
        if folder := environ.get("DOCKER_CONFIG"):
            return Path(folder, "config.json")
        if home := environ.get("HOME"):
            return Path(home, ".docker", "config.json")
        return None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "DockerConfig":
        """
        Read the configuration; a file that is not there is an empty one.

        Raises FileAccessError where it can't be read, MalformedError where it is not docker's.
        """
        path = cls.locate(environ)
        document: dict[str, Any] = {}
        if path is not None:
            try:
                document = _json_object(path.read_bytes(), str(path))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise FileAccessError(f"cannot read {path}: {error.strerror}") from error
        for name in ("auths", "credHelpers"):
            if not isinstance(document.get(name) or {}, dict):
                raise MalformedError(f"cannot read {path}: `{name}` is not an object")
        return cls(path, document, environ)

    def credential_for(self, registry: Registry) -> Credential | None:
        """
        Return the credential that docker would use for *registry*, or None where it has none.

        `$DOCKER_AUTH_CONFIG` first, then the helper of this registry, then the common helper, then
        what stands in `auths`. Raises CredentialHelperError where a helper is missing or fails,
        MalformedError where an entry can't be read.
        """
        if text := self.environ.get("DOCKER_AUTH_CONFIG"):
            source = "$DOCKER_AUTH_CONFIG"
            entry = _entry_for(registry, _json_object(text.encode(), source).get("auths"))
            if credential := _docker_credential(entry, f"{source}, registry {registry}"):
                return credential
        if (helper := self._helper_for(registry)) and (found := self._ask(helper, registry.key)):
            return found
        entry = _entry_for(registry, self.document.get("auths"))
        return _docker_credential(entry, f"{self.path}, registry {registry}")

    def _helper_for(self, registry: Registry) -> str | None:
        helper = _entry_for(registry, self.document.get("credHelpers"))
        helper = helper or self.document.get("credsStore")
        if helper is not None and not isinstance(helper, str):
            raise MalformedError(f"cannot read {self.path}: a helper's name is not a string")
        return helper or None

    def _ask(self, helper: str, key: str) -> Credential | None:
        """Run `docker-credential-HELPER get`: the key goes to its stdin, JSON comes back."""
        program = f"docker-credential-{helper}"
        failed = f"cannot get the credential for {key} from {program}"
        try:
            process = subprocess.run(
                [program, "get"],
                input=key.encode(),
                capture_output=True,
                env=dict(self.environ),
                timeout=_HELPER_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise CredentialHelperError(
                f"{failed}: no such program",
                hint=f"install it or take {helper!r} out of {self.path}",
            ) from error
        except subprocess.TimeoutExpired:
            # Not chained: the cause carries what the helper wrote.
            raise CredentialHelperError(
                f"{failed}: no answer within {_HELPER_SECONDS:.0f} s"
            ) from None
        except OSError as error:
            raise CredentialHelperError(f"{failed}: {error.strerror}") from error
        output = process.stdout.decode(errors="replace").strip()
        if process.returncode:
            if _HELPER_HAS_NONE in output:
                return None
            said = output or process.stderr.decode(errors="replace").strip()
            reason = said.splitlines()[0][:200] if said else f"exit code {process.returncode}"
            raise CredentialHelperError(f"{failed}: {reason}")
        try:
            fields = _text_fields(json.loads(output), program, ("Username", "Secret"))
        except (ValueError, MalformedError):
            raise CredentialHelperError(f"{failed}: its answer is not a credential") from None
        if not fields["Secret"]:
            return None
        if fields["Username"] == _TOKEN_USER:
            return Credential("", "", identity_token=fields["Secret"])
        return Credential(fields["Username"], fields["Secret"])


def _entry_for(registry: Registry, entries: object) -> Any:
    """Return the value for *registry*: its own key first, then the older keys with a URL."""
    if not isinstance(entries, dict):
        return None
    for key in (registry.key, *_legacy_keys(registry, entries)):
        if entries.get(key):
            return entries[key]
    return None


def _legacy_keys(registry: Registry, entries: Mapping[str, Any]) -> Iterator[str]:
    # docker/cli, cli/config/credentials/file_store.go: scheme and path are dropped.
    return (key for key in sorted(entries) if _registry_in(key) == registry)


def _registry_in(key: str) -> Registry | None:
    try:
        return Registry.parse(key)
    except InvalidReferenceError:
        return None


def _docker_credential(entry: object, source: str) -> Credential | None:
    """Decode an entry of `auths`; `{}` is docker's marker for one that a helper keeps."""
    if not entry:
        return None
    fields = _text_fields(
        entry, source, ("username", "password", "email", "auth", "identitytoken", "registrytoken")
    )
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        username, password = decode_auth(fields["auth"], source=source)
        password = password.strip("\0")
    if fields["identitytoken"] or fields["registrytoken"]:
        return Credential(
            "",
            "",
            identity_token=fields["identitytoken"] or None,
            registry_token=fields["registrytoken"] or None,
        )
    if not username or not password:
        return None
    return Credential(username, password, fields["email"] or None)
