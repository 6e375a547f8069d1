"""
HTTP to a registry and to servers that it names: one request, with its response or its error.

Owns requests. Does not know what a request is for, nor which password it carries.
"""

import http.client
import http.cookiejar
import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError, InsecureRequestWarning, ProtocolError

from regctl.errors import (
    CertificateError,
    ConnectionLostError,
    NotARegistryError,
    RegctlError,
    RegistryError,
    RegistryUnreachableError,
)
from regctl.parallel import MAX_WORKERS
from regctl.registry.response import Response
from regctl.registry.urls import host_of, origin_of, same_origin
from regctl.retry import Backoff, OnRequest, RequestTrace, ignore_request

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""How long a list may be; counted after decompression."""

_CHUNK_BYTES = 64 * 1024


class SeekableBody(Protocol):
    """A body that is sent in pieces, and again from its beginning for another try."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield pieces from the current position."""

    def tell(self) -> int:
        """Return the current position."""

    def seek(self, offset: int, /) -> int:
        """Change the current position."""


Body = bytes | SeekableBody


@dataclass(frozen=True)
class ConnectionSettings:
    """
    How to connect to a registry. The default is HTTPS with a trusted certificate.

    The certificates of the system are trusted, or those in *ca_file* alone. The time limits are in
    seconds: to connect, and between two pieces of a response. *backoff* is for retries.
    """

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    plain_http: bool = False
    insecure_skip_tls_verify: bool = False
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    backoff: Backoff = Backoff(tries=4)  # noqa: RUF009 - it is frozen


@dataclass(frozen=True)
class HttpRequest:
    """
    A request for an absolute URL, whose response may have *limit* bytes.

    *attempt* begins the message of every error.
    """

    method: str
    url: str
    attempt: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = field(default=None, repr=False)
    limit: int = MAX_RESPONSE_BYTES


class _SystemTrust(HTTPAdapter):
    """Trust the certificates of the system, not only those that come with requests."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        context = ssl.create_default_context()
        return super().proxy_manager_for(proxy, ssl_context=context, **kwargs)


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for *url*, or None."""
    return select_proxy(url, dict(get_environ_proxies(url)))


