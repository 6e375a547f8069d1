"""
How the kubelet chooses a credential for an image.

The rules are those of kubernetes, pkg/credentialprovider/keyring.go and secrets/secrets.go. They
differ from docker's: ports must be equal, each label of a host is a glob, and a path is a plain
prefix. The kubelet tries all credentials that match, one after the other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from regctl.credentials.credential import Credential

_DOCKER_HUB_KEY = "index.docker.io"
_GO_HOST = re.compile(r"[^\s<>\"\\^`{|}]*")
_CLASS = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL)


def kubelet_key(key: str) -> str | None:
    """
    Return a pull secret's key as the kubelet reads it, or None if the kubelet ignores it.

    The kubelet drops the scheme, and `/v1/` or `/v2/` at the start of the path. Without its last
    slash `/v2` stays: `https://r.io/v2` is the path `/v2`, which no image has.
    """
    address = key if key.startswith(("https://", "http://")) else f"https://{key}"
    try:
        parts = urlsplit(address)
        # Reading the port checks it.
        _ = parts.port
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    if _GO_HOST.fullmatch(host) is None:
        return None
    path = unquote(parts.path)
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return host if path in {"", "/"} else host + path


def key_matches(key: str, image: str) -> bool:
    """
    Whether a kubelet key matches *image*, `HOST[:PORT]/PATH` without tag and digest.

    The ports must be equal and the hosts must have as many labels. Each label of the key is a glob
    as in Go's filepath.Match. The key's path is a prefix: `q.io/u/foo` matches `q.io/u/foo-x` too.
    """
    glob_host, _, glob_path = key.partition("/")
    host, _, path = image.partition("/")
    glob_labels, glob_port = _split_port(glob_host)
    labels, port = _split_port(host)
    return (
        glob_port == port
        and len(glob_labels) == len(labels)
        and f"/{path}".startswith(f"/{glob_path}" if "/" in key else "")
        and all(map(_label_matches, glob_labels, labels))
    )


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
    entries.sort(key=lambda entry: entry[0], reverse=True)
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
    if match := re.fullmatch(r"\[([^\[\]]*)\]:([^:]*)|([^:\[\]]*):([^:]*)", host):
        name = match[1] if match[1] is not None else match[3]
        return name.split("."), match[2] if match[2] is not None else match[4]
    return host.split("."), ""


def _label_matches(glob: str, label: str) -> bool:
    pattern = _glob_pattern(glob)
    return pattern is not None and re.fullmatch(pattern, label, re.DOTALL) is not None


def _glob_pattern(glob: str) -> str | None:
    """Translate a glob of Go's filepath.Match; return None if Go calls it a bad pattern."""
    pattern, position = "", 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if character == "*":
            pattern += "[^/]*"
        elif character == "?":
            pattern += "[^/]"
        elif character == "\\":
            if position == len(glob):
                return None
            pattern += re.escape(glob[position])
            position += 1
        elif character == "[":
            match = _CLASS.match(glob, position - 1)
            if match is None:
                return None
            pattern += _class_pattern(match[1], match[2])
            position = match.end()
        else:
            pattern += re.escape(character)
    return pattern


def _class_pattern(negated: str, content: str) -> str:
    ranges = re.findall(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", content, re.DOTALL)
    inner = "".join(
        f"{re.escape(low[-1])}-{re.escape((high or low)[-1])}"
        for low, high in ranges
        if low[-1] <= (high or low)[-1]
    )
    # Go accepts an empty range: it matches nothing.
    return f"[{negated}{inner}]" if inner else ("." if negated else "(?!)")
