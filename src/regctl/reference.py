"""
The name of a registry or an image, as people type it and normalised.

The rules for images are those of docker's reference grammar (distribution/reference). A first
component is a host if it has a dot or a colon or is `localhost`. Any other image is on Docker Hub.
"""

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address

from regctl.errors import InvalidReferenceError

DOCKER_HUB = "docker.io"
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io"})

# A name has at most 253 characters, and a label 63 (RFC 1035, section 2.3.4).
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"(?=[^:]{{1,253}}(?::|\Z)){_LABEL}(?:\.{_LABEL})*\.?"
_HOST = re.compile(rf"(?:{_NAME}|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?")
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")


def is_ipv6(text: str) -> bool:
    """Return whether *text* is an IPv6 address, without brackets."""
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    return int(match["port"] or 1) in range(1, 65536) and is_ipv6(match["ipv6"] or "::")


def check_tag(text: str) -> str:
    """Return *text* if it is a tag. Raises InvalidReferenceError."""
    if _TAG.fullmatch(text) is None:
        raise InvalidReferenceError(
            f"not a tag: {text!r}", hint="a tag is like 1.0, without repository and colon"
        )
    return text


@dataclass(frozen=True)
class Registry:
    """A registry: *host* with its port, as in an image's name."""

    host: str

    @classmethod
    def parse(cls, text: str) -> "Registry":
        """
        Parse a host, with or without port, scheme or path, as people paste it.

        Scheme and path are dropped: a flag decides about TLS, not the text. Raises
        InvalidReferenceError if there is no host.
        """
        scheme, mark, address = text.strip().partition("://")
        end = r"[/?#]" if mark else "/"
        _, at, host = re.split(end, address if mark else scheme)[0].lower().rpartition("@")
        if at:
            raise InvalidReferenceError(
                f"not a registry: a user or password before {host or 'the host'}",
                hint="pass --username and --password-stdin",
            )
        if mark and scheme.lower() not in {"http", "https"}:
            raise InvalidReferenceError(f"not a registry: {text!r}: unknown scheme")
        if not _is_host(host):
            raise InvalidReferenceError(
                f"not a registry: {text!r}", hint="a registry is HOST or HOST:PORT"
            )
        return cls(DOCKER_HUB if host in _DOCKER_HUB_NAMES else host)

    @classmethod
    def find(cls, text: str) -> "Registry | None":
        """Return the registry that `parse` returns, or None if it raises."""
        try:
            return cls.parse(text)
        except InvalidReferenceError:
            return None

    @property
    def key(self) -> str:
        """The key of this registry in docker's `config.json` and in a pull secret."""
        return DOCKER_HUB_KEY if self.host == DOCKER_HUB else self.host

    @property
    def endpoint(self) -> str:
        """The host that serves `/v2/`; for Docker Hub it differs from the name."""
        return "registry-1.docker.io" if self.host == DOCKER_HUB else self.host

    def __str__(self) -> str:
        return self.host


@dataclass(frozen=True)
class ImageReference:
    """
    An image: its registry and repository, and a tag, a digest, both or neither.

    *host* is the registry's as it was written: the kubelet compares it letter by letter.
    """

    registry: Registry
    repository: str
    tag: str | None = None
    digest: str | None = None
    host: str = field(default="", compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, *, default: Registry = Registry(DOCKER_HUB)) -> "ImageReference":
        """
        Parse `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]` as docker does; *default* is for no host.

        Raises InvalidReferenceError for any text that docker would reject.
        """
        rest, at, digest = text.strip().partition("@")
        first, slash, remainder = rest.partition("/")
        if slash and ("." in first or ":" in first or first.lower() == "localhost"):
            registry, path = Registry.parse(first), remainder
        else:
            first, registry, path = "", default, rest
        repository, colon, tag = path.partition(":")
        if registry.host == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        if (
            _REPOSITORY.fullmatch(repository) is None
            or (colon and _TAG.fullmatch(tag) is None)
            or (at and _DIGEST.fullmatch(digest) is None)
        ):
            raise InvalidReferenceError(
                f"not an image: {text!r}", hint="an image is HOST/REPOSITORY[:TAG][@DIGEST]"
            )
        host = first if first.lower() == registry.host else registry.host
        return cls(registry, repository, tag or None, digest or None, host)

    @property
    def kubelet_name(self) -> str:
        """The image as the kubelet compares it with keys: without tag and digest."""
        return f"{self.host or self.registry}/{self.repository}"

    @property
    def reference(self) -> str:
        """What to request from the registry: the digest if given, else the tag or `latest`."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse_registry_or_image(text: str) -> Registry | ImageReference:
    """
    Read a registry or an image: a name after the host's slash makes it an image.

    A bare host is a registry, and so is one with the path `/v1/` or `/v2/`, as a browser has it.
    Without a dot or a colon the first component is no host: `team/app` is on Docker Hub. Raises
    InvalidReferenceError.
    """
    _, scheme, address = text.strip().rpartition("://")
    host, _, path = address.partition("/")
    if not path.strip("/") or re.match(r"v[12](?:/|$)", path):
        return Registry.parse(text)
    if scheme:
        # Rejects other schemes, and a password before the host.
        Registry.parse(text)
    return ImageReference.parse(f"{host}/{path}")
