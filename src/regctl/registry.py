"""
The registry's HTTP API, as a client that reads. Owns requests.

What is asked, and how answers are read, follows the OCI distribution specification and what
distribution 2.8 and 3 do beyond it. Credentials are sent to the registry's own origin and nowhere
else.
"""

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_environ_proxies

from regctl.credentials import Credential
from regctl.errors import (
    CertificateError,
    NotARegistryError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
    RegctlError,
    RegistryError,
    UnreachableError,
)
from regctl.exchange import RETRIED_STATUSES, Backoff, Exchange, Observer, retry_after
from regctl.reference import Registry

PAGE_SIZE = 1000
"""Names asked for at once: the most that distribution gives."""

MAX_PAGE_BYTES = 32 * 1024 * 1024
_SAID_BYTES = 200
_CHUNK = 64 * 1024


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
class _Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str


def _ignore(_exchange: Exchange) -> None:
    """Watch nothing."""


class RegistryClient:
    """
    One registry, as one user or as nobody.

    Every method raises UnreachableError, CertificateError, NotARegistryError,
    NotAuthenticatedError, NotPermittedError or RegistryError; what it raises beyond them it says.
    May be used by several threads once the first answer is there.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        credential: Credential | None = None,
        transport: Transport | None = None,
        observer: Observer = _ignore,
        backoff: Backoff | None = None,
    ) -> None:
        self.registry = registry
        self._credential = credential
        self._transport = transport or Transport()
        self._observer = observer
        self._backoff = backoff or Backoff(tries=4)
        scheme = "http" if self._transport.plain_http else "https"
        self.origin = f"{scheme}://{registry.endpoint}"
        self._session = self._make_session()

    def _make_session(self) -> requests.Session:
        session = requests.Session()
        # With trust_env a password of ~/.netrc would take the place of ours; proxies are looked
        # up below instead.
        session.trust_env = False
        session.proxies = dict(get_environ_proxies(self.origin))
        session.headers["User-Agent"] = "regctl"
        transport = self._transport
        if transport.insecure_skip_tls_verify:
            session.verify = False
        elif transport.ca_file is not None:
            session.verify = str(_readable(transport.ca_file, "the CA file"))
        if transport.client_cert is not None:
            certificate = str(_readable(transport.client_cert, "the client certificate"))
            key = transport.client_key
            session.cert = (
                (certificate, str(_readable(key, "the client key"))) if key else certificate
            )
        if self._credential is not None:
            name, password = self._credential.username, self._credential.password
            session.auth = HTTPBasicAuth(name.encode(), password.encode())
        return session

    # What a registry knows

    def ping(self) -> None:
        """Return where the registry answers and lets us in."""
        attempt = f"cannot reach the registry {self.registry}"
        reply = self._get("/v2/", attempt)
        if reply.status != HTTPStatus.OK:
            raise self._refused(reply, attempt)

    def repositories(self, *, last: str | None = None) -> Iterator[str]:
        """
        Yield every repository, however many pages there are, each once.

        A page is asked for when the one before it is used up. *last* goes on after that name.
        """
        attempt = f"cannot list the repositories of {self.registry}"
        yield from self._names("/v2/_catalog", "repositories", attempt, last)

    def tags(self, repository: str) -> list[str]:
        """
        Return the tags of *repository*, sorted.

        None for one that the catalog keeps after its last tag is gone. Raises NotFoundError for a
        repository that is not there.
        """
        attempt = f"cannot list the tags of {self.registry}/{repository}"
        path = f"/v2/{quote(repository)}/tags/list"
        return sorted(self._names(path, "tags", attempt, None))

    # Lists

    def _names(self, path: str, key: str, attempt: str, last: str | None) -> Iterator[str]:
        after = f"&last={quote(last, safe='')}" if last else ""
        target: str | None = f"{path}?n={PAGE_SIZE}{after}"
        reply = self._get(f"{path}?n={PAGE_SIZE}{after}", attempt)
        if reply.status == HTTPStatus.BAD_REQUEST and _codes(reply):
            # A registry may allow fewer, and says so rather than give fewer.
            target = path + after.replace("&", "?", 1)
            reply = self._get(target, attempt)
        seen, asked = set(), {target}
        while True:
            for name in self._page(reply, key, attempt):
                if name not in seen:
                    seen.add(name)
                    yield name
            target = self._next(reply)
            if target is None:
                return
            if target in asked:
                raise RegistryError(f"{attempt}: its pages go in a circle: {target} came before")
            asked.add(target)
            reply = self._get(target, attempt)

    def _page(self, reply: _Reply, key: str, attempt: str) -> Iterator[str]:
        if reply.status != HTTPStatus.OK:
            raise self._refused(reply, attempt)
        try:
            document = json.loads(reply.body)
        except ValueError as error:
            raise NotARegistryError(
                f"{attempt}: what answers at {reply.url} is not a registry: its answer is not JSON"
            ) from error
        names = document.get(key) if isinstance(document, dict) else document
        if names is None and isinstance(document, dict) and key in document:
            return
        if not isinstance(names, list):
            raise NotARegistryError(f"{attempt}: the answer of {reply.url} has no list of {key}")
        yield from (name for name in names if isinstance(name, str))

    def _next(self, reply: _Reply) -> str | None:
        """Return the path and query of the next page; its host is not asked, ours is."""
        for link in requests.utils.parse_header_links(reply.headers.get("Link", "")):
            if link.get("rel") == "next":
                parts = urlsplit(urljoin(reply.url, link["url"]))
                return f"{parts.path}?{parts.query}" if parts.query else parts.path
        return None

    # One request

    def _get(self, target: str, attempt: str) -> _Reply:
        """Ask for *target*, again where that may help; any status comes back."""
        pauses = self._backoff.pauses()
        while True:
            reply = self._send("GET", target, attempt)
            pause = next(pauses, None)
            if reply.status not in RETRIED_STATUSES or pause is None:
                return reply
            asked = retry_after(reply.headers.get("Retry-After"))
            time.sleep(pause if asked is None else min(asked, self._backoff.cap))

    def _send(self, method: str, target: str, attempt: str) -> _Reply:
        url = self.origin + target
        transport = self._transport
        began = time.monotonic()
        status: int | None = None
        try:
            with self._session.request(
                method,
                url,
                timeout=(transport.connect_seconds, transport.read_seconds),
                stream=True,
            ) as response:
                status = response.status_code
                body = self._read(response, attempt)
                return _Reply(status, response.headers, body, response.url)
        except (requests.RequestException, ValueError) as error:
            raise self._unreachable(error, attempt) from error
        finally:
            self._observer(Exchange(method, url, status, time.monotonic() - began))

    @staticmethod
    def _read(response: requests.Response, attempt: str) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > MAX_PAGE_BYTES:
                size = MAX_PAGE_BYTES // 1024 // 1024
                raise RegistryError(f"{attempt}: its answer has more than {size} MiB")
        return bytes(body)

    # What went wrong

    def _refused(self, reply: _Reply, attempt: str) -> RegctlError:
        """Return the error for an answer that is no success."""
        match reply.status:
            case HTTPStatus.UNAUTHORIZED:
                return self._unauthorized(attempt)
            case HTTPStatus.FORBIDDEN:
                whom = f" for {self._credential.username}" if self._credential else ""
                return NotPermittedError(f"{attempt}: forbidden{whom}")
            case HTTPStatus.NOT_FOUND:
                return self._missing(reply, attempt)
            case HTTPStatus.BAD_REQUEST if _wants_tls(reply):
                return NotARegistryError(
                    f"{attempt}: {self.registry} speaks HTTPS", hint="leave out --plain-http"
                )
            case HTTPStatus.BAD_REQUEST if self._credential is not None and not reply.body:
                # distribution, registry/auth/htpasswd: a file that is missing or malformed.
                return RegistryError(
                    f"{attempt}: it answers 400 to a user and password: it can't read its auth file"
                )
        said = _said(reply)
        return RegistryError(f"{attempt}: it answers {reply.status}{f': {said}' if said else ''}")

    def _unauthorized(self, attempt: str) -> RegctlError:
        if self._credential is None:
            return NotAuthenticatedError(
                f"{attempt}: it asks for a user and password",
                hint="pass --username and --password-stdin",
            )
        user = self._credential.username
        return NotAuthenticatedError(
            f"{attempt}: it refuses the password of {user}",
            hint=f"`regctl verify {user}` tells whether the auth file knows this password",
        )

    def _missing(self, reply: _Reply, attempt: str) -> RegctlError:
        if _codes(reply):
            return NotFoundError(f"{attempt}: not found")
        return NotARegistryError(
            f"{attempt}: what answers at {self.origin} is not a registry",
            hint="a registry is HOST or HOST:PORT, without a path",
        )

    def _unreachable(self, error: Exception, attempt: str) -> RegctlError:
        """Return the error for a request that got no answer."""
        chain = list(_chain(error))
        for cause in chain:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return CertificateError(
                    f"{attempt}: its certificate is not trusted: {cause.verify_message}",
                    hint="pass --ca-file with the certificate that signed it",
                )
        if any(isinstance(cause, ssl.SSLError) and _is_plain(cause) for cause in chain):
            return NotARegistryError(
                f"{attempt}: {self.registry} speaks HTTP, not HTTPS",
                hint="pass --plain-http if you trust the network between",
            )
        if any(isinstance(cause, ssl.SSLError) for cause in chain):
            return CertificateError(f"{attempt}: no TLS connection can be made")
        if isinstance(error, requests.Timeout):
            return UnreachableError(f"{attempt}: no answer in time")
        reason = next(
            (c.strerror for c in chain if isinstance(c, OSError) and c.strerror), "no connection"
        )
        return UnreachableError(
            f"{attempt}: {reason.lower()}", hint="is the name right, and is it running?"
        )


def _readable(path: Path, what: str) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise CertificateError(f"cannot read {what} {path}: {error.strerror}") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
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


def _wants_tls(reply: _Reply) -> bool:
    # Go's net/http and nginx, to HTTP on their HTTPS port.
    return b"HTTP request" in reply.body or b"plain HTTP" in reply.body


def _codes(reply: _Reply) -> list[str]:
    """Return the error codes of the distribution specification in an answer."""
    return [code for code, _ in _errors(reply) if code]


def _errors(reply: _Reply) -> list[tuple[str, str]]:
    try:
        document: Any = json.loads(reply.body)
    except ValueError:
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    return [
        (str(error.get("code") or ""), str(error.get("message") or ""))
        for error in errors or ()
        if isinstance(error, dict)
    ]


def _said(reply: _Reply) -> str:
    return "; ".join(message for _, message in _errors(reply) if message)[:_SAID_BYTES]
