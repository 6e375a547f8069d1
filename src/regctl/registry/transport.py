"""
HTTP to a registry and to servers that it names: one request, with its response or its error.

Owns requests. Does not know what a request is for, nor which password it carries.
"""

import http.client
import http.cookiejar
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError, InsecureRequestWarning, ProtocolError

from regctl.connection import NO_PROXY_URL, REMEDIES, tls_problem
from regctl.errors import (
    CertificateError,
    ConnectionLostError,
    NotARegistryError,
    RegctlError,
    RegistryError,
    RegistryUnreachableError,
    UntrustedUrlError,
)
from regctl.exchange import MAX_ERROR_BYTES, limit_connections, read_body, time_limit
from regctl.parallel import MAX_WORKERS
from regctl.registry.certificates import HostCertificates, host_certificates
from regctl.registry.request import Request
from regctl.registry.response import Response
from regctl.registry.urls import AddressClass, UrlGate, host_of, origin_of, same_origin
from regctl.retry import Backoff, OnRequest, RequestTrace

# A registry may redirect to another server each time; connections to few stay open.
_MAX_ORIGINS = 16


@dataclass(frozen=True)
class ConnectionSettings:
    """
    How to connect to a registry. The default is HTTPS with a trusted certificate.

    The certificates of the system are trusted, or those in *ca_file* alone. *folders* named
    `certs.d` add to the system's, and have client certificates, each for one host. The time limits
    are in seconds: to connect, to get a response to its end, and the same for a page of a list. A
    transfer of a blob ends if it carries less than 1 KiB/s in *read_seconds*. *backoff* is for
    retries.
    """

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    plain_http: bool = False
    insecure_skip_tls_verify: bool = False
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    list_seconds: float = 300.0
    backoff: Backoff = Backoff(tries=4)  # noqa: RUF009 - it is frozen
    folders: tuple[Path, ...] = ()

    def within(self, seconds: float) -> "ConnectionSettings":
        """Return the same settings, with one limit for all responses and to connect."""
        connect = min(self.connect_seconds, seconds)
        return replace(self, connect_seconds=connect, read_seconds=seconds, list_seconds=seconds)

    def time_limit(self, request: Request) -> AbstractContextManager[None]:
        """Return the time limit for *request* and all that one try of it needs."""
        seconds = self.list_seconds if request.is_list else self.read_seconds
        return time_limit(seconds, is_transfer=request.is_transfer)


class _Adapter(HTTPAdapter):
    """
    Connections with one TLS context and with time limits, direct or through a proxy.

    *check_peer* gets the address of each direct connection.
    """

    def __init__(self, context: ssl.SSLContext | None, check_peer: Callable[[str], None]) -> None:
        self._context, self._check_peer = context, check_peer
        super().__init__(pool_maxsize=MAX_WORKERS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        limit_connections(self.poolmanager, self._check_peer)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)
        limit_connections(manager)
        return manager


def _allowed_class(request: Request) -> AddressClass:
    """Return the class of addresses that may get *request*; of a secret or a body, public ones."""
    is_bare = request.body is None and "Authorization" not in request.headers
    return AddressClass.PRIVATE if is_bare else AddressClass.PUBLIC


