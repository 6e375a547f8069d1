"""
The `Authorization` header of each request: Basic, Bearer with a token server, or none.

A registry may ask for different schemes for its list of repositories and for an image. So each
401's own challenge is obeyed, and what worked is remembered for that part of the API only. Tokens
are requested as in distribution's specification (docs/spec/auth/token.md and oauth.md).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, urlencode

from regctl.credentials.credential import Credential, encode_auth
from regctl.errors import (
    AccessError,
    NotAuthenticatedError,
    NotPermittedError,
    RegctlError,
    RegistryError,
)
from regctl.registry.challenges import Challenge, parse_challenges
from regctl.registry.request import Request
from regctl.registry.response import Response
from regctl.registry.transport import HttpTransport
from regctl.registry.urls import host_of
from regctl.retry import parse_http_date, parse_time

_CLIENT_ID = "regctl"
_MAX_TOKEN_RESPONSE = 1024 * 1024
# Seconds. The specification's least lifetime of a token, and what is subtracted for its transfer.
_MIN_LIFETIME = 60.0
_MARGIN = 5.0
_MAX_CACHED_TOKENS = 256


class TokenServer(NamedTuple):
    """Where a challenge says that tokens come from."""

    realm: str
    service: str


@dataclass
class _CachedToken:
    """A token, or the error of the request for it. The thread that holds *lock* requests it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    header: str = field(default="", repr=False)
    expires: float = float("-inf")
    refusal: AccessError | None = None


