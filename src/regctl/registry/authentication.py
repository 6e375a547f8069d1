"""
Who we say we are, URL by URL: Basic, Bearer with a token server, or nobody.

A registry may want different things for its list of repositories and for an image, so each 401's
own challenge is obeyed, and what worked is remembered for that part of the API only. How tokens
are asked for follows distribution's token specification (docs/spec/auth/token.md and oauth.md).
"""

import contextlib
import ipaddress
import json
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

from regctl.credentials.credential import Credential, encode_auth
from regctl.errors import (
    AccessError,
    NotAuthenticatedError,
    NotPermittedError,
    RegctlError,
    RegistryError,
    UntrustedRealmError,
)
from regctl.registry.challenges import Challenge, parse_challenges
from regctl.registry.response import Response

_CLIENT_ID = "regctl"
_MAX_TOKEN_ANSWER = 1024 * 1024
# Seconds: what a token lives at least, by the specification, and what is left for its way.
_MIN_LIFE = 60.0
_MARGIN = 5.0
_KEPT_TOKENS = 256
PRIVATE = 1
_INSIDE = (
    "",
    "which is inside a private network",
    "which is inside the link-local network",
    "which is inside this machine",
)

Send = Callable[..., Response]


class Want(NamedTuple):
    """
    What a request is about: the *part* of the API that authenticates alike, the *scope* that a
    token needs for it where the challenge names none, and what is attempted.
    """

    part: str
    scope: str
    attempt: str


@dataclass(frozen=True)
class _Source:
    """Where tokens come from."""

    realm: str
    service: str


@dataclass(frozen=True)
class _Token:
    text: str = field(repr=False)
    expires: float


