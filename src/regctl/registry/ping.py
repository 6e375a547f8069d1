"""
The checks between a user and a registry, from the host name to the user's rights.

A check that fails ends those that depend on it. No trace is left: a trial upload is cancelled.
"""

import base64
import http.client
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

from regctl.checks import Check, State
from regctl.errors import (
    AccessError,
    BodyTooLargeError,
    NoCatalogError,
    NotAuthenticatedError,
    RegctlError,
    RegistryError,
)
from regctl.registry.challenges import Challenge, parse_challenges
from regctl.registry.client import RegistryClient
from regctl.registry.products import identify
from regctl.registry.response import Response
from regctl.registry.session import Request
from regctl.registry.transport import ConnectionSettings, is_plain_http, proxy_for
from regctl.registry.urls import host_of, resolve_location

SCRATCH_REPOSITORY = "regctl-ping"
_EXPIRES_SOON_DAYS = 21
_MAX_SKEW_SECONDS = 60

# OpenSSL's X509_V_ERR_… numbers; the names change between releases.
_CERTIFICATE_EXPIRED = 10
_NAME_MISMATCH = frozenset({62, 64})  # host name, IP address

Connect = Callable[[bool], RegistryClient]


def diagnose(
    connect: Connect,
    settings: ConnectionSettings,
    *,
    user: str | None,
    upload_bytes: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """
    Yield each check as it is done.

    *connect* returns the client: for True with the credential of *user*, for False anonymous.
    *upload_bytes* is the size of a blob that is sent to a scratch repository and then cancelled.
    *clock* is in seconds since 1970.
    """
    anonymous = connect(False)
    session = anonymous.session
    for check in _Route.to(session.origin, settings).checks(clock()):
        yield check
        if check.state == "failure":
            return
    try:
        reply = session.ping_anonymously()
        if reply.status not in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}:
            raise session.error_for(reply, f"cannot reach the registry {anonymous.registry}")
    except RegctlError as error:
        yield _failure("registry", error)
        return
    challenges = parse_challenges(reply.challenges)
    yield Check("registry", "ok", _describe_product(reply, challenges))
    if (skew := _check_clock(reply, clock())) is not None:
        yield skew
    yield _check_authentication(reply, challenges)
    client = connect(user is not None)
    if user is not None:
        check = _check_password(client, user)
        yield check
        if check.state == "failure":
            return
    else:
        yield Check("password", "skipped", "no user was given", "pass --username")
        if reply.status != HTTPStatus.OK:
            return
    yield _check_catalog(client, user)
    if upload_bytes is not None:
        yield _check_upload(client, upload_bytes)


def verdict(checks: Sequence[Check]) -> RegctlError | None:
    """
    Return the error of the first check that failed, or None.

    It is NotAuthenticatedError, with its own exit code, if the registry rejects the user.
    """
    failed = next((check for check in checks if check.state == "failure"), None)
    if failed is None:
        return None
    kind = NotAuthenticatedError if isinstance(failed.error, AccessError) else RegistryError
    return kind(f"{failed.name}: {failed.message}", hint=failed.hint)


def _failure(name: str, error: RegctlError) -> Check:
    return Check(name, "failure", error.message, error.hint, error)


# Name, connection, TLS


