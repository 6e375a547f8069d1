"""
One request to a registry: authenticated, redirected and repeated as its responses ask.

Three loops, from the outside: retries, authentication, redirects.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from regctl.credentials.credential import Credential
from regctl.errors import (
    ConnectionLostError,
    NotAuthenticatedError,
    RegctlError,
    RegistryError,
    RegistryUnreachableError,
)
from regctl.redaction import redact
from regctl.reference import Registry
from regctl.registry import error_responses
from regctl.registry.authentication import Authenticator
from regctl.registry.request import Request
from regctl.registry.response import Response
from regctl.registry.transport import ConnectionSettings, HttpTransport
from regctl.registry.urls import host_of, same_origin
from regctl.retry import (
    MAX_WARNINGS,
    OnRequest,
    RequestTrace,
    attempts,
    ignore_request,
    parse_warnings,
    retry_after,
)

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Callbacks:
    """
    What a session calls while it works, from any of its threads.

    *on_request* gets each request, *on_wait* the seconds of each pause that the registry asks for,
    *on_notice* each warning once, in words for a person.
    """

    on_request: OnRequest = ignore_request
    on_wait: Callable[[float], None] = lambda _seconds: None
    on_notice: Callable[[str], None] = lambda _text: None


class Session:
    """
    Sends requests to one registry, with one credential or anonymously.

    Each method raises RegistryUnreachableError, CertificateError, NotARegistryError,
    NotAuthenticatedError, NotPermittedError, UntrustedUrlError or RegistryError. Several threads
    may use one session. *clock* is in seconds.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        credential: Credential | None = None,
        settings: ConnectionSettings = ConnectionSettings(),  # noqa: B008 - it is frozen
        callbacks: Callbacks = Callbacks(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self.credential = credential
        self.settings = settings
        scheme = "http" if settings.plain_http else "https"
        self.origin = f"{scheme}://{registry.endpoint}"
        self._transport = HttpTransport(
            self.origin, settings, name=str(registry), on_request=self._trace
        )
        self._authenticator = Authenticator(self._transport, credential, clock)
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
        if text not in self._noticed and len(self._noticed) < MAX_WARNINGS:
            self._noticed.add(text)
            self._callbacks.on_notice(text)

    def redacted(self, text: str) -> str:
        """Return text from the registry, or a URL, without the secrets of the credential."""
        return redact(text, self.credential.sensitive_values if self.credential else ())

    def _trace(self, request: RequestTrace) -> None:
        self._callbacks.on_request(replace(request, url=self.redacted(request.url)))

    def error_for(self, reply: Response, attempt: str) -> RegctlError:
        """Return the error for an unsuccessful response."""
        return error_responses.error_for(reply, attempt, self.credential)

    def ping_anonymously(self) -> Response:
        """
        Return the response to `/v2/` without a credential: 401 and challenges, or 200.

        Raises NotARegistryError for a web page.
        """
        attempt = f"cannot reach the registry {self.registry}"
        reply = self._transport.send(Request("GET", "/v2/", attempt))
        error_responses.require_registry(reply, attempt)
        return reply

    def send(self, request: Request) -> Response:
        """
        Send a request with the authentication that its responses ask for.

        Follows redirects of GET and HEAD, to another origin without credentials. Repeats any
        request that the registry did not process (`retry.NOT_PROCESSED`). Repeats a request that
        may be sent twice after `request.BUSY` or a lost connection, too.
        """
        reply = self._send_with_retries(request)
        if request.expect and reply.status not in request.expect:
            raise self.error_for(reply, request.attempt)
        return reply

    def _send_with_retries(self, request: Request) -> Response:
        for attempt in attempts(self.settings.backoff, self._closed.wait):
            try:
                with self.settings.time_limit(request):
                    reply = self._send_authenticated(request)
            except ConnectionLostError:
                if attempt.last or not request.may_repeat:
                    raise
                continue
            if attempt.last or not request.may_repeat_after(reply.status):
                return reply
            seconds = retry_after(reply.headers.get("Retry-After"))
            if seconds is not None:
                if seconds > self.settings.backoff.patience:
                    raise RegistryError(
                        f"{request.attempt}: the registry answers {reply.status} "
                        f"and asks to try again in {seconds:.0f} s"
                    )
                attempt.pause = seconds
            self._callbacks.on_wait(attempt.pause)
        raise self._interrupted()

    def _send_authenticated(self, request: Request) -> Response:
        """Send a request with one `Authorization` after the other, until none is left to try."""
        authorization = self._authenticator.initial_header(request)
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
            following = self._authenticator.header_for(reply, tried, request)
            if following is None:
                return replace(reply, with_token=(authorization or "").startswith("Bearer "))
            authorization = following

    def _send_following_redirects(self, request: Request, authorization: str | None) -> Response:
        url = self.origin + request.target
        for _ in range(_MAX_REDIRECTS):
            headers = dict(request.headers)
            if authorization is not None and same_origin(url, self.origin):
                headers["Authorization"] = authorization
            reply = self._transport.send(replace(request, target=url, headers=headers))
            for text in parse_warnings(reply.headers.get("Warning", "")):
                # The distribution specification, "Warnings".
                self.note_once(f"{self.registry} warns: {self.redacted(text)}")
            location = reply.headers.get("Location")
            if not (location and request.is_read and reply.status in _REDIRECTS):
                return reply
            url = self._transport.gate.redirect(location, url, request.attempt)
        raise RegistryError(
            f"{request.attempt}: the registry redirects more than {_MAX_REDIRECTS} times"
        )