@dataclass
class _Slot:
    """A token, or why there is none: asked for under its lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: _Token | None = None
    refusal: AccessError | None = None


class Authenticator:
    """
    The `Authorization` header for each request to one registry.

    *send* sends a request as transport.HttpTransport.send does. Tokens are kept until shortly before they
    expire; threads that want the same one wait for the first that asks. *clock* is in seconds.
    """

    def __init__(
        self,
        origin: str,
        name: str,
        credential: Credential | None,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = origin
        self._name = name
        self._credential = credential
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._sources: dict[str, _Source] = {}
        self._slots: OrderedDict[tuple[_Source, str], _Slot] = OrderedDict()

    def first(self, want: Want) -> str | None:
        """
        Return the header to begin with, or None to go as nobody.

        For a part of the API where a token server was named before, a token. Else
        the password, where there is one: a registry that shows less to nobody gives no challenge.
        """
        with self._lock:
            source = self._sources.get(want.part)
        if source is not None:
            return f"Bearer {self._token(source, want.scope, want.attempt)}"
        return self._own()

    def after(self, reply: Response, tried: Sequence[str], want: Want) -> str | None:
        """
        Return the header that the challenges of a 401 ask for, or None where we have none.

        What was *tried* for this request is not offered again. Raises UntrustedRealmError for a
        token server that must not see a password, and what asking it raises.
        """
        challenges = parse_challenges(reply.challenges)
        if not challenges and not urlsplit(reply.url).path.endswith("/v2/"):
            # What is asked for stands at the door, if anywhere.
            door = self._send("GET", f"{self._origin}/v2/", want.attempt, headers={})
            challenges = parse_challenges(door.challenges)
        for challenge in challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                header = self._bearer(challenge, reply.url, tried, want)
                if header is not None:
                    return header
        basic = self._basic()
        if any(challenge.scheme == "basic" for challenge in challenges) and basic not in tried:
            with self._lock:
                self._sources.pop(want.part, None)
            return basic
        return None

    # Basic

    def _own(self) -> str | None:
        """Return what a credential says by itself."""
        credential = self._credential
        if credential is not None and credential.registry_token:
            return f"Bearer {credential.registry_token}"
        return self._basic()

    def _basic(self) -> str | None:
        credential = self._credential
        if credential is None or not credential.password:
            return None
        return f"Basic {encode_auth(credential.username, credential.password)}"

    # Bearer

    def _bearer(
        self, challenge: Challenge, url: str, tried: Sequence[str], want: Want
    ) -> str | None:
        source = self._checked(challenge, url, want.attempt)
        wanted = challenge.parameters.get("scope") or want.scope
        bearers = sum(header.startswith("Bearer ") for header in tried)
        if bearers and challenge.parameters.get("error") == "insufficient_scope":
            if bearers > 1 or wanted == want.scope:
                raise NotPermittedError(f"{want.attempt}: forbidden for {self._whom()}")
        elif bearers > 1:
            return None
        slot = self._slot(source, wanted)
        if slot.token is not None and f"Bearer {slot.token.text}" in tried:
            slot.token = None  # it was refused before its time
        header = f"Bearer {self._token(source, wanted, want.attempt)}"
        with self._lock:
            self._sources[want.part] = source
        return None if header in tried else header

    def _checked(self, challenge: Challenge, url: str, attempt: str) -> _Source:
        """Return the token server of a challenge, where it may be trusted with a password."""
        realm = urljoin(url, challenge.parameters["realm"])
        reason = deny_realm_reason(self._origin, realm)
        if reason is not None:
            raise UntrustedRealmError(
                f"{attempt}: {self._name} sends us for a token to {realm}, {reason}: "
                "no password was sent there"
            )
        return _Source(realm, challenge.parameters.get("service", ""))

    def _slot(self, source: _Source, scope: str) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault((source, scope), _Slot())
            self._slots.move_to_end((source, scope))
            while len(self._slots) > _KEPT_TOKENS:
                self._slots.popitem(last=False)
            return slot

    def _token(self, source: _Source, scope: str, attempt: str) -> str:
        slot = self._slot(source, scope)
        with slot.lock:
            if slot.refusal is not None:
                # Asked once: a wrong password, tried by all threads, may lock the user out.
                raise type(slot.refusal)(slot.refusal.message, hint=slot.refusal.hint)
            if slot.token is None or slot.token.expires <= self._clock():
                try:
                    slot.token = self._ask(source, scope, attempt)
                except AccessError as error:
                    slot.refusal = error
                    raise
            return slot.token.text

    def _ask(self, source: _Source, scope: str, attempt: str) -> _Token:
        """Ask for a token, in Quay's words where the usual ones are not understood."""
        began = self._clock()
        reply = self._asked(source, scope, attempt)
        if reply.status == HTTPStatus.BAD_REQUEST and (fewer := _for_quay(scope)) != scope:
            reply = self._asked(source, fewer, attempt)
        if reply.status != HTTPStatus.OK:
            raise self._refused(reply, attempt)
        document = _json_object(reply.body)
        text = document.get("token") or document.get("access_token")
        # Visible ASCII alone can stand in a header.
        if not isinstance(text, str) or not text or not all("!" <= c <= "~" for c in text):
            raise RegistryError(f"{attempt}: the token server {_host(source)} gives no token")
        life = document.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) and life < 1e9 else 0.0
        seconds -= _age(document, reply)
        return _Token(text, began + max(seconds - _MARGIN, _MIN_LIFE))

    def _asked(self, source: _Source, scope: str, attempt: str) -> Response:
        credential = self._credential
        token = credential.identity_token if credential is not None else None
        scopes = scope.split(" ") if scope else []
        if token is not None:
            form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": _CLIENT_ID}
            form |= {"service": source.service} if source.service else {}
            form |= {"scope": scope} if scope else {}
            reply = self._send(
                "POST",
                source.realm,
                attempt,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
                limit=_MAX_TOKEN_ANSWER,
            )
            if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                raise NotAuthenticatedError(
                    f"{attempt}: the token server {_host(source)} takes no refresh tokens",
                    hint="log in with a user and a password",
                )
            return reply
        query = [("service", source.service)] if source.service else []
        query += [("scope", one) for one in scopes]
        basic = self._basic()
        if basic is not None and credential is not None:
            query.append(("account", credential.username))
        joiner = "&" if urlsplit(source.realm).query else "?"
        url = f"{source.realm}{joiner if query else ''}{urlencode(query, quote_via=quote)}"
        headers = {"Authorization": basic} if basic is not None else {}
        return self._send("GET", url, attempt, headers=headers, limit=_MAX_TOKEN_ANSWER)

    def _refused(self, reply: Response, attempt: str) -> RegctlError:
        host = urlsplit(reply.url).netloc
        match reply.status:
            case HTTPStatus.UNAUTHORIZED if self._credential is None:
                return NotAuthenticatedError(
                    f"{attempt}: the token server {host} asks for a user and password",
                    hint="pass --username and --password-stdin",
                )
            case HTTPStatus.UNAUTHORIZED:
                return NotAuthenticatedError(
                    f"{attempt}: the token server {host} refuses the password of {self._whom()}"
                )
            case HTTPStatus.FORBIDDEN:
                return NotPermittedError(f"{attempt}: {self._whom()} may not")
        return RegistryError(f"{attempt}: the token server {host} answers {reply.status}")

    def _whom(self) -> str:
        if self._credential is None:
            return "nobody"
        return self._credential.username or "the token's user"


