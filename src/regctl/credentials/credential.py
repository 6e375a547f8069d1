"""A user and password for a registry, and the `auth` field that holds both."""

import base64
import re
from dataclasses import dataclass, field

from regctl.errors import InvalidUserError, MalformedError

_BASE64 = re.compile(
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?", re.ASCII
)


@dataclass(frozen=True)
class Credential:
    """
    A user and password for a registry, or a token.

    *identity_token* is an OAuth2 refresh token and *registry_token* a bearer token. docker's config
    may hold one of them in place of a password; username and password are then empty.
    """

    username: str
    password: str = field(repr=False)
    email: str | None = None
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)

    @property
    def user(self) -> str:
        """Who this is, for messages: a token has no user name."""
        return self.username or "the token's user"

    @property
    def login(self) -> tuple[str, str]:
        """The user and the password."""
        return self.username, self.password

    @property
    def sensitive_values(self) -> tuple[str, ...]:
        """All texts that must never be shown, base64 with and without its padding included."""
        encoded = encode_auth(self.username, self.password) if self.password else ""
        tokens = (self.identity_token, self.registry_token)
        values = (self.password, encoded, encoded.rstrip("="), *tokens)
        return tuple(value for value in values if value)


def check_username(username: str) -> str:
    """
    Return *username*. Raises InvalidUserError if basic authentication cannot carry it.

    RFC 7617, section 2: a colon ends the name, and control characters are forbidden.
    """
    if not username:
        raise InvalidUserError("the user name is empty")
    if ":" in username:
        raise InvalidUserError(f"not a user name: {username!r} contains a colon")
    if any(ord(character) < 32 or ord(character) == 127 for character in username):
        raise InvalidUserError(f"not a user name: {username!r} contains a control character")
    return username


def encode_auth(username: str, password: str) -> str:
    """Return the `auth` field: base64 of `username:password` in UTF-8."""
    return base64.b64encode(f"{username}:{password}".encode(errors="surrogateescape")).decode()


def decode_auth(auth: str, *, source: str) -> tuple[str, str]:
    """
    Return the user name and password in an `auth` field, padded or not, as the kubelet reads it.

    Raises MalformedError, which names *source* and shows nothing of the content.
    """
    # Go's base64 skips line endings and nothing else (encoding/base64).
    text = auth.replace("\r", "").replace("\n", "")
    if _BASE64.fullmatch(text) is None:
        raise MalformedError(f"cannot read {source}: `auth` is not base64")
    digits = text.rstrip("=")
    decoded = base64.b64decode(digits + "=" * (-len(digits) % 4))
    username, colon, password = decoded.decode(errors="surrogateescape").partition(":")
    if not colon:
        raise MalformedError(f"cannot read {source}: `auth` has no colon between user and password")
    return username, password
