"""
What stands between somebody and a registry, looked at step by step, from the name to the rights.

A step that fails ends those that need it. Nothing is left behind: a trial upload is cancelled.
"""

import base64
import http.client
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
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
from regctl.registry.response import Response
from regctl.registry.transport import ConnectionSettings, proxy_for

SCRATCH_REPOSITORY = "regctl-ping"
_SOON_DAYS = 21
_SKEW_SECONDS = 60


Connect = Callable[[bool], RegistryClient]


def diagnose(
    connect: Connect,
    transport: ConnectionSettings,
    *,
    user: str | None,
    upload: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """
    Yield a Check for each step, as it is done.

    *connect* returns the client, as *user* for True and as nobody for False. *upload* is the size
    in bytes of a blob that is sent to a scratch repository and cancelled. *clock* is in seconds
    since 1970.
    """
    nobody = connect(False)
    for check in _Way.to(nobody.origin, transport).checks(clock()):
        yield check
        if check.state == "failure":
            return
    attempt = f"cannot reach the registry {nobody.registry}"
    try:
        reply = nobody.knock()
    except RegctlError as error:
        yield _failed("registry", error)
        return
    if reply.status not in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}:
        yield _failed("registry", nobody.refused(reply, attempt))
        return
    challenges = parse_challenges(reply.challenges)
    yield Check("registry", "ok", _software(reply, challenges))
    if (skewed := _skew(reply, clock())) is not None:
        yield skewed
    yield _authentication(reply, challenges)
    yield from _as_user(connect, user, anonymous=reply.status == HTTPStatus.OK, upload=upload)


def _as_user(
    connect: Connect, user: str | None, *, anonymous: bool, upload: int | None
) -> Iterator[Check]:
    client = connect(user is not None)
    if user is None:
        yield Check("password", "skipped", "no user was given", "pass --username")
        if not anonymous:
            return
    else:
        check = _password(client, user)
        yield check
        if check.state == "failure":
            return
    yield _catalog(client, user)
    if upload is not None:
        yield _upload(client, upload)


def _failed(name: str, error: RegctlError) -> Check:
    return Check(name, "failure", error.message, error.hint, error)


# Steps


@dataclass(frozen=True)
class _Way:
    """The way to a registry at *host* and *port*, through a *proxy* or straight."""

    host: str
    port: int
    transport: ConnectionSettings
    proxy: SplitResult | None = field(default=None, repr=False)

    @classmethod
    def to(cls, origin: str, transport: ConnectionSettings) -> "_Way":
        parts, proxy = urlsplit(origin), proxy_for(origin)
        return cls(*_endpoint(parts), transport, urlsplit(proxy) if proxy is not None else None)

    def checks(self, now: float) -> Iterator[Check]:
        """Yield the steps up to a connection that can be trusted."""
        host, port = (self.host, self.port) if self.proxy is None else _endpoint(self.proxy)
        yield _name(host, port, "name" if self.proxy is None else "proxy")
        yield self._connection(host, port)
        if not self.transport.plain_http:
            yield _tls(self, now)

    def _connection(self, host: str, port: int) -> Check:
        try:
            with self.opened():
                through = "" if self.proxy is None else f" through the proxy {host}:{port}"
                return Check("connection", "ok", f"port {self.port} answers{through}")
        except OSError as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror
            return Check(
                "connection",
                "failure",
                f"port {port} of {host}: {(reason or 'no connection').lower()}",
                "is it running, is the port right, does a firewall stand between?"
                if self.proxy is None
                else "look at $HTTPS_PROXY and $NO_PROXY",
            )

    def opened(self) -> socket.socket:
        """Return a connection to the registry. Raises OSError."""
        seconds = self.transport.connect_seconds
        if self.proxy is None:
            return socket.create_connection((self.host, self.port), seconds)
        proxy = http.client.HTTPConnection(*_endpoint(self.proxy), timeout=seconds)
        if not self.transport.plain_http:
            user, secret = self.proxy.username, self.proxy.password
            known = f"{unquote(user or '')}:{unquote(secret or '')}".encode()
            basic = {"Proxy-Authorization": f"Basic {base64.b64encode(known).decode()}"}
            proxy.set_tunnel(self.host, self.port, headers=basic if user else None)
        proxy.connect()
        return proxy.sock


def _endpoint(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _name(host: str, port: int, step: str) -> Check:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name"
        return Check(
            step, "failure", f"{host} can't be resolved: {reason.lower()}", "is it spelt right?"
        )
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Check(step, "ok", f"{host} is {', '.join(addresses)}")


def _tls(way: _Way, now: float) -> Check:
    transport = way.transport
    context = ssl.create_default_context(
        cafile=str(transport.ca_file) if transport.ca_file else None
    )
    try:
        certificate = _certificate(way, context)
    except ssl.SSLCertVerificationError as error:
        state: State = "warning" if transport.insecure_skip_tls_verify else "failure"
        said = f"the certificate is not trusted: {error.verify_message}"
        return Check("TLS", state, said, _certificate_hint(error))
    except ssl.SSLError as error:
        if "WRONG_VERSION" in str(error) or "PACKET_LENGTH" in str(error):
            return Check(
                "TLS",
                "failure",
                f"port {way.port} speaks HTTP, not HTTPS",
                "pass --plain-http if you trust the network between",
            )
        return Check("TLS", "failure", f"no TLS connection: {error.reason or 'it broke off'}")
    except OSError as error:
        return Check("TLS", "failure", f"no TLS connection: {error.strerror or 'no answer'}")
    days = int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now) // 86400)
    said = f"trusted, by {_issuer(certificate)}, for {days} more days"
    if days <= _SOON_DAYS:
        return Check("TLS", "warning", said, "renew the certificate")
    return Check("TLS", "ok", said)


