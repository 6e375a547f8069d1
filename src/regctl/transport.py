"""
HTTP to a registry and to whom it sends us: one request, one answer, and why there is none.

Owns requests. Nothing here knows what is asked, or with which password.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from regctl.errors import (
    BrokenOffError,
    CertificateError,
    NotARegistryError,
    RegctlError,
    RegistryError,
    UnreachableError,
)
from regctl.exchange import Exchange, Observer
from regctl.parallel import MAX_WORKERS

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""What a list or a manifest may have at most; counted after decompression."""

CHUNK_BYTES = 256 * 1024

Body = bytes | IO[bytes]


@dataclass(frozen=True)
class Transport:
    """
    How to speak to a registry: HTTPS with a trusted certificate unless told otherwise.

    Time limits are in seconds: to connect, and between two pieces of an answer.
    """

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    plain_http: bool = False
    insecure_skip_tls_verify: bool = False
    connect_seconds: float = 10.0
    read_seconds: float = 60.0


@dataclass(frozen=True)
class Reply:
    """
    An answer, read to its end.

    Names of *headers* compare without case. *challenges* are its `WWW-Authenticate` headers.
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    challenges: tuple[str, ...] = ()


def ignore(_exchange: Exchange) -> None:
    """Watch nothing."""


class Wire:
    """
    A pool of connections for one registry, at *origin* (scheme, host and port).

    Other origins are spoken to without the client certificate. Each method raises UnreachableError
    (BrokenOffError where an answer had begun), CertificateError, NotARegistryError where one end
    speaks TLS and the other doesn't, RegistryError for an answer that is too long. May be used by
    several threads.
    """

    def __init__(
        self, origin: str, transport: Transport, *, name: str, observer: Observer = ignore
    ) -> None:
        self.origin = origin
        self._name = name
        self._transport = transport
        self._observer = observer
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
    ) -> Reply:
        """Send one request and read its answer, of *limit* bytes at most. Redirects are answers."""
        with self._exchange(method, url, attempt, headers, body) as response:
            pieces = bytearray()
            for piece in response.iter_content(CHUNK_BYTES):
                pieces += piece
                if len(pieces) > limit:
                    raise RegistryError(f"{attempt}: its answer has more than {_size(limit)}")
            return self._reply(method, url, response, bytes(pieces))

    @staticmethod
    def _reply(method: str, url: str, response: requests.Response, body: bytes) -> Reply:
        raw = getattr(response.raw, "headers", None)
        challenges = raw.getlist("WWW-Authenticate") if raw is not None else ()
        return Reply(method, url, response.status_code, response.headers, body, tuple(challenges))

    @contextmanager
    def _exchange(
        self, method: str, url: str, attempt: str, headers: Mapping[str, str], body: Body | None
    ) -> Iterator[requests.Response]:
        transport = self._transport
        began = time.monotonic()
        status: int | None = None
        try:
            with self._session(url).request(
                method,
                url,
                headers=dict(headers),
                data=body,
                timeout=(transport.connect_seconds, transport.read_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
                yield response
        except (requests.RequestException, ValueError, http.client.HTTPException) as error:
            raise self._unanswered(error, url, attempt) from error
        finally:
            self._observer(Exchange(method, self._shown(url), status, time.monotonic() - began))

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
        adapter = HTTPAdapter(pool_maxsize=MAX_WORKERS)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        # With trust_env a password of ~/.netrc would take the place of ours; proxies are looked
        # up here instead.
        session.trust_env = False
        session.proxies = dict(get_environ_proxies(origin))
        session.headers["User-Agent"] = "regctl"
        transport = self._transport
        if transport.insecure_skip_tls_verify:
            session.verify = False
        elif transport.ca_file is not None:
            session.verify = str(_readable(transport.ca_file, "the CA file"))
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
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return RegistryError(f"{attempt}: its answer is not compressed as it says")
        if isinstance(error, requests.exceptions.ProxyError):
            return UnreachableError(
                f"{attempt}: the proxy refuses", hint="look at $HTTPS_PROXY and $NO_PROXY"
            )
        if isinstance(error, requests.Timeout):
            return UnreachableError(f"{attempt}: no answer in time")
        if any(isinstance(cause, _BROKEN_OFF) for cause in causes):
            return BrokenOffError(f"{attempt}: its answer broke off")
        reason = next(
            (c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no connection"
        )
        return UnreachableError(
            f"{attempt}: {reason.lower()}", hint="is the name right, and is it running?"
        )


_BROKEN_OFF = (http.client.HTTPException, ConnectionResetError, BrokenPipeError)


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