class HttpTransport:
    """
    A pool of connections for one registry at *origin* (scheme, host and port).

    Other origins do not get the client certificate. *name* is the registry in messages. Several
    threads may use one transport.
    """

    def __init__(
        self,
        origin: str,
        settings: ConnectionSettings,
        *,
        name: str,
        on_request: OnRequest = ignore_request,
    ) -> None:
        self.origin = origin
        self._settings = settings
        self._name = name
        self._on_request = on_request
        self._lock = threading.Lock()
        self._sessions: dict[str, requests.Session] = {}

    def send(self, request: HttpRequest) -> Response:
        """
        Send one request and read its response to the end. Redirects are not followed.

        Raises RegistryUnreachableError, ConnectionLostError if the response had begun,
        CertificateError, NotARegistryError if one end speaks TLS and the other does not, and
        RegistryError for a response that is too long.
        """
        settings = self._settings
        started = time.monotonic()
        status: int | None = None
        try:
            with self._session(request.url).request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                timeout=(settings.connect_seconds, settings.read_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
                body = _read(response, request)
        except requests.exceptions.InvalidHeader:
            # Not chained: it quotes what would have been sent.
            raise RegistryError(
                f"{request.attempt}: a value to send is not allowed in a header"
            ) from None
        except (OSError, HTTPError, http.client.HTTPException, zlib.error) as error:
            raise self._error_for(error, request) from error
        finally:
            seconds = time.monotonic() - started
            self._on_request(
                RequestTrace(request.method, self._shown(request.url), status, seconds)
            )
        challenges = tuple(response.raw.headers.getlist("WWW-Authenticate"))
        return Response(request.method, request.url, status, response.headers, body, challenges)

    def _shown(self, url: str) -> str:
        """Return a URL for the log: the query of another origin may be a signature."""
        return url if same_origin(url, self.origin) else url.partition("?")[0]

    def _session(self, url: str) -> requests.Session:
        origin = origin_of(url)
        with self._lock:
            if origin not in self._sessions:
                self._sessions[origin] = self._make_session(url)
            return self._sessions[origin]

    def _make_session(self, url: str) -> requests.Session:
        session = requests.Session()
        settings = self._settings
        if url.startswith("http:"):
            session.mount("http://", HTTPAdapter(pool_maxsize=MAX_WORKERS))
        elif settings.insecure_skip_tls_verify or settings.ca_file is not None:
            session.mount("https://", HTTPAdapter(pool_maxsize=MAX_WORKERS))
        else:
            session.mount("https://", _SystemTrust(pool_maxsize=MAX_WORKERS))
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        # With trust_env a password of ~/.netrc would replace ours. Without it requests ignores
        # the environment's proxies, so they are set here.
        session.trust_env = False
        session.proxies = dict(get_environ_proxies(url))
        session.headers["User-Agent"] = "regctl"
        session.headers["Accept-Encoding"] = "gzip"
        if settings.insecure_skip_tls_verify:
            session.verify = False
            urllib3.disable_warnings(InsecureRequestWarning)  # the user asked for it
        elif settings.ca_file is not None:
            session.verify = str(_check_certificates(settings.ca_file))
        if settings.client_cert is not None and same_origin(url, self.origin):
            certificate = str(_check_readable(settings.client_cert, "the client certificate"))
            key = settings.client_key
            session.cert = (
                (certificate, str(_check_readable(key, "the client key"))) if key else certificate
            )
        return session

    def _error_for(self, error: Exception, request: HttpRequest) -> RegctlError:
        """Return the error for a request without a response, or with a part of it."""
        attempt = request.attempt
        host = self._name if same_origin(request.url, self.origin) else host_of(request.url)
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return _tls_error(causes, host, attempt)
        if isinstance(error, requests.exceptions.ProxyError):
            return RegistryUnreachableError(
                f"{attempt}: the proxy refuses the connection",
                hint="check $HTTPS_PROXY and $NO_PROXY",
            )
        for kinds, (named, reason) in _BY_CAUSE:
            if any(isinstance(cause, kinds) for cause in causes):
                return named(f"{attempt}: {reason}")
        reason = next(
            (c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no connection"
        )
        return RegistryUnreachableError(
            f"{attempt}: {reason.lower()}", hint="is the name correct, and is the registry running?"
        )


def _read(response: requests.Response, request: HttpRequest) -> bytes:
    """Return the whole body, decompressed. Raises RegistryError if it is over the limit."""
    pieces = response.raw.stream(_CHUNK_BYTES, decode_content=False)
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"gzip", "x-gzip"}:
        pieces = _decompress(pieces, 16 + zlib.MAX_WBITS)
    elif encoding == "deflate":
        pieces = _decompress(pieces, zlib.MAX_WBITS)
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > request.limit:
            raise RegistryError(
                f"{request.attempt}: the response is longer than {_size(request.limit)}"
            )
    return bytes(body)


def _decompress(pieces: Iterable[bytes], window_bits: int) -> Iterator[bytes]:
    """Decompress in pieces of at most 64 KiB: a few bytes never become gigabytes in memory."""
    decoder, is_empty = zlib.decompressobj(window_bits), True
    for piece in pieces:
        data = piece
        while data:
            if decoder.eof:
                # RFC 1952, section 2.2: another member may follow.
                decoder = zlib.decompressobj(window_bits)
            is_empty = False
            yield decoder.decompress(data, _CHUNK_BYTES)
            data = decoder.unconsumed_tail or decoder.unused_data
    if not is_empty and not decoder.eof:
        raise zlib.error("the end is missing")


_LOST = (ConnectionLostError, "the connection broke before the response ended")
# The first that matches: RemoteDisconnected, for no response at all, is a BadStatusLine too.
_BY_CAUSE: tuple[tuple[tuple[type[BaseException], ...], tuple[type[RegctlError], str]], ...] = (
    ((zlib.error,), (RegistryError, "the response is not compressed as its header says")),
    (
        (requests.exceptions.InvalidSchema,),
        (RegistryUnreachableError, "the proxy in the environment has an unknown scheme"),
    ),
    ((requests.Timeout, TimeoutError), (RegistryUnreachableError, "no response in time")),
    ((http.client.RemoteDisconnected, http.client.IncompleteRead), _LOST),
    ((ConnectionResetError, BrokenPipeError), _LOST),
    (
        (http.client.HTTPException, requests.exceptions.InvalidURL),
        (NotARegistryError, "the server does not speak HTTP"),
    ),
    ((ProtocolError,), _LOST),
)


def _tls_error(causes: Iterable[BaseException], host: str, attempt: str) -> RegctlError:
    """Return the error for a TLS connection that failed."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateError(
                f"{attempt}: the certificate of {host} is not trusted: {cause.verify_message}",
                hint="pass --ca-file with the certificate that signed it",
            )
        if isinstance(cause, ssl.SSLError) and is_plain_http(cause):
            return NotARegistryError(
                f"{attempt}: {host} speaks HTTP, not HTTPS",
                hint="pass --plain-http if you trust the network",
            )
    return CertificateError(f"{attempt}: cannot make a TLS connection to {host}")


def _size(limit: int) -> str:
    return f"{limit // 1024 // 1024} MiB" if limit >= 1024 * 1024 else f"{limit // 1024} KiB"


def _check_readable(path: Path, what: str) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise CertificateError(f"cannot read {what} {path}: {error.strerror}") from error


def _check_certificates(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=str(_check_readable(path, "the CA file")))
    except ssl.SSLError as error:
        raise CertificateError(
            f"cannot read the CA file {path}: no certificate in PEM form"
        ) from error
    return path


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


def is_plain_http(error: ssl.SSLError) -> bool:
    """Return whether the other side of a TLS connection does not speak TLS."""
    names = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH"}
    return any(name in f"{error.reason} {error}".upper().replace(" ", "_") for name in names)