@dataclass(frozen=True)
class _Route:
    """The way to a registry at *host* and *port*, direct or through a *proxy*."""

    host: str
    port: int
    settings: ConnectionSettings
    proxy: SplitResult | None = field(default=None, repr=False)

    @classmethod
    def to(cls, origin: str, settings: ConnectionSettings) -> "_Route":
        proxy = proxy_for(origin)
        host, port = _endpoint(urlsplit(origin))
        return cls(host, port, settings, urlsplit(proxy) if proxy is not None else None)

    def checks(self, now: float) -> Iterator[Check]:
        """Yield the checks up to a trusted connection."""
        host, port = (self.host, self.port) if self.proxy is None else _endpoint(self.proxy)
        yield _check_name(host, port, "name" if self.proxy is None else "proxy")
        yield self._check_connection(host, port)
        if not self.settings.plain_http:
            yield self._check_tls(now)

    def connect(self) -> socket.socket:
        """Return a connection to the registry. Raises OSError."""
        seconds = self.settings.connect_seconds
        if self.proxy is None:
            return socket.create_connection((self.host, self.port), seconds)
        connection = http.client.HTTPConnection(*_endpoint(self.proxy), timeout=seconds)
        if not self.settings.plain_http:
            headers = None
            if self.proxy.username:
                userinfo = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
                basic = base64.b64encode(userinfo.encode()).decode()
                headers = {"Proxy-Authorization": f"Basic {basic}"}
            connection.set_tunnel(self.host, self.port, headers=headers)
        connection.connect()
        return connection.sock

    def _check_connection(self, host: str, port: int) -> Check:
        try:
            with self.connect():
                through = "" if self.proxy is None else f" through the proxy {host}:{port}"
                return Check("connection", "ok", f"port {self.port} is open{through}")
        except OSError as error:
            reason = "no response in time" if isinstance(error, TimeoutError) else error.strerror
            hint = "check $HTTPS_PROXY and $NO_PROXY"
            if self.proxy is None:
                hint = "is it running, is the port correct, is a firewall in between?"
            message = f"port {port} of {host}: {(reason or 'no connection').lower()}"
            return Check("connection", "failure", message, hint)

    def _check_tls(self, now: float) -> Check:
        try:
            certificate = self._certificate()
        except ssl.SSLCertVerificationError as error:
            trusted_anyway = self.settings.insecure_skip_tls_verify
            state: State = "warning" if trusted_anyway else "failure"
            message = f"the certificate is not trusted: {error.verify_message}"
            return Check("TLS", state, message, _certificate_hint(error))
        except ssl.SSLError as error:
            if not is_plain_http(error):
                reason = error.reason or "the connection broke"
                return Check("TLS", "failure", f"no TLS connection: {reason}")
            return Check(
                "TLS",
                "failure",
                f"port {self.port} speaks HTTP, not HTTPS",
                "pass --plain-http if you trust the network",
            )
        except OSError as error:
            reason = error.strerror or "no response"
            return Check("TLS", "failure", f"no TLS connection: {reason}")
        days = int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now) // 86400)
        message = f"trusted, issued by {_issuer(certificate)}, valid for {days} more days"
        if days <= _EXPIRES_SOON_DAYS:
            return Check("TLS", "warning", message, "renew the certificate")
        return Check("TLS", "ok", message)

    def _certificate(self) -> dict[str, object]:
        """Return the registry's certificate. Raises OSError, ssl.SSLError."""
        settings = self.settings
        ca_file = str(settings.ca_file) if settings.ca_file else None
        context = ssl.create_default_context(cafile=ca_file)
        if settings.client_cert is not None:
            context.load_cert_chain(settings.client_cert, settings.client_key)
        with self.connect() as plain, context.wrap_socket(plain, server_hostname=self.host) as tls:
            return dict(tls.getpeercert() or {})