class Authenticator:
    """
    Decides the `Authorization` header for each request to the registry that *transport* is for.

    Tokens are kept until shortly before they expire. Threads that
    want the same token wait for the first one, which requests it. *clock* is in seconds.
    """

    def __init__(
        self,
        transport: HttpTransport,
        credential: Credential | None,
        clock: Callable[[], float],
    ) -> None:
        self._origin = transport.origin
        self._gate = transport.gate
        self._send = transport.send
        self._is_anonymous = credential is None
        self._credential = credential or Credential("", "")
        self._clock = clock
        self._lock = threading.Lock()
        self._servers: dict[str, TokenServer] = {}
        self._tokens: OrderedDict[tuple[TokenServer, str], _CachedToken] = OrderedDict()

    def initial_header(self, request: Request) -> str | None:
        """
        Return the header to begin with, or None for an anonymous request.

        It is a token if a token server is known for this part of the API, else the password. A
        password is sent without a challenge: some registries show less to anonymous clients
        instead of challenging them.
        """
        with self._lock:
            server = self._servers.get(request.part)
        if server is not None:
            return self._token_header(server, request.scope, request.attempt)
        if self._credential.registry_token:
            return f"Bearer {self._credential.registry_token}"
        return self._basic_header()

    def header_for(self, reply: Response, tried: Sequence[str], request: Request) -> str | None:
        """
        Return the header that the challenges of a 401 ask for, or None if no other is left to try.

        A header that was *tried* for this request is not returned again. Raises UntrustedUrlError
        for a token server that must not get the password, and what the request for a token raises.
        """
        challenges = parse_challenges(reply.challenges)
        if not challenges and reply.url != f"{self._origin}/v2/":
            # A proxy may remove the challenge, or the registry forget it: `/v2/` has one.
            root = self._send(Request("GET", "/v2/", request.attempt))
            challenges = parse_challenges(root.challenges)
        for challenge in challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                header = self._bearer_header(challenge, reply.url, tried, request)
                if header is not None:
                    return header
        basic = self._basic_header()
        if any(challenge.scheme == "basic" for challenge in challenges) and basic not in tried:
            with self._lock:
                self._servers.pop(request.part, None)
            return basic
        return None

    def _basic_header(self) -> str | None:
        credential = self._credential
        if not credential.password:
            return None
        return f"Basic {encode_auth(credential.username, credential.password)}"

    def _bearer_header(
        self, challenge: Challenge, url: str, tried: Sequence[str], request: Request
    ) -> str | None:
        server = self._token_server(challenge, url, request.attempt)
        needed = challenge.parameters.get("scope") or request.scope
        bearers = sum(header.startswith("Bearer ") for header in tried)
        if bearers and challenge.parameters.get("error") == "insufficient_scope":
            if bearers > 1 or needed == request.scope:
                raise NotPermittedError(f"{request.attempt}: forbidden for {self._username}")
        elif bearers > 1:
            return None
        header = self._token_header(server, needed, request.attempt, rejected=tried)
        with self._lock:
            self._servers[request.part] = server
        return None if header in tried else header

    def _token_server(self, challenge: Challenge, url: str, attempt: str) -> TokenServer:
        """Return the token server of a challenge, if a password may be sent to it."""
        realm = self._gate.realm(challenge.parameters["realm"], url, attempt)
        return TokenServer(realm, challenge.parameters.get("service", ""))

    # Tokens

    def _token_header(
        self, server: TokenServer, scope: str, attempt: str, *, rejected: Collection[str] = ()
    ) -> str:
        """Return the header with a token, cached or new; not one that was *rejected*."""
        token = self._cached(server, scope)
        with token.lock:
            if token.refusal is not None:
                # A wrong password is sent once: several tries may lock the user.
                raise type(token.refusal)(token.refusal.message, hint=token.refusal.hint)
            if token.expires <= self._clock() or token.header in rejected:
                try:
                    token.header, token.expires = self._request_token(server, scope, attempt)
                except AccessError as error:
                    token.refusal = error
                    raise
            return token.header

    def _cached(self, server: TokenServer, scope: str) -> _CachedToken:
        with self._lock:
            token = self._tokens.setdefault((server, scope), _CachedToken())
            self._tokens.move_to_end((server, scope))
            while len(self._tokens) > _MAX_CACHED_TOKENS:
                self._tokens.popitem(last=False)
            return token

    def _request_token(self, server: TokenServer, scope: str, attempt: str) -> tuple[str, float]:
        """Return a header with a new token, and the time when it expires, by our clock."""
        started = self._clock()
        send = self._post_refresh_token if self._credential.identity_token else self._get_token
        reply = send(server, scope, attempt)
        if reply.status == HTTPStatus.BAD_REQUEST and (fewer := _scope_for_quay(scope)) != scope:
            reply = send(server, fewer, attempt)
        if reply.status != HTTPStatus.OK:
            raise self._token_error(reply, attempt)
        document = reply.document if isinstance(reply.document, dict) else {}
        text = document.get("token") or document.get("access_token")
        # A header may hold visible ASCII only.
        if not isinstance(text, str) or not text or not all("!" <= c <= "~" for c in text):
            raise RegistryError(f"{attempt}: the token server {host_of(reply.url)} sends no token")
        expires_in = document.get("expires_in")
        seconds = 0.0
        if isinstance(expires_in, int | float) and 0 < expires_in < 1e9:
            seconds = float(expires_in)
        seconds -= max(0.0, _age(document.get("issued_at"), reply.headers.get("Date", "")))
        return f"Bearer {text}", started + max(seconds - _MARGIN, _MIN_LIFETIME)

    def _get_token(self, server: TokenServer, scope: str, attempt: str) -> Response:
        query = [("service", server.service)] if server.service else []
        query += [("scope", one) for one in scope.split()]
        headers = {}
        if basic := self._basic_header():
            query.append(("account", self._credential.username))
            headers["Authorization"] = basic
        url = server.realm
        if query:
            url += f"{'&' if '?' in url else '?'}{urlencode(query, quote_via=quote)}"
        return self._send(Request("GET", url, attempt, headers, limit=_MAX_TOKEN_RESPONSE))

    def _post_refresh_token(self, server: TokenServer, scope: str, attempt: str) -> Response:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._credential.identity_token,
            "client_id": _CLIENT_ID,
            "service": server.service,
            "scope": scope,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        reply = self._send(
            Request("POST", server.realm, attempt, headers, body, limit=_MAX_TOKEN_RESPONSE)
        )
        if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
            raise NotAuthenticatedError(
                f"{attempt}: the token server {host_of(reply.url)} accepts no refresh tokens",
                hint="log in with a user and a password",
            )
        return reply

    def _token_error(self, reply: Response, attempt: str) -> RegctlError:
        server = f"the token server {host_of(reply.url)}"
        match reply.status:
            case HTTPStatus.UNAUTHORIZED if self._is_anonymous:
                return NotAuthenticatedError(
                    f"{attempt}: {server} asks for a user and password",
                    hint="pass --username and --password-stdin",
                )
            case HTTPStatus.UNAUTHORIZED:
                return NotAuthenticatedError(
                    f"{attempt}: {server} rejects the password of {self._username}"
                )
            case HTTPStatus.FORBIDDEN:
                return NotPermittedError(
                    f"{attempt}: {server} permits no access for {self._username}"
                )
        return RegistryError(f"{attempt}: {server} answers {reply.status}")

    @property
    def _username(self) -> str:
        return "anonymous clients" if self._is_anonymous else self._credential.user


def _scope_for_quay(scope: str) -> str:
    """Return *scope* as Quay accepts it: its scopes are for repositories, and none is "delete"."""
    scopes = [one for one in scope.split() if not one.startswith("registry:")]
    return " ".join(
        f"{one.rpartition(':')[0]}:*" if "delete" in one.rpartition(":")[2] else one
        for one in scopes
    )


def _age(issued_at: object, date: str) -> float:
    """Return how many seconds ago a token was issued, by the clock of its server."""
    issued, sent = parse_time(issued_at), parse_http_date(date)
    return (sent - issued).total_seconds() if issued and sent else 0.0
