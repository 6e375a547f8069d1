"""The connection pool for one API server, and the headers that authenticate the user."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import urllib3
from urllib3.util import create_urllib3_context, parse_url

from regctl.errors import KubeconfigError
from regctl.exchange import limit_connections
from regctl.parallel import MAX_WORKERS


@dataclass(frozen=True)
class Access:
    """
    How to reach an API server, and as which user.

    *ca*, *certificate* and *key* are PEM. *token_file* is read for each request, since it changes.
    """

    server: str
    ca: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    server_name: str | None = None
    insecure: bool = False
    proxy: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate the user; client-go prefers the file."""
        token = self.token_file.read_text("utf-8") if self.token_file else self.token
        return {"Authorization": f"Bearer {token.strip()}"} if token else {}


@dataclass(frozen=True)
class Connection:
    """
    A pool of connections to the API server at *host*.

    *headers* returns those for authentication, with a new token if the old one is expired. It may
    raise KubeconfigError, and is not for several threads at once.
    """

    host: str
    pool: urllib3.PoolManager = field(repr=False)
    headers: Callable[[], dict[str, str]] = field(repr=False)

    def __post_init__(self) -> None:
        limit_connections(self.pool)


def connect(access: Access, name: str) -> Connection:
    """Return a connection; *name* is the configuration in errors. Raises OSError for bad PEM."""

    def headers() -> dict[str, str]:
        try:
            found = access.headers()
        except (OSError, ValueError) as error:
            raise KubeconfigError(
                f"cannot use {name}: cannot read the token file {access.token_file}"
            ) from error
        if any(not value.isprintable() or not value.isascii() for value in found.values()):
            # Not chained and not quoted: it is the secret.
            raise KubeconfigError(f"cannot use {name}: its token is not allowed in a header")
        return found

    return Connection(access.server, _pool(access), headers)


def _pool(access: Access) -> urllib3.PoolManager:
    options: dict[str, Any] = {"maxsize": MAX_WORKERS, "ssl_context": _tls_context(access)}
    if access.server_name:
        options["server_hostname"] = access.server_name
    if not access.proxy:
        return urllib3.PoolManager(**options)
    if access.proxy.startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 - needs PySocks

        return SOCKSProxyManager(access.proxy, **options)
    if user := parse_url(access.proxy).auth:
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=unquote(user))
    return urllib3.ProxyManager(access.proxy, **options)


def _tls_context(access: Access) -> ssl.SSLContext:
    context = create_urllib3_context()
    # As kubectl: Python is stricter since 3.13, and many clusters have an old CA.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=access.ca.decode("ascii"))
    if access.certificate is not None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "client.pem")
            path.touch(mode=0o600)
            path.write_bytes(b"\n".join(part for part in (access.certificate, access.key) if part))
            # Without a password OpenSSL would ask for one.
            context.load_cert_chain(path, password="")
    return context
