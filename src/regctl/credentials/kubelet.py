"""
How the kubelet chooses a credential for an image.

The rules are those of kubernetes, pkg/credentialprovider/keyring.go and secrets/secrets.go, and of
Go's net/url. They differ from docker's: ports must be equal, a label of a host may have stars, and
a path is a plain prefix. The kubelet tries all credentials that match, one after the other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from regctl.credentials.credential import Credential
from regctl.reference import is_ipv6

_DOCKER_HUB_KEY = "index.docker.io"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USER = re.compile(r"[-A-Za-z0-9._:~!$&'()*+,;=%@]*")
_HOST = re.compile(
    r"""(?P<name>(?:[^\x00-\x7f]|[-A-Za-z0-9._~!$&'()*+,;=<>"\]]|%25|%[89A-Fa-f][0-9A-Fa-f])*)"""
    r"""(?P<port>:[0-9]*)?"""
)
_IPV6 = re.compile(r"\[(?P<name>[0-9A-Fa-f:.]+)\](?P<port>:[0-9]*)?")


def kubelet_key(key: str) -> str | None:
    """
    Return a pull secret's key as the kubelet reads it, or None if the kubelet ignores it.

    The kubelet drops the scheme, and `/v1/` or `/v2/` at the start of the path. Without its last
    slash `/v2` stays: `https://r.io/v2` is the path `/v2`, which no image has.
    """
    url = _parse_url(key if key.startswith(("https://", "http://")) else f"https://{key}")
    if url is None:
        return None
    host, path = url
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return host if path == "/" else host + path


def key_matches(key: str, image: str) -> bool:
    """
    Whether a kubelet key matches *image*, `HOST[:PORT]/PATH` without tag and digest.

    The ports must be equal and the hosts must have as many labels. A star in a label of the key is
    any text. The key's path is a prefix: `q.io/u/foo` matches `q.io/u/foo-x` too.
    """
    glob, target = _parse_url(f"https://{key}"), _parse_url(f"https://{image}")
    if glob is None or target is None:
        return False
    glob_labels, glob_port = _split_port(glob[0])
    labels, port = _split_port(target[0])
    return (
        glob_port == port
        and len(glob_labels) == len(labels)
        and target[1].startswith(glob[1])
        and all(map(_label_matches, glob_labels, labels))
    )


def _parse_url(url: str) -> tuple[str, str] | None:
    """Return host and path as Go's url.Parse does, or None if it fails: *url* has a scheme."""
    address, _, fragment = url.partition("#")
    authority, slash, path = address.partition("://")[2].partition("?")[0].partition("/")
    user, _, host = authority.rpartition("@")
    match = (_IPV6 if host.startswith("[") else _HOST).fullmatch(host)
    if (
        match is None
        or (host.startswith("[") and not is_ipv6(match["name"]))
        or _USER.fullmatch(user) is None
        or _CONTROL.search(address)
        or any(map(_BAD_ESCAPE.search, (user, path, fragment)))
    ):
        return None
    return _unescape(host), _unescape(slash + path)


def _unescape(text: str) -> str:
    return unquote(text, errors="surrogateescape")


@dataclass(frozen=True)
class Match:
    """A credential that the kubelet would try, with its Secret and the key as written there."""

    secret: str
    key: str
    credential: Credential


def match_image(secrets: Mapping[str, Mapping[str, Credential]], image: str) -> list[Match]:
    """
    Return what the kubelet would try for *image*, in order; empty means an anonymous pull.

    *secrets* are the credentials in a Pod's pull secrets by the Secret's name, in the Pod's order.
    *image* is `HOST[:PORT]/PATH` as docker normalises it, without tag and digest. The kubelet
    tries keys in reverse order of their text, so longer paths come first. It uses Docker Hub's
    own key for Docker Hub's images only if no other key matches.
    """
    entries = [
        (read_as, Match(secret, key, credentials[key]))
        for secret, credentials in secrets.items()
        for key in sorted(credentials)
        if (read_as := kubelet_key(key)) is not None
    ]
    entries.sort(key=lambda entry: entry[0].encode(errors="surrogateescape"), reverse=True)
    found = [match for key, match in entries if key_matches(key, image)]
    if not found and _on_docker_hub(image):
        found = [match for key, match in entries if key == _DOCKER_HUB_KEY]
    return found


def _on_docker_hub(image: str) -> bool:
    host, slash, _ = image.partition("/")
    own = not slash or host in {"docker.io", _DOCKER_HUB_KEY} or not re.search(r"[.:]", host)
    return bool(host) and own


def _split_port(host: str) -> tuple[list[str], str]:
    """Split as Go's net.SplitHostPort does; a host that Go cannot split has no port."""
    if match := re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([^:]*)", host):
        return (match[1] or match[2] or "").split("."), match[3]
    return host.split("."), ""


def _label_matches(glob: str, label: str) -> bool:
    """
    As Go's filepath.Match, whose other special characters no key can have.

    Each text between two stars is found at its first place after the one before. There is no way
    back, so a key with many stars takes no longer.
    """
    # An address in brackets without a port: Go reads the brackets as a set of characters.
    if "[" in glob:
        return False
    first, *texts = glob.split("*")
    if not texts or not label.startswith(first):
        return glob == label
    place = len(first)
    for text in texts[:-1]:
        if (found := label.find(text, place)) < 0:
            return False
        place = found + len(text)
    return label.endswith(texts[-1]) and place + len(texts[-1]) <= len(label)