def _certificate(way: _Way, context: ssl.SSLContext) -> dict[str, object]:
    transport = way.transport
    if transport.client_cert is not None:
        context.load_cert_chain(transport.client_cert, transport.client_key)
    with way.opened() as plain, context.wrap_socket(plain, server_hostname=way.host) as secure:
        return dict(secure.getpeercert() or {})


def _certificate_hint(error: ssl.SSLCertVerificationError) -> str:
    # X509_V_ERR_… of OpenSSL, by number: the names change between releases.
    if error.verify_code == 10:
        return "renew the certificate on the server"
    if error.verify_code in {62, 64}:  # host name or address mismatch
        return "use the name that the certificate is for, or get one for this name"
    return "pass --ca-file with the certificate of whoever signed it"


def _issuer(certificate: dict[str, object]) -> str:
    fields = certificate.get("issuer")
    pairs = [pair for group in fields for pair in group] if isinstance(fields, tuple) else []
    named = dict(pairs)
    return str(named.get("organizationName") or named.get("commonName") or "an unnamed issuer")


def _software(reply: Response, challenges: tuple[Challenge, ...]) -> str:
    """Return which registry it is, as far as its challenge or headers tell."""
    words = " ".join(
        value for challenge in challenges for value in challenge.parameters.values()
    ).lower()
    words += f" {reply.headers.get('Server', '')}".lower()
    guess = next((name for mark, name in _MARKS if mark in words), None)
    version = reply.headers.get("Docker-Distribution-Api-Version")
    said = "the registry's API answers" if version else "an OCI registry's API answers"
    return f"{said}; by its words it is {guess}" if guess else said


_MARKS = (
    ("harbor", "Harbor"),
    ("/jwt/auth", "GitLab"),
    ("quay", "Quay"),
    ("zot", "zot"),
    ("nexus", "Nexus"),
    ("artifactory", "Artifactory"),
    ("amazonaws", "ECR"),
    ("docker.io", "Docker Hub"),
    ("ghcr.io", "GitHub"),
)


def _skew(reply: Response, now: float) -> Check | None:
    try:
        theirs = parsedate_to_datetime(reply.headers.get("Date", ""))
    except ValueError:
        return None
    ours = datetime.fromtimestamp(now, timezone.utc)
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=timezone.utc)
    skew = (theirs - ours).total_seconds()
    if abs(skew) <= _SKEW_SECONDS:
        return None
    ahead = "ahead" if skew > 0 else "behind"
    return Check(
        "clock",
        "warning",
        f"the registry's clock is {abs(skew):.0f} s {ahead} of this machine's",
        "set both clocks: tokens and certificates go by them",
    )


def _authentication(reply: Response, challenges: tuple[Challenge, ...]) -> Check:
    if reply.status == HTTPStatus.OK:
        return Check("authentication", "warning", "none: it lets everybody in")
    told = []
    for challenge in challenges:
        parameters = challenge.parameters
        if challenge.scheme == "bearer":
            told.append(f"Bearer, with tokens of {urlsplit(parameters.get('realm', '')).netloc}")
        else:
            told.append(f"{challenge.scheme.title()}, realm {parameters.get('realm', 'unnamed')!r}")
    if not told:
        return Check(
            "authentication",
            "failure",
            "it says 401 and not how to authenticate",
            "look at a proxy between",
        )
    return Check("authentication", "ok", "; ".join(told))


def _password(client: RegistryClient, user: str) -> Check:
    try:
        client.ping()
    except RegctlError as error:
        return _failed("password", error)
    return Check("password", "ok", f"{user} is let in")


def _catalog(client: RegistryClient, user: str | None) -> Check:
    try:
        first = next(client.repositories(), None)
    except (AccessError, NoCatalogError) as error:
        return Check("catalog", "warning", error.message, error.hint)
    except RegctlError as error:
        return _failed("catalog", error)
    whom = user or "everybody"
    said = f"{whom} may list it" if first is not None else f"it is empty, as {whom} sees it"
    return Check("catalog", "ok", said)


def _upload(client: RegistryClient, size: int) -> Check:
    """Send so many bytes, as a layer would come, and cancel."""
    attempt = f"cannot upload to {client.registry}/{SCRATCH_REPOSITORY}"
    try:
        begun = client.request("POST", f"/v2/{SCRATCH_REPOSITORY}/blobs/uploads/", attempt)
        if begun.status != HTTPStatus.ACCEPTED:
            raise client.refused(begun, attempt)
        target = client.target_of(begun.headers.get("Location", ""), begun)
        try:
            with tempfile.TemporaryFile() as zeros:
                zeros.truncate(size)
                sent = client.request(
                    "PATCH",
                    target,
                    attempt,
                    headers={"Content-Type": "application/octet-stream"},
                    body=zeros,
                )
            if sent.headers.get("Location"):
                target = client.target_of(sent.headers["Location"], sent)
        finally:
            client.request("DELETE", target, attempt)
        if sent.status != HTTPStatus.ACCEPTED:
            raise client.refused(sent, attempt)
    except BodyTooLargeError as error:
        return Check("upload", "failure", f"{error.message}: {size} bytes", error.hint, error)
    except AccessError as error:
        return Check("upload", "warning", error.message, error.hint)
    except RegctlError as error:
        return _failed("upload", error)
    return Check("upload", "ok", f"{size} bytes went through, and were cancelled")


def verdict(checks: list[Check]) -> RegctlError | None:
    """Return the error that the checks add up to: who is not let in has an exit code of its own."""
    failed = [check for check in checks if check.state == "failure"]
    if not failed:
        return None
    first = failed[0]
    kind = NotAuthenticatedError if isinstance(first.error, AccessError) else RegistryError
    return kind(f"{first.name}: {first.message}", hint=first.hint)