def deny_realm_reason(origin: str, realm: str) -> str | None:
    """
    Return why a password for *origin* must not go to the token server *realm*, or None.

    Plain HTTP is for registries on plain HTTP; an address of this machine or of the link is for
    registries that are there too.
    """
    ours, theirs = urlsplit(origin), urlsplit(realm)
    if theirs.scheme not in {"https", "http"} or not theirs.hostname:
        return "which is no address"
    if "@" in theirs.netloc:
        return "which holds a user"
    if theirs.scheme == "http" and ours.scheme != "http":
        return "which is not HTTPS"
    return closer(origin, realm)


def closer(origin: str, url: str, *, beyond: int = 0) -> str | None:
    """
    Return where *url* is, if that is nearer to us than *origin* and than *beyond*, or None.

    A registry on the Internet must not make us ask what only we can reach: a private network, the
    metadata server of a cloud, this machine.
    """
    ours, theirs = urlsplit(origin).hostname or "", urlsplit(url).hostname or ""
    if ours == theirs:
        return None
    there = _nearness(theirs)
    if there <= max(beyond, _nearness(ours)):
        return None
    return _INSIDE[there]


def _nearness(host: str) -> int:
    """Return 0 for a public host, 1 for a private one, 2 for link-local, 3 for this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return 3
    with contextlib.suppress(ValueError):
        return _address_nearness(ipaddress.ip_address(host.partition("%")[0]))
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return 0  # a proxy may know it
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}
    return max(_address_nearness(ipaddress.ip_address(address)) for address in addresses)


def _address_nearness(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_unspecified:
        return 3
    return 2 if address.is_link_local else int(not address.is_global)


def _for_quay(scope: str) -> str:
    """Return *scope* as Quay knows it: its scopes are for repositories, and none is "delete"."""
    scopes = [one for one in scope.split() if not one.startswith("registry:")]
    return " ".join(
        f"{one.rpartition(':')[0]}:*" if "delete" in one.rpartition(":")[2] else one
        for one in scopes
    )


def _age(document: Mapping[str, Any], reply: Response) -> float:
    """Return how many seconds ago a token was issued, by its server's own clock."""
    try:
        now = parsedate_to_datetime(reply.headers.get("Date", ""))
        # Go writes nanoseconds and "Z", which Python 3.10 does not read.
        issued = re.sub(r"\.\d+", "", str(document.get("issued_at"))).replace("Z", "+00:00")
        return max(0.0, (now - datetime.fromisoformat(issued)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _host(source: _Source) -> str:
    return urlsplit(source.realm).netloc


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