def tls_context(settings: ConnectionSettings, host: str = "") -> ssl.SSLContext:
    """
    Return a context with the certificates to trust at *host*, and the client certificate, if any.

    It verifies certificates, whatever *settings* say. Raises CertificateError for a file that
    cannot be read.
    """
    what, defect = f"the CA file {settings.ca_file}", "no certificate in PEM form"
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        found = host_certificates(host, settings.folders) if host else HostCertificates()
        for path in () if settings.ca_file is not None else found.authorities:
            what = f"the CA file {path}"
            context.load_verify_locations(path)
        defect = "not PEM, encrypted, or of another key"
        clients: list[tuple[Path, Path | None]] = [*found.clients]
        if settings.client_cert is not None:
            clients = [(settings.client_cert, settings.client_key)]
        for certificate, key in clients:
            what = f"the client certificate {certificate}"
            what += f" with the key {key}" if key is not None else ""
            # Without a password OpenSSL would ask for one.
            context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = defect if isinstance(error, ssl.SSLError) else error.strerror
        hint = REMEDIES["own file"].registry
        raise CertificateError(f"cannot read {what}: {reason}", hint=hint) from error
    return context


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for *url*, or None."""
    return select_proxy(url, dict(get_environ_proxies(url)))


class HttpTransport:
    """
    A pool of connections for one registry at *origin* (scheme, host and port).

    Other origins do not get the client certificate. *gate* checks the addresses of direct
    connections. *name* is the registry in messages. Several threads may use one transport.
    """

    def __init__(
        self,
        origin: str,
        settings: ConnectionSettings,
        *,
        name: str,
        on_request: OnRequest,
    ) -> None:
        self.origin = origin
        self.gate = UrlGate(origin)
        self._settings = settings
        self._name = name
        self._on_request = on_request
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, AddressClass], requests.Session] = {}

    def send(self, request: Request) -> Response:
        """
        Send one request and read its response to the end. Redirects are not followed.

        A body that is a file has its position again afterwards, so that it can be sent again. A
        response is read up to the limit of the request; of an error only the first 64 KiB.
        Raises RegistryUnreachableError, ConnectionLostError if the response had begun,
        CertificateError, NotARegistryError if one end speaks TLS and the other does not, and
        RegistryError for a response that is too long.
        """
        settings, body = self._settings, request.body
        is_path = request.target.startswith("/")
        url = self.origin + request.target if is_path else request.target
        start = 0 if body is None or isinstance(body, bytes) else body.tell()
        started = time.monotonic()
        status: int | None = None
        try:
            with (
                settings.time_limit(request),
                self._session(url, _allowed_class(request)).request(
                    request.method,
                    url,
                    headers=dict(request.headers),
                    data=body,
                    timeout=(settings.connect_seconds, settings.read_seconds),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                status = response.status_code
                content = _read(response, request)
        except requests.exceptions.InvalidHeader:
            # Not chained: it quotes what would have been sent.
            raise RegistryError(
                f"{request.attempt}: a value to send is not allowed in a header"
            ) from None
        except UntrustedUrlError as error:
            raise UntrustedUrlError(f"{request.attempt}: {error.message}") from None
        except (OSError, HTTPError, http.client.HTTPException, zlib.error) as error:
            raise self._error_for(error, url, request.attempt) from error
        finally:
            seconds = time.monotonic() - started
            # The query of another origin may be a signature.
            shown = url if same_origin(url, self.origin) else url.partition("?")[0]
            self._on_request(RequestTrace(request.method, shown, status, seconds))
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
        challenges = tuple(response.raw.headers.getlist("WWW-Authenticate"))
        return Response(request.method, url, status, response.headers, content, challenges)

    def _session(self, url: str, allowed: AddressClass) -> requests.Session:
        key = origin_of(url), AddressClass.PUBLIC if same_origin(url, self.origin) else allowed
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                check_peer = partial(self.gate.check_peer, url, allowed=allowed)
                session = self._make_session(url, check_peer)
            self._sessions[key] = session
            if len(self._sessions) > _MAX_ORIGINS:
                # The one that was used least recently.
                self._sessions.pop(next(iter(self._sessions))).close()
            return session

    def _make_session(self, url: str, check_peer: Callable[[str], None]) -> requests.Session:
        session = requests.Session()
        settings = self._settings
        if not same_origin(url, self.origin):
            settings = replace(settings, client_cert=None)
        context, scheme = None, origin_of(url).partition(":")[0]
        if scheme == "https":
            is_registry = same_origin(url, self.origin)
            context = tls_context(settings, self._name if is_registry else host_of(url))
            context.check_hostname = not settings.insecure_skip_tls_verify
        session.mount(f"{scheme}://", _Adapter(context, check_peer))
        if settings.insecure_skip_tls_verify:
            session.verify = False
            urllib3.disable_warnings(InsecureRequestWarning)  # the user asked for it
        elif settings.ca_file is not None:
            session.verify = str(settings.ca_file)
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        # With trust_env a password of ~/.netrc would replace ours. Without it requests ignores
        # the environment's proxies, so they are set here.
        session.trust_env = False
        session.proxies = dict(get_environ_proxies(url))
        session.headers["User-Agent"] = "regctl"
        session.headers["Accept-Encoding"] = "gzip"
        return session

    def _error_for(self, error: Exception, url: str, attempt: str) -> RegctlError:
        """Return the error for a request without a response, or with a part of it."""
        host = self._name if same_origin(url, self.origin) else host_of(url)
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return tls_error(cause, host, attempt)
        no_proxy_url = isinstance(error, _NO_URL) and proxy_for(url) is not None
        if no_proxy_url or isinstance(error, requests.exceptions.ProxyError):
            why = NO_PROXY_URL if no_proxy_url else "the proxy refuses the connection"
            return RegistryUnreachableError(f"{attempt}: {why}", hint=REMEDIES["proxy"].registry)
        for kinds, named, reason, row in _BY_CAUSE:
            if any(isinstance(cause, kinds) for cause in causes):
                hint = REMEDIES[row].registry if row else None
                return named(f"{attempt}: {reason}", hint=hint)
        is_unknown = any(isinstance(cause, socket.gaierror) for cause in causes)
        hint = REMEDIES["name" if is_unknown else "no connection"].registry
        reason = next(
            (c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no connection"
        )
        return RegistryUnreachableError(f"{attempt}: {reason.lower()}", hint=hint)


def _read(response: requests.Response, request: Request) -> bytes:
    """Return the body, or its beginning. Raises RegistryError if it is over the limit."""
    limit, is_error = request.limit, response.status_code >= HTTPStatus.MULTIPLE_CHOICES
    if limit is None or is_error:
        return read_body(response.raw, MAX_ERROR_BYTES, cut=True) or b""
    body = read_body(response.raw, limit)
    if body is None:
        what = f"the response is longer than {limit // 1024 // 1024} MiB"
        hint = "regctl asks for 1000 names a page, which the registry must honour"
        raise RegistryError(f"{request.attempt}: {what}", hint=hint if request.is_list else None)
    return body


_SILENT = "no response in time"
_LOST = "the connection broke before the response ended"
_NO_URL = (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)
_NOT_HTTP = (http.client.HTTPException, *_NO_URL)
_Kinds = tuple[type[BaseException], ...]
# The last column is a row of REMEDIES. The first row that matches counts: RemoteDisconnected, for
# no response at all, is a BadStatusLine too.
_BY_CAUSE: tuple[tuple[_Kinds, type[RegctlError], str, str], ...] = (
    ((zlib.error,), RegistryError, "the response is not compressed as its header says", ""),
    ((requests.Timeout, TimeoutError), RegistryUnreachableError, _SILENT, "no connection"),
    ((http.client.RemoteDisconnected, http.client.IncompleteRead), ConnectionLostError, _LOST, ""),
    ((ConnectionResetError, BrokenPipeError), ConnectionLostError, _LOST, ""),
    (_NOT_HTTP, NotARegistryError, "the server does not speak HTTP", "other server"),
    ((ProtocolError,), ConnectionLostError, _LOST, ""),
)


def tls_error(error: ssl.SSLError, host: str, attempt: str) -> RegctlError:
    """Return the error for a TLS connection to *host* that failed."""
    problem = tls_problem(error, host)
    kind = NotARegistryError if problem.cause == "speaks HTTP" else CertificateError
    return kind(f"{attempt}: {problem.reason}", hint=problem.remedy.registry)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes: requests and urllib3 wrap several times."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None))
        pending += [it for it in (*inner, *current.args) if isinstance(it, BaseException)]