def _endpoint(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _check_name(host: str, port: int, name: str) -> Check:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = "not a host name"
        if isinstance(error, OSError):
            reason = (error.strerror or "no address").lower()
        return Check(name, "failure", f"cannot resolve {host}: {reason}", "is the name correct?")
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Check(name, "ok", f"{host} is {', '.join(addresses)}")


def _certificate_hint(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _CERTIFICATE_EXPIRED:
        return "renew the certificate on the server"
    if error.verify_code in _NAME_MISMATCH:
        return "use the name that the certificate is for, or get a certificate for this name"
    return "pass --ca-file with the certificate that signed it"


def _issuer(certificate: dict[str, object]) -> str:
    fields = certificate.get("issuer")
    pairs = [pair for group in fields for pair in group] if isinstance(fields, tuple) else []
    named = dict(pairs)
    return str(named.get("organizationName") or named.get("commonName") or "an unnamed issuer")


# The registry


def _describe_product(reply: Response, challenges: Sequence[Challenge]) -> str:
    """Return which registry it is, as far as its challenges and headers tell."""
    words = [value for challenge in challenges for value in challenge.parameters.values()]
    product = identify(" ".join([*words, reply.headers.get("Server", "")]))
    version = reply.headers.get("Docker-Distribution-Api-Version")
    answer = "the registry's API answers" if version else "an OCI registry's API answers"
    return f"{answer}, probably {product.name}" if product else answer


def _check_clock(reply: Response, now: float) -> Check | None:
    """Return a warning if the registry's clock differs from ours, or None."""
    try:
        theirs = parsedate_to_datetime(reply.headers.get("Date", ""))
    except ValueError:
        return None
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=timezone.utc)
    skew = (theirs - datetime.fromtimestamp(now, timezone.utc)).total_seconds()
    if abs(skew) <= _MAX_SKEW_SECONDS:
        return None
    direction = "ahead of" if skew > 0 else "behind"
    return Check(
        "clock",
        "warning",
        f"the registry's clock is {abs(skew):.0f} s {direction} this machine's",
        "set both clocks: tokens and certificates depend on them",
    )


def _check_authentication(reply: Response, challenges: Sequence[Challenge]) -> Check:
    if reply.status == HTTPStatus.OK:
        return Check("authentication", "warning", "none: anybody can use the registry")
    if not challenges:
        return Check(
            "authentication",
            "failure",
            "the registry answers 401 without a challenge",
            "does a proxy in front of it remove the WWW-Authenticate header?",
        )
    return Check("authentication", "ok", "; ".join(_describe(one) for one in challenges))


def _describe(challenge: Challenge) -> str:
    realm = challenge.parameters.get("realm", "")
    if challenge.scheme == "bearer":
        return f"Bearer, with tokens from {host_of(realm)}"
    return f"{challenge.scheme.title()}, realm {realm or 'unnamed'!r}"


# The user


def _check_password(client: RegistryClient, user: str) -> Check:
    try:
        client.ping()
    except RegctlError as error:
        return _failure("password", error)
    return Check("password", "ok", f"the registry accepts {user}")


def _check_catalog(client: RegistryClient, user: str | None) -> Check:
    try:
        first = next(client.repositories(), None)
    except (AccessError, NoCatalogError) as error:
        return Check("catalog", "warning", error.message, error.hint)
    except RegctlError as error:
        return _failure("catalog", error)
    who = user or "anybody"
    message = (
        f"{who} can list it" if first is not None else f"it is empty for {user or 'everybody'}"
    )
    return Check("catalog", "ok", message)


def _check_upload(client: RegistryClient, size: int) -> Check:
    """Send *size* bytes as a layer would be sent, and cancel the upload."""
    try:
        _send_and_cancel(client, size)
    except BodyTooLargeError as error:
        return Check("upload", "failure", f"{error.message}: {size} bytes", error.hint, error)
    except AccessError as error:
        return Check("upload", "warning", error.message, error.hint)
    except RegctlError as error:
        return _failure("upload", error)
    return Check("upload", "ok", f"{size} bytes were sent, and the upload was cancelled")


def _send_and_cancel(client: RegistryClient, size: int) -> None:
    attempt = f"cannot upload to {client.registry}/{SCRATCH_REPOSITORY}"
    accepted = {HTTPStatus.ACCEPTED}
    target = f"/v2/{SCRATCH_REPOSITORY}/blobs/uploads/"
    reply = client.session.send(Request("POST", target, attempt, expect=accepted))
    target = resolve_location(reply.headers.get("Location", ""), reply.url, attempt)
    try:
        with tempfile.TemporaryFile() as zeros:
            zeros.truncate(size)
            headers = {"Content-Type": "application/octet-stream"}
            reply = client.session.send(Request("PATCH", target, attempt, headers, zeros))
        if location := reply.headers.get("Location"):
            target = resolve_location(location, reply.url, attempt)
    finally:
        client.session.send(Request("DELETE", target, attempt))
    if reply.status not in accepted:
        raise client.session.error_for(reply, attempt)
