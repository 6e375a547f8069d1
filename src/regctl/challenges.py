"""What a 401 asks for: the challenges in its `WWW-Authenticate` headers (RFC 9110, section 11)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# A scheme is a token before a space; a parameter is a token, "=" and a token or quoted string.
# Servers in the wild leave quotes out around values that are no tokens: all up to a comma counts.
_PIECE = re.compile(
    rf"\s*(?:(?P<name>{_WORD})\s*=\s*(?P<value>{_QUOTED}|[^\s,\"]+)|(?P<scheme>{_WORD})(?=[\s,]|$))"
    r"\s*,?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Challenge:
    """One way to authenticate that a server offers: *scheme* and parameter names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """
    Return the challenges of all headers in the order they stand, each scheme's parameters with it.

    Several may stand in one header, and a comma may stand in a quoted value. What can't be read
    ends that header: nothing is raised.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        position = 0
        while match := _PIECE.match(header, position):
            position = match.end()
            if match["scheme"]:
                found.append((match["scheme"].lower(), {}))
            elif found:
                found[-1][1].setdefault(match["name"].lower(), _unquoted(match["value"]))
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
