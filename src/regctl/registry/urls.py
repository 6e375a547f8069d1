"""
The gate for URLs that a server names: redirects, token servers, `Location` and `Link`.

URLs are parsed by urllib3, because urllib3 connects: the host that is checked here is the host
that gets the request. `urllib.parse` reads some malformed URLs differently.
"""

import contextlib
import ipaddress
import socket
from enum import IntEnum
from functools import lru_cache
from urllib.parse import urljoin

from urllib3.util import Url, parse_url

from regctl.connection import REMEDIES
from regctl.errors import NotARegistryError, RegistryError

_DEFAULT_PORTS = {"http": 80, "https": 443}


class AddressClass(IntEnum):
    """From where an address can be reached: a higher class is closer to this machine."""

    PUBLIC = 0
    PRIVATE = 1
    LINK_LOCAL = 2
    LOOPBACK = 3


_REASONS = {
    AddressClass.PRIVATE: "is in a private network",
    AddressClass.LINK_LOCAL: "is in the link-local network",
    AddressClass.LOOPBACK: "is on this machine",
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
    return _parse(url).netloc or ""


def join(base: str, reference: str) -> str:
    """Return *reference*, which may be relative to *base*, as an absolute URL."""
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference  # the caller's check rejects it


def resolve_location(location: str, url: str, attempt: str) -> str:
    """
    Return path and query of a `Location` or `Link` in a response from *url*.

    The host is dropped. A registry behind a proxy may name another host or scheme for itself, and
    a hostile one may name another server. The caller always asks the registry's own origin.
    Raises RegistryError if *location* is not a URL.
    """
    parts = _parse(join(url, location))
    if parts == Url():
        raise RegistryError(f"{attempt}: the registry sends a location that is not a URL")
    target = parts.request_uri
    return target if target.startswith("/") else f"/{target}"


def resolve_redirect(origin: str, url: str, location: str, attempt: str) -> str:
    """
    Return the URL that a response from *url* redirects to, for the registry at *origin*.

    Raises NotARegistryError for a redirect from HTTP to the registry's own HTTPS, RegistryError
    for a redirect that must not be followed.
    """
    target = join(url, location)
    parts = _parse(target)
    if parts.scheme not in _DEFAULT_PORTS or not parts.host or parts.auth:
        raise RegistryError(f"{attempt}: the registry redirects to an invalid URL")
    if parts.scheme == "http" and url.startswith("https:"):
        raise RegistryError(f"{attempt}: the registry redirects to {parts.netloc} without TLS")
    if same_origin(target, origin):
        return target
    if same_origin(target, origin.replace("http:", "https:", 1)):
        raise NotARegistryError(
            f"{attempt}: the registry redirects to HTTPS", hint=REMEDIES["speaks HTTPS"].registry
        )
    # A public registry often keeps its blobs on a private network.
    if reason := deny_address_reason(origin, target, allowed=AddressClass.PRIVATE):
        raise RegistryError(
            f"{attempt}: the redirect to {parts.netloc} is not followed: that host {reason}"
        )
    return target


def deny_realm_reason(origin: str, realm: str) -> str | None:
    """
    Return why a password for *origin* must not be sent to the token server *realm*, or None.

    Plain HTTP is allowed for a registry on plain HTTP, an address close to this machine for a
    registry that is as close.
    """
    parts = _parse(realm)
    if parts.scheme not in _DEFAULT_PORTS or not parts.host:
        return "is not a valid URL"
    if parts.auth is not None:
        return "has a user in its URL"
    if parts.scheme == "http" and not origin.startswith("http:"):
        return "is not HTTPS"
    return deny_address_reason(origin, realm)


def deny_address_reason(
    origin: str, url: str, *, allowed: AddressClass = AddressClass.PUBLIC
) -> str | None:
    """
    Return why *origin* must not send us to *url*, or None.

    A registry on the Internet must not make us send a request to what only we can reach: a private
    network, the metadata server of a cloud, this machine. A URL is denied if its class is above
    *allowed* and above the class of *origin*.
    """
    # An IPv6 address has brackets in a URL only.
    ours, theirs = ((_parse(one).host or "").strip("[]") for one in (origin, url))
    if ours == theirs:
        return None
    their_class = address_class(theirs)
    if their_class <= max(allowed, address_class(ours)):
        return None
    return _REASONS[their_class]


def address_class(host: str) -> AddressClass:
    """Return the class of a host, of all its addresses the one that is closest to this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return AddressClass.LOOPBACK
    with contextlib.suppress(ValueError):
        return _class_of_ip(ipaddress.ip_address(host.partition("%")[0]))
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return AddressClass.PUBLIC  # a proxy may be able to resolve it
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}
    return max(_class_of_ip(ipaddress.ip_address(address)) for address in addresses)


def _class_of_ip(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> AddressClass:
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_unspecified:
        return AddressClass.LOOPBACK
    if address.is_link_local:
        return AddressClass.LINK_LOCAL
    return AddressClass.PUBLIC if address.is_global else AddressClass.PRIVATE


def _parse(url: str) -> Url:
    """Return the parts of a URL; each is None if it is not a URL."""
    try:
        return parse_url(url)
    except ValueError:
        return Url()
