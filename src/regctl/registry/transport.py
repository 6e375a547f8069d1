"""
HTTP to a registry and to whom it sends us: one request, one answer, and why there is none.

Owns requests. Nothing here knows what is asked, or with which password.
"""

import http.client
import http.cookiejar
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

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
from regctl.retry import OnRequest, RequestTrace, ignore_request

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""What a list or a manifest may have at most; counted after decompression."""

CHUNK_BYTES = 64 * 1024


class SeekableBody(Protocol):
    """A body that is sent in pieces, and again from its beginning where that must be."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield it from where it stands."""

    def tell(self) -> int:
        """Return where it stands."""

    def seek(self, offset: int, /) -> int:
        """Go there."""


Body = bytes | SeekableBody


@dataclass(frozen=True)
class ConnectionSettings:
    """
    How to speak to a registry: HTTPS with a trusted certificate unless told otherwise.

    Trusted is what the system trusts, or *ca_file* alone. Time limits are in seconds: to connect,
    and between two pieces of an answer.
    """

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    plain_http: bool = False
    insecure_skip_tls_verify: bool = False
    connect_seconds: float = 10.0
    read_seconds: float = 60.0


class StreamedResponse:
    """An answer that is still coming: iterate over it for its content, decompressed, in pieces."""

    def __init__(
        self, response: requests.Response, failed: Callable[[Exception], RegctlError]
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.challenges = tuple(response.raw.headers.getlist("WWW-Authenticate"))
        self._response = response
        self._failed = failed

    def __iter__(self) -> Iterator[bytes]:
        """Yield pieces of 64 KiB at most."""
        encoding = self.headers.get("Content-Encoding", "").strip().lower()
        compressed = encoding in {"gzip", "x-gzip", "deflate"}
        decoder = _Decoder(gzip=encoding != "deflate") if compressed else None
        try:
            for piece in self._response.raw.stream(CHUNK_BYTES, decode_content=False):
                if decoder is None:
                    yield piece
                else:
                    yield from decoder.feed(piece)
            if decoder is not None:
                decoder.finish()
        except (HTTPError, http.client.HTTPException, OSError, zlib.error) as error:
            raise self._failed(error) from error

    def read(self, limit: int, attempt: str) -> bytes:
        """Return all of it; raises RegistryError for more than *limit* bytes."""
        body = bytearray()
        for piece in self:
            body += piece
            if len(body) > limit:
                raise RegistryError(f"{attempt}: its answer has more than {_size(limit)}")
        return bytes(body)


class _Decoder:
    """Decompress piece by piece, so that a few bytes never become gigabytes in memory."""

    def __init__(self, *, gzip: bool) -> None:
        self._bits = 16 + zlib.MAX_WBITS if gzip else zlib.MAX_WBITS
        self._inflate = zlib.decompressobj(self._bits)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:
                # RFC 1952, section 2.2: another member may follow.
                self._inflate = zlib.decompressobj(self._bits)
            self._begun = True
            yield self._inflate.decompress(data, CHUNK_BYTES)
            data = self._inflate.unconsumed_tail or self._inflate.unused_data

    def finish(self) -> None:
        if self._begun and not self._inflate.eof:
            raise zlib.error("the end is missing")


class _SystemTrust(HTTPAdapter):
    """Trust what the system trusts, besides the certificates that requests brings."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        context = ssl.create_default_context()
        return super().proxy_manager_for(proxy, ssl_context=context, **kwargs)


def same_origin(one: str, other: str) -> bool:
    """Tell whether two URLs have scheme, host and port in common (RFC 6454, section 5)."""
    try:
        return _origin(one) == _origin(other)
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for *url*, or None."""
    return select_proxy(url, dict(get_environ_proxies(url)))


class HttpTransport:
    """
    A pool of connections for one registry, at *origin* (scheme, host and port).

    Other origins are spoken to without the client certificate. Each method raises RegistryUnreachableError
    (ConnectionLostError where an answer had begun), CertificateError, NotARegistryError where one end
    speaks TLS and the other doesn't, RegistryError for an answer that is too long. May be used by
    several threads.
    """

    def __init__(
        self,
        origin: str,
        transport: ConnectionSettings,
        *,
        name: str,
        on_request: OnRequest = ignore_request,
    ) -> None:
        self.origin = origin
        self._name = name
        self._transport = transport
        self._on_request = on_request
        self._lock = threading.Lock()
        self._sessions: dict[str, requests.Session] = {}

    def send(
        self,
        method: str,
        url: str,
        attempt: str,
        *,
        headers: Mapping[str, str],
        body: Body | None = None,
        limit: int = MAX_ANSWER_BYTES,
    ) -> Response:
        """Send one request and read its answer, of *limit* bytes at most. Redirects are answers."""
        with self.open(method, url, attempt, headers=headers, body=body) as answer:
            content = answer.read(limit, attempt)
        return Response(method, url, answer.status, answer.headers, content, answer.challenges)

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        attempt: str,
        *,
        headers: Mapping[str, str],
        body: Body | None = None,
    ) -> Iterator[StreamedResponse]:
        """Send one request and give its answer while it comes."""
        transport = self._transport
        began = time.monotonic()
        status: int | None = None
        try:
            response = self._session(url).request(
                method,
                url,
                headers=dict(headers),
                data=body,
                timeout=(transport.connect_seconds, transport.read_seconds),
                allow_redirects=False,
                stream=True,
            )
            status = response.status_code
            with response:
                yield StreamedResponse(
                    response, lambda error: self._unanswered(error, url, attempt)
                )
        except requests.exceptions.InvalidHeader:
            # Not chained: it quotes what would have been sent.
            raise RegistryError(f"{attempt}: what is to be sent can't stand in a header") from None
        except (requests.RequestException, HTTPError, http.client.HTTPException) as error:
            raise self._unanswered(error, url, attempt) from error
        finally:
            self._on_request(
                RequestTrace(method, self._shown(url), status, time.monotonic() - began)
            )

    def _shown(self, url: str) -> str:
        """Leave out what may be a signature in the query of a foreign URL."""
        return url if url.startswith(f"{self.origin}/") else url.partition("?")[0]

    def _session(self, url: str) -> requests.Session:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            session = self._sessions.get(origin)
            if session is None:
                session = self._sessions[origin] = self._make_session(origin)
            return session

    def _make_session(self, origin: str) -> requests.Session:
        session = requests.Session()
        transport = self._transport
        if origin.startswith("http:"):
            session.mount("http://", HTTPAdapter(pool_maxsize=MAX_WORKERS))
        elif transport.insecure_skip_tls_verify or transport.ca_file is not None:
            session.mount("https://", HTTPAdapter(pool_maxsize=MAX_WORKERS))
        else:
            session.mount("https://", _SystemTrust(pool_maxsize=MAX_WORKERS))
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        # With trust_env a password of ~/.netrc would take the place of ours; proxies are looked
        # up here instead.
        session.trust_env = False
        session.proxies = dict(get_environ_proxies(origin))
        session.headers["User-Agent"] = "regctl"
        session.headers["Accept-Encoding"] = "gzip"
        if transport.insecure_skip_tls_verify:
            session.verify = False
            urllib3.disable_warnings(InsecureRequestWarning)  # it was asked for
        elif transport.ca_file is not None:
            session.verify = str(_certificates(transport.ca_file, "the CA file"))
        if transport.client_cert is not None and origin == self.origin:
            certificate = str(_readable(transport.client_cert, "the client certificate"))
            key = transport.client_key
            session.cert = (
                (certificate, str(_readable(key, "the client key"))) if key else certificate
            )
        return session

    def _unanswered(self, error: Exception, url: str, attempt: str) -> RegctlError:
        """Return the error for a request that got no answer, or not all of it."""
        whom = self._name if url.startswith(f"{self.origin}/") else urlsplit(url).netloc
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return _without_tls(causes, whom, attempt)
        if isinstance(error, requests.exceptions.ProxyError):
            return RegistryUnreachableError(
                f"{attempt}: the proxy refuses", hint="look at $HTTPS_PROXY and $NO_PROXY"
            )
        for kinds, found in _BY_CAUSE:
            if any(isinstance(cause, kinds) for cause in causes):
                return found[0](f"{attempt}: {found[1]}")
        reason = next(
            (c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no connection"
        )
        return RegistryUnreachableError(
            f"{attempt}: {reason.lower()}", hint="is the name right, and is it running?"
        )


_BROKEN_OFF = (ConnectionLostError, "its answer broke off")
# The first that fits: RemoteDisconnected is a BadStatusLine too, of who hangs up before any line.
_BY_CAUSE: tuple[tuple[tuple[type[BaseException], ...], tuple[type[RegctlError], str]], ...] = (
    ((zlib.error,), (RegistryError, "its answer is not compressed as it says")),
    (
        (requests.exceptions.InvalidSchema,),
        (RegistryUnreachableError, "the proxy of the environment is of no known kind"),
    ),
    ((requests.Timeout, TimeoutError), (RegistryUnreachableError, "no answer in time")),
    ((http.client.RemoteDisconnected, http.client.IncompleteRead), _BROKEN_OFF),
    ((ConnectionResetError, BrokenPipeError), _BROKEN_OFF),
    (
        (http.client.HTTPException, requests.exceptions.InvalidURL),
        (NotARegistryError, "what answers does not speak HTTP"),
    ),
    ((ProtocolError,), _BROKEN_OFF),
)


def _without_tls(causes: Iterable[BaseException], whom: str, attempt: str) -> RegctlError:
    """Return the error for a TLS connection that could not be made."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateError(
                f"{attempt}: the certificate of {whom} is not trusted: {cause.verify_message}",
                hint="pass --ca-file with the certificate that signed it",
            )
        if isinstance(cause, ssl.SSLError) and _is_plain(cause):
            return NotARegistryError(
                f"{attempt}: {whom} speaks HTTP, not HTTPS",
                hint="pass --plain-http if you trust the network between",
            )
    return CertificateError(f"{attempt}: no TLS connection to {whom} can be made")


def _size(limit: int) -> str:
    return f"{limit // 1024 // 1024} MiB" if limit >= 1024 * 1024 else f"{limit // 1024} KiB"


def _readable(path: Path, what: str) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise CertificateError(f"cannot read {what} {path}: {error.strerror}") from error


def _certificates(path: Path, what: str) -> Path:
    try:
        ssl.create_default_context(cafile=str(_readable(path, what)))
    except ssl.SSLError as error:
        raise CertificateError(f"cannot read {what} {path}: no certificate in PEM form") from error
    return path


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it was made of: requests and urllib3 wrap several times."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None))
        pending += [it for it in (*inner, *current.args) if isinstance(it, BaseException)]


def _is_plain(error: ssl.SSLError) -> bool:
    """Whether what came back on a TLS connection was not TLS."""
    names = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH"}
    return any(name in f"{error.reason} {error}".upper().replace(" ", "_") for name in names)
