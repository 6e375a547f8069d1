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
# Some servers send a URL without the quotes that it needs.
_PARAMETER = rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"=][^\s,"]*))'
_TOKEN68 = r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)"
_SCHEME = rf"({_TOKEN})(?=[\s,]|$)(?:{_TOKEN68})?"
# What is neither a parameter nor a scheme is skipped up to the next comma.
_ITEM = re.compile(rf"{_PARAMETER}|{_SCHEME}|[^\s,][^,]*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MAX_CHARACTERS, _MAX_CHALLENGES = 64 * 1024, 32


@dataclass(frozen=True)
class Challenge:
    """One authentication scheme; *scheme* and the names of *parameters* are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """
    Return the challenges of all *headers* in their order.

    One header may hold several challenges. If a parameter is given twice, the first one counts. At
    most 64 KiB are read, and 32 challenges. Never raises an error.
    """
    found: list[Challenge] = []
    left = _MAX_CHARACTERS
    for header in headers:
        found += _parse(header[:left])
        left = max(0, left - len(header))
    return tuple(found[:_MAX_CHALLENGES])


def _parse(header: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    for name, quoted, bare, scheme in _ITEM.findall(header):
        if scheme:
            found.append((scheme.lower(), {}))
        elif name and found:
            found[-1][1].setdefault(name.lower(), _ESCAPE.sub(r"\1", quoted) or bare)
    return [Challenge(scheme, parameters) for scheme, parameters in found]
