"""
The checks between a user and a registry, from the host name to the user's rights.

A check that fails ends those that depend on it. No trace is left: a trial upload is cancelled.
"""

import errno
import http.client
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from regctl.checks import Check, State
from regctl.connection import NO_PROXY_URL, REMEDIES
from regctl.credentials.credential import Credential, encode_auth
from regctl.errors import (
    AccessError,
    CertificateError,
    NoCatalogError,
    NotAuthenticatedError,
    RegctlError,
    RegistryError,
    RegistryUnreachableError,
)
from regctl.registry.challenges import Challenge, parse_challenges
from regctl.registry.client import RegistryClient
from regctl.registry.products import identify
from regctl.registry.request import Request
from regctl.registry.response import Response
from regctl.registry.transport import ConnectionSettings, proxy_for, tls_context, tls_error
from regctl.registry.urls import host_of, resolve_location
from regctl.retry import parse_http_date

SCRATCH_REPOSITORY = "regctl-ping"
_EXPIRES_SOON_DAYS = 21
_MAX_SKEW_SECONDS = 60

Connect = Callable[[Credential | None], RegistryClient]


def diagnose(
    connect: Connect,
    credential: Credential | None,
    *,
    upload_bytes: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """
    Yield each check as it is done.

    *connect* returns a client with *credential*, and for None an anonymous one. *upload_bytes* is
    the size of a blob that is sent to a scratch repository and then cancelled. *clock* is in
    seconds since 1970.
    """
    anonymous = connect(None)
    try:
        route = _Route(anonymous.origin, anonymous.settings)
    except RegctlError as error:
        yield Check("proxy", "failure", error.message, error.hint, error)
        return
    for check in route.checks(clock()):
        yield check
        if check.state == "failure":
            return
    try:
        reply = anonymous.ping_anonymously()
        if reply.status not in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}:
            raise anonymous.error_for(reply, f"cannot reach the registry {anonymous.registry}")
    except RegctlError as error:
        yield Check("registry", "failure", error.message, error.hint, error)
        return
    challenges = parse_challenges(reply.challenges)
    yield Check("registry", "ok", _describe_product(reply, challenges))
    yield from _check_clock(reply, clock())
    yield _check_authentication(reply, challenges)
    client = connect(credential)
    user = credential.user if credential is not None else None
    if user is not None:
        check = _run("password", partial(_check_password, client, user))
        yield check
        if check.state == "failure":
            return
    else:
        yield Check("password", "skipped", "no user was given", "pass --username")
        if reply.status != HTTPStatus.OK:
            return
    yield _run("catalog", partial(_check_catalog, client, user), AccessError, NoCatalogError)
    if upload_bytes is not None:
        yield _run("upload", partial(_check_upload, client, upload_bytes), AccessError)


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


def _run(name: str, check: Callable[[], str], *tolerated: type[RegctlError]) -> Check:
    """
    Run *check*, which returns the message of its success.

    An error that it raises is a failure, or a warning if the error is *tolerated*.
    """
    try:
        return Check(name, "ok", check())
    except RegctlError as error:
        state: State = "warning" if isinstance(error, tolerated) else "failure"
        return Check(name, state, error.message, error.hint, error)


# Name, connection, TLS


