"""
One request to a registry: authenticated, redirected and repeated as its responses ask.

Three loops, from the outside: retries, authentication, redirects.
"""

import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http import HTTPStatus
from urllib.parse import parse_qs

from regctl.credentials.credential import Credential
from regctl.errors import (
    ConnectionLostError,
    NotAuthenticatedError,
    RegctlError,
    RegistryError,
    RegistryUnreachableError,
)
from regctl.reference import Registry
from regctl.registry import error_responses
from regctl.registry.authentication import Authenticator, TokenScope
from regctl.registry.response import Response
from regctl.registry.transport import (
    MAX_RESPONSE_BYTES,
    Body,
    ConnectionSettings,
    HttpRequest,
    HttpTransport,
)
from regctl.registry.urls import host_of, resolve_redirect, same_origin
from regctl.retry import RETRIED_STATUSES, OnRequest, attempts, ignore_request, retry_after

_MAX_NOTICES = 20
_MAX_REDIRECTS = 5
_MAX_PAUSE = 120.0
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
_REPOSITORY_PATH = re.compile(r"/v2/(?P<name>.+)/(?:manifests|blobs|tags|referrers)/")
_ACTIONS = {"GET": "pull", "HEAD": "pull", "DELETE": "pull,delete"}


def _ignore(_event: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Callbacks:
    """
    What a client calls while it works, from any of its threads.

    *on_request* gets each request, *on_wait* the seconds of each pause that the registry asks for,
    *on_notice* each warning once, in words for a person.
    """

    on_request: OnRequest = ignore_request
    on_wait: Callable[[float], None] = _ignore
    on_notice: Callable[[str], None] = _ignore


@dataclass(frozen=True)
class Request:
    """
    A request for *target*, a path with its query.

    *attempt* begins the message of every error: "cannot list …". A *body* that is a file is sent
    from its current position, also when it is sent again. The response may have *limit* bytes.
    *actions* ("pull,push") are the rights to ask a token server for; by default the method decides.
    *repeatable* allows retries of a method other than GET and HEAD. A status that is not in
    *expect* is an error, unless *expect* is empty.
    """

    method: str
    target: str
    attempt: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = field(default=None, repr=False)
    limit: int = MAX_RESPONSE_BYTES
    actions: str | None = None
    repeatable: bool = False
    expect: Collection[int] = ()

    @cached_property
    def _offset(self) -> int:
        return 0 if self.body is None or isinstance(self.body, bytes) else self.body.tell()

    def on_the_wire(self, url: str, authorization: str | None) -> HttpRequest:
        """Return this request for *url*, with its body at the first position again."""
        headers = dict(self.headers)
        if authorization is not None:
            headers["Authorization"] = authorization
        offset = self._offset
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.seek(offset)
        return HttpRequest(self.method, url, self.attempt, headers, self.body, self.limit)

    def may_repeat_after(self, status: int) -> bool:
        """Return whether another try may help, and does no harm if this one had an effect."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return True
        return status in RETRIED_STATUSES and self.is_safe

    @property
    def is_safe(self) -> bool:
        """Whether the request can be sent twice."""
        return self.repeatable or self.method in _SAFE_METHODS

    @property
    def scope(self) -> TokenScope:
        """The part of the API that the request is for, and the scope that it needs."""
        path, _, query = self.target.partition("?")
        if match := _REPOSITORY_PATH.match(path):
            actions = self.actions or _ACTIONS.get(self.method, "pull,push")
            scopes = [f"repository:{match['name']}:{actions}"]
            # A blob that is mounted is read in another repository.
            scopes += [f"repository:{name}:pull" for name in parse_qs(query).get("from", ())]
            return TokenScope("repository", " ".join(scopes), self.attempt)
        if path == "/v2/_catalog":
            return TokenScope("catalog", "registry:catalog:*", self.attempt)
        return TokenScope(path, "", self.attempt)


class Session:
    """
    Sends requests to one registry, with one credential or anonymously.

    Each method raises RegistryUnreachableError, CertificateError, NotARegistryError,
    NotAuthenticatedError, NotPermittedError, UntrustedRealmError or RegistryError. Several threads
    may use one session. *clock* is in seconds.
    """

    def __init__(
        self,
        registry: Registry,
        credential: Credential | None,
        settings: ConnectionSettings,
        callbacks: Callbacks,
        clock: Callable[[], float],
    ) -> None:
        self.registry = registry
        self.credential = credential
        scheme = "http" if settings.plain_http else "https"
        self.origin = f"{scheme}://{registry.endpoint}"
        self._transport = HttpTransport(
            self.origin, settings, name=str(registry), on_request=callbacks.on_request
        )
        self._authenticator = Authenticator(
            self.origin, str(registry), credential, self._transport.send, clock
        )
        self._backoff = settings.backoff
        self._callbacks = callbacks
        self._noticed: set[str] = set()
        self._closed = threading.Event()

    def close(self) -> None:
        """End every pause with RegistryUnreachableError, for a run that is interrupted."""
        self._closed.set()

    def pause(self, seconds: float) -> None:
        """Wait before another try. Raises RegistryUnreachableError after `close`."""
        if self._closed.wait(seconds):
            raise self._interrupted()

    def _interrupted(self) -> RegistryUnreachableError:
        return RegistryUnreachableError(f"interrupted while waiting for {self.registry}")

    def note_once(self, text: str) -> None:
        """Call `on_notice` with a text, unless it was called with it before."""
        if text not in self._noticed and len(self._noticed) < _MAX_NOTICES:
            self._noticed.add(text)
            self._callbacks.on_notice(text)

    def error_for(self, reply: Response, attempt: str) -> RegctlError:
        """Return the error for an unsuccessful response."""
        return error_responses.error_for(reply, attempt, self.registry, self.credential)

    def ping_anonymously(self) -> Response:
        """Return the response to `/v2/` without a credential: 401 and challenges, or 200."""
        attempt = f"cannot reach the registry {self.registry}"
        return self._transport.send(HttpRequest("GET", f"{self.origin}/v2/", attempt))

    def send(self, request: Request) -> Response:
        """
        Send a request with the authentication that its responses ask for.

        Follows redirects of GET and HEAD, to another origin without credentials. Tries again if
        that may help: after 429 always, after 502, 503, 504 or a lost connection if the request is
        safe to repeat.
        """
        reply = self._send_with_retries(request)
        if request.expect and reply.status not in request.expect:
            raise self.error_for(reply, request.attempt)
        return reply

    def _send_with_retries(self, request: Request) -> Response:
        for attempt in attempts(self._backoff, self._closed.wait):
            try:
                reply = self._send_authenticated(request)
            except ConnectionLostError:
                if attempt.last or not request.is_safe:
                    raise
                continue
            if attempt.last or not request.may_repeat_after(reply.status):
                return reply
            seconds = retry_after(reply.headers.get("Retry-After"))
            if seconds is not None:
                if seconds > _MAX_PAUSE:
                    raise RegistryError(
                        f"{request.attempt}: the registry answers {reply.status} "
                        f"and asks to try again in {seconds:.0f} s"
                    )
                attempt.pause = seconds
            self._callbacks.on_wait(attempt.pause)
        raise self._interrupted()

    def _send_authenticated(self, request: Request) -> Response:
        """Send a request with one `Authorization` after the other, until none is left to try."""
        authorization = self._authenticator.initial_header(request.scope)
        tried: list[str] = []
        while True:
            reply = self._send_following_redirects(request, authorization)
            if reply.status != HTTPStatus.UNAUTHORIZED:
                return reply
            if not same_origin(reply.url, self.origin):
                raise NotAuthenticatedError(
                    f"{request.attempt}: the registry redirects to {host_of(reply.url)}, "
                    "which asks for a password of its own"
                )
            if authorization is not None:
                tried.append(authorization)
            following = self._authenticator.header_for(reply, tried, request.scope)
            if following is None:
                return replace(reply, with_token=(authorization or "").startswith("Bearer "))
            authorization = following

    def _send_following_redirects(self, request: Request, authorization: str | None) -> Response:
        url = self.origin + request.target
        for _ in range(_MAX_REDIRECTS):
            ours = same_origin(url, self.origin)
            reply = self._transport.send(request.on_the_wire(url, authorization if ours else None))
            for text in _WARNING.findall(reply.headers.get("Warning", "")):
                # The distribution specification, "Warnings".
                self.note_once(f"{self.registry} warns: {text}")
            location = reply.headers.get("Location")
            is_redirect = reply.status in _REDIRECTS and request.method in _SAFE_METHODS
            if not is_redirect or not location:
                return reply
            url = resolve_redirect(self.origin, url, location, request.attempt)
        raise RegistryError(
            f"{request.attempt}: the registry redirects more than {_MAX_REDIRECTS} times"
        )
