"""
The authentication schemes that a registry asks for in `WWW-Authenticate`.

The grammar is that of RFC 9110, section 11.6.1: several challenges in one field, several fields
joined by commas, commas and escapes in quoted strings. Text that is no challenge is ignored: a
proxy in front of the registry may add its own.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's name for a word
_SCHEME = re.compile(rf"({_TOKEN})(?=[\s,]|$)")
_TOKEN68 = re.compile(r"[ \t]+([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$)")
# Some servers send a URL without the quotes that it needs.
_PARAMETER = re.compile(
    rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*))', re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BETWEEN = re.compile(r"[\s,]*")


@dataclass(frozen=True)
class Challenge:
    """One authentication scheme; *scheme* and the names of *parameters* are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """
    Return the challenges of all *headers* in their order.

    One header may hold several challenges. If a parameter is given twice, the first one counts.
    Never raises an error.
    """
    return tuple(challenge for header in headers for challenge in _parse(header))


def _parse(value: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while True:
        between = _BETWEEN.match(value, position)
        position = between.end() if between else position
        if position >= len(value):
            return [Challenge(scheme, parameters) for scheme, parameters in found]
        if match := _PARAMETER.match(value, position):
            name, quoted, bare = match.groups()
            text = bare if quoted is None else _ESCAPE.sub(r"\1", quoted)
            if found:
                found[-1][1].setdefault(name.lower(), text)
        elif match := _SCHEME.match(value, position):
            found.append((match[1].lower(), {}))
            if token68 := _TOKEN68.match(value, match.end()):
                match = token68
        position = match.end() if match else _next_comma(value, position)


def _next_comma(value: str, position: int) -> int:
    comma = value.find(",", position)
    return len(value) if comma < 0 else comma
