"""The sizes that Kubernetes calls quantities: `10Gi`, `500G`."""

import re
from collections.abc import Mapping
from decimal import Decimal

from regctl.errors import InvalidInputError

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([kMGTPE]|[KMGTPE]i)?")
_UNITS: Mapping[str, int] = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)},
}


def size_in_bytes(text: str) -> int:
    """Return the bytes of a size such as `10Gi`. Raises InvalidInputError."""
    match = _QUANTITY.fullmatch(text)
    size = Decimal(match[1]) * _UNITS[match[2] or ""] if match else Decimal()
    if not size or size != int(size):
        raise InvalidInputError(f"not a size: {text!r}", hint="write a size like 10Gi or 500G")
    return int(size)


def canonical(text: str) -> str:
    """Return a size as the API server writes it: `1536Gi` for `1.5Ti`. Raises InvalidInputError."""
    size = size_in_bytes(text)
    binary = text.endswith("i")
    for unit, factor in sorted(_UNITS.items(), key=lambda item: -item[1]):
        if unit.endswith("i") == binary and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