class _Route:
    """
    The way to the registry at *origin*, direct or through the proxy of the environment.

    Raises RegistryUnreachableError if the proxy is not the URL of one.
    """

    def __init__(self, origin: str, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._host = urlsplit(origin).netloc
        self._registry = self._first_stop = _host_and_port(urlsplit(origin))
        self._proxy: SplitResult | None = None
        if (proxy := proxy_for(origin)) is None:
            return
        try:
            self._proxy = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            self._first_stop = _host_and_port(self._proxy)
            is_url = self._proxy.scheme in {"http", "https"} and bool(self._proxy.hostname)
        except ValueError:
            is_url = False
        if not is_url:
            raise RegistryUnreachableError(NO_PROXY_URL, hint=REMEDIES["proxy"].registry)

    def checks(self, now: float) -> Iterator[Check]:
        """Yield the checks up to a trusted connection."""
        yield _run("name" if self._proxy is None else "proxy", self._check_name)
        yield _run("connection", self._check_connection)
        if not self._settings.plain_http:
            skips = self._settings.insecure_skip_tls_verify
            tolerated = (_ExpiresSoonError, CertificateError) if skips else (_ExpiresSoonError,)
            yield _run("TLS", partial(self._check_certificate, now), *tolerated)

    def _connect(self) -> socket.socket:
        """Return a connection to the registry. Raises OSError."""
        seconds = self._settings.connect_seconds
        if self._proxy is None:
            return socket.create_connection(self._registry, seconds)
        connection = http.client.HTTPConnection(*self._first_stop, timeout=seconds)
        if not self._settings.plain_http:
            headers = None
            if self._proxy.username:
                password = unquote(self._proxy.password or "")
                basic = encode_auth(unquote(self._proxy.username), password)
                headers = {"Proxy-Authorization": f"Basic {basic}"}
            connection.set_tunnel(*self._registry, headers=headers)
        try:
            connection.connect()
        except http.client.HTTPException as error:
            connection.close()
            raise OSError(errno.EPROTO, "the proxy does not speak HTTP") from error
        return connection.sock

    def _check_name(self) -> str:
        host, port = self._first_stop
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise RegistryUnreachableError(
                f"cannot resolve {host}: {_reason(error, 'not a host name')}",
                hint=REMEDIES["name"].registry,
            ) from error
        addresses = sorted({str(entry[4][0]) for entry in found})
        return f"{host} is {', '.join(addresses)}"

    def _check_connection(self) -> str:
        host, port = self._first_stop
        through, cause = "", "no connection"
        if self._proxy is not None:
            through, cause = f" through the proxy {host}:{port}", "proxy"
        try:
            self._connect().close()
        except OSError as error:
            raise RegistryUnreachableError(
                f"port {port} of {host}: {_reason(error, 'no connection')}",
                hint=REMEDIES[cause].registry,
            ) from error
        return f"port {self._registry[1]} is open{through}"

    def _check_certificate(self, now: float) -> str:
        """Return who issued the registry's certificate, and for how long it is valid."""
        context, host = tls_context(self._settings, self._host), self._registry[0]
        attempt = "no TLS connection"
        try:
            with self._connect() as plain, context.wrap_socket(plain, server_hostname=host) as tls:
                certificate: Mapping[str, Any] = tls.getpeercert() or {}
        except ssl.SSLError as error:
            raise tls_error(error, host, attempt) from error
        except OSError as error:
            reason = _reason(error, "no response")
            hint = REMEDIES["no connection"].registry
            raise RegistryUnreachableError(f"{attempt}: {reason}", hint=hint) from error
        days = int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now) // 86400)
        message = f"trusted, issued by {_issuer(certificate)}, valid for {days} more days"
        if days <= _EXPIRES_SOON_DAYS:
            raise _ExpiresSoonError(message, hint="renew the certificate")
        return message


class _ExpiresSoonError(RegctlError):
    """The certificate is trusted, but not for long."""


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _reason(error: Exception, otherwise: str) -> str:
    """Return the operating system's words for an error of a connection, in lower case."""
    if isinstance(error, TimeoutError):
        return "no response in time"
    return (getattr(error, "strerror", None) or otherwise).lower()


def _issuer(certificate: Mapping[str, Any]) -> str:
    named = dict(pair for group in certificate.get("issuer", ()) for pair in group)
    return str(named.get("organizationName") or named.get("commonName") or "an unnamed issuer")


# The registry


def _describe_product(reply: Response, challenges: Sequence[Challenge]) -> str:
    """Return which registry it is, as far as its challenges and headers tell."""
    words = [value for challenge in challenges for value in challenge.parameters.values()]
    product = identify(" ".join([*words, reply.headers.get("Server", "")]))
    version = reply.headers.get("Docker-Distribution-Api-Version")
    answer = "the registry's API answers" if version else "an OCI registry's API answers"
    return f"{answer}, probably {product.name}" if product else answer


def _check_clock(reply: Response, now: float) -> Iterator[Check]:
    """Yield a warning if the registry's clock differs from ours."""
    theirs = parse_http_date(reply.headers.get("Date", ""))
    skew = theirs.timestamp() - now if theirs is not None else 0.0
    if abs(skew) > _MAX_SKEW_SECONDS:
        direction = "ahead of" if skew > 0 else "behind"
        yield Check(
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


def _check_password(client: RegistryClient, user: str) -> str:
    client.ping()
    return f"the registry accepts {user}"


def _check_catalog(client: RegistryClient, user: str | None) -> str:
    if next(client.repositories(), None) is None:
        return f"it is empty for {user or 'everybody'}"
    return f"{user or 'anybody'} can list it"


def _check_upload(client: RegistryClient, size: int) -> str:
    """Send *size* bytes as a layer would be sent, and cancel the upload."""
    attempt = f"cannot upload {size} bytes to {client.registry}/{SCRATCH_REPOSITORY}"
    accepted = {HTTPStatus.ACCEPTED}
    target = f"/v2/{SCRATCH_REPOSITORY}/blobs/uploads/"
    reply = client.send(Request("POST", target, attempt, expect=accepted))
    target = resolve_location(reply.headers.get("Location", ""), reply.url, attempt)
    try:
        with tempfile.TemporaryFile() as zeros:
            zeros.truncate(size)
            headers = {"Content-Type": "application/octet-stream"}
            reply = client.send(Request("PATCH", target, attempt, headers, zeros))
        if location := reply.headers.get("Location"):
            target = resolve_location(location, reply.url, attempt)
    finally:
        client.send(Request("DELETE", target, attempt))
    if reply.status not in accepted:
        raise client.error_for(reply, attempt)
    return f"{size} bytes were sent, and the upload was cancelled"
