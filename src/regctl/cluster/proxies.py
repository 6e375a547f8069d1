"""The proxy that the environment names for an API server, as Go's net/http chooses it."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit


def environment_proxy(server: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for the URL *server*, or None; loopback has none."""
    parts = urlsplit(server)
    name = "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY"
    proxy = environ.get(name) or environ.get(name.lower())
    excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if not proxy or not parts.hostname or _is_excluded(parts.hostname, parts.port, excluded):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_excluded(host: str, port: int | None, excluded: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for entry in (one.strip().lower() for one in excluded.split(",")):
        if entry == "*":
            return True
        name, _, number = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if number and number != str(port):
            continue
        if address is not None:
            try:
                if address in ip_network(name, strict=False):
                    return True
            except ValueError:
                continue
        elif name and (host == name.lstrip(".") or host.endswith(f".{name.lstrip('.')}")):
            return True
    return False
