"""
What holds for an HTTP exchange whoever carries it: watching it, and when to try again.

The registry client speaks through requests and the cluster client through urllib3; both report
what they did to an observer and both wait as this module says.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

RETRIED_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class RequestTrace:
    """One request and its answer: never a header and never a body, so never a secret."""

    method: str
    url: str
    status: int | None
    seconds: float


OnRequest = Callable[[RequestTrace], None]


@dataclass(frozen=True)
class Backoff:
    """
    Growing pauses with full jitter, for requests that are safe to send again.

    *base* and *cap* are seconds. `random` is injected by tests.
    """

    tries: int = 5
    base: float = 0.1
    cap: float = 10.0
    uniform: Callable[[float, float], float] = random.uniform

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each further try."""
        for attempt in range(self.tries - 1):
            yield self.uniform(0, min(self.cap, self.base * 2**attempt))


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """
    Return the seconds that a `Retry-After` header asks for, or None where it says nothing usable.

    Both forms of RFC 9110, section 10.2.3 are read: a number of seconds and an HTTP date.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - (now or datetime.now(timezone.utc))).total_seconds())
