"""
The gate for URLs that a server names: redirects, token servers, `Location` and `Link`.

requests parses a URL with urllib3 first and with urllib.parse when it connects. Each reads some
malformed URLs in its own way. So a URL must be written plainly, and both must find the same server
in it.
"""

import ipaddress
import re
import socket
from enum import IntEnum
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from urllib3.util import Url, parse_url

from regctl.connection import REMEDIES
from regctl.errors import NotARegistryError, UntrustedUrlError

_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 3986 has no other characters. `\` is a slash for some parsers.
_VISIBLE = re.compile(r"[!-\[\]-~]*")
_NAME = re.compile(r"(?!.{254})[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
# A host that ends so is an IPv4 address for the resolver, in one of many spellings.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressClass(IntEnum):
    """Where an address leads: a server must not name one of a higher class than its own."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3


_REASONS = {
    AddressClass.PRIVATE: "is in a private network",
    AddressClass.LOOPBACK: "is on this machine",
    AddressClass.LINK_LOCAL: "is in the link-local network",
}


@lru_cache
def origin_of(url: str) -> str:
    """
    Return scheme, host and port of a URL, without the scheme's default port.

    This is the origin of RFC 6454, section 4. Raises ValueError if *url* is not a URL.
    """
    parts = parse_url(url)
    is_default = parts.port in {None, 0, _DEFAULT_PORTS.get(parts.scheme or "")}  # requests drops 0
    return f"{parts.scheme}://{parts.host}" + ("" if is_default else f":{parts.port}")


def same_origin(one: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port (RFC 6454, section 5)."""
    try:
        return origin_of(one) == origin_of(other)
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Return HOST or HOST:PORT of a URL, without a user, for messages."""
    try:
        return parse_url(url).netloc or ""
    except ValueError:
        return ""


def resolve(reference: str, base: str, what: str) -> Url:
    """
    Return the URL that a response from *base* names: *reference* may be relative to it.

    *what* begins the message of an error. Raises UntrustedUrlError for all that is not an HTTP URL,
    has a user, or has a host in an unusual spelling.
    """
    url = ""
    try:
        url = urljoin(base, reference) if _VISIBLE.fullmatch(reference) else ""
        parts, second = parse_url(url), urlsplit(url)
    except ValueError:
        parts, second = Url(), urlsplit("")
    if "@" in second.netloc:
        raise UntrustedUrlError(f"{what} has a user in its URL")
    if (
        parts.scheme not in _DEFAULT_PORTS
        or (parts.scheme, parts.netloc) != (second.scheme, second.netloc.lower())
        or parts.port == 0
        or not (_is_plain(parts.host or "") or same_origin(url, base))
    ):
        raise UntrustedUrlError(f"{what} is not a valid URL")
    return parts


def _is_plain(host: str) -> bool:
    """Return whether a host is a name, or an address in its usual form."""
    if not (host.startswith("[") or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])):
        return _NAME.fullmatch(host) is not None
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return "%" not in host and getattr(address, "ipv4_mapped", None) is None


def resolve_location(location: str, url: str, attempt: str) -> str:
    """
    Return path and query of a `Location` or `Link` in a response from *url*.

    The host is dropped. A registry behind a proxy may name another host or scheme for itself, and
    a hostile one may name another server. The caller always asks the registry's own origin.
    Raises UntrustedUrlError.
    """
    what = f"{attempt}: the location that the registry names"
    return resolve(location, url, what).request_uri


class UrlGate:
    """
    Decides which servers the registry at *origin* may send us to.

    A registry on the Internet must not make us send a request to what only we can reach: a private
    network, this machine, the metadata server of a cloud. Where a connection is direct, the address
    that it has counts: the next answer of a name server may be another one.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._class: AddressClass | None = None

    def redirect(self, location: str, url: str, attempt: str) -> str:
        """
        Return the URL that a response from *url* redirects to.

        Raises NotARegistryError for a redirect from HTTP to the registry's own HTTPS,
        UntrustedUrlError for a redirect that must not be followed.
        """
        # A public registry often keeps its blobs on a private network.
        what = f"{attempt}: the redirect"
        target = self._resolve(location, url, what, AddressClass.PRIVATE)
        if same_origin(self.origin.replace("http:", "https:", 1), target) and (
            self.origin.startswith("http:")
        ):
            raise NotARegistryError(
                f"{attempt}: the registry redirects to HTTPS",
                hint=REMEDIES["speaks HTTPS"].registry,
            )
        return target

    def realm(self, realm: str, url: str, attempt: str) -> str:
        """
        Return the URL of the token server that a challenge in a response from *url* names.

        Raises UntrustedUrlError if it must not get a password.
        """
        what = f"{attempt}: no password is sent, because the token server"
        return self._resolve(realm, url, what, AddressClass.PUBLIC)

    def _resolve(self, reference: str, base: str, what: str, allowed: AddressClass) -> str:
        parts = resolve(reference, base, what)
        url, host = parts._replace(fragment=None).url, parts.host or ""
        if parts.scheme == "http" and base.startswith("https:"):
            raise UntrustedUrlError(f"{what} {parts.netloc} is not HTTPS")
        if host != parse_url(self.origin).host:
            found = max(address_classes(host))
            if found > max(allowed, self._own_class):
                raise UntrustedUrlError(f"{what} {parts.netloc} {_REASONS[found]}")
        return url

    @property
    def _own_class(self) -> AddressClass:
        if self._class is None:
            self._class = min(address_classes(parse_url(self.origin).host or ""))
        return self._class

    def check_peer(self, url: str, address: str, allowed: AddressClass) -> None:
        """
        Check the *address* of a direct connection for *url*, before anything is sent on it.

        The class of the registry is that of its first connection; those after it must not have a
        higher one. Raises UntrustedUrlError.
        """
        found = _class_of_ip(ipaddress.ip_address(address.partition("%")[0]))
        if same_origin(url, self.origin):
            self._class = allowed = found if self._class is None else self._class
        if found > max(allowed, self._own_class):
            raise UntrustedUrlError(f"the address of {host_of(url)}, {address}, {_REASONS[found]}")


def address_classes(host: str) -> set[AddressClass]:
    """Return the classes of all addresses of a host; PUBLIC if it has no address here."""
    if host == "localhost" or host.rstrip(".").endswith(".localhost"):
        return {AddressClass.LOOPBACK}
    try:
        # An IPv6 address has brackets in a URL only.
        return {_class_of_ip(ipaddress.ip_address(host.strip("[]").partition("%")[0]))}
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return {AddressClass.PUBLIC}  # a proxy may be able to resolve it
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}
    return {_class_of_ip(ipaddress.ip_address(address)) for address in addresses}


def _class_of_ip(address: _IpAddress) -> AddressClass:
    if isinstance(address, ipaddress.IPv6Address):
        packed = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        address = address.ipv4_mapped or address.sixtofour or packed or address
    if address.is_loopback or address.is_unspecified:
        return AddressClass.LOOPBACK
    if address.is_link_local:
        return AddressClass.LINK_LOCAL
    return AddressClass.PUBLIC if address.is_global else AddressClass.PRIVATE
