"""
When to try a request again, and what is recorded about each request.

The registry client sends with requests, the cluster client with urllib3. Both retry as this module
decides, and both report each request as a RequestTrace.
"""

import itertools
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

# The server did nothing with the request: any request may be repeated.
NOT_PROCESSED = frozenset({429})
# Another try may help. The server may have done its work: only a safe request may be repeated.
UNAVAILABLE = frozenset({502, 503, 504})
RETRIED_STATUSES = NOT_PROCESSED | UNAVAILABLE

MAX_WARNINGS = 20
"""How many warnings of one server are shown."""

_MAX_WARNING_CHARACTERS = 1000
_MAX_DATE_CHARACTERS = 50
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class RequestTrace:
    """One request and its status, without headers and bodies: it holds no secret."""

    method: str
    url: str
    status: int | None
    seconds: float


OnRequest = Callable[[RequestTrace], None]


def ignore_request(_trace: RequestTrace) -> None:
    """Do nothing: the OnRequest of a client that nobody watches."""


@dataclass(frozen=True)
class Backoff:
    """
    Growing pauses with full jitter, for requests that are safe to repeat.

    *base* and *cap* are seconds. *tries* is None if only a deadline ends them. *patience* is the
    longest pause that a server may ask for, in seconds. Tests inject *uniform*.
    """

    tries: int | None = 5
    base: float = 0.1
    cap: float = 10.0
    patience: float = 120.0
    uniform: Callable[[float, float], float] = random.uniform

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each further try."""
        bound = min(self.cap, self.base)
        for _ in itertools.count() if self.tries is None else range(self.tries - 1):
            yield self.uniform(0, bound)
            bound = min(self.cap, bound * 2)


@dataclass
class Attempt:
    """
    One try of several.

    *pause* is how many seconds the loop waits after this try. A caller may change it, for example
    to what `Retry-After` asks for.
    """

    pause: float
    _is_final: bool = False
    _deadline: float = math.inf
    _clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @property
    def last(self) -> bool:
        """Whether no try follows: all are used, or the deadline comes before the pause ends."""
        return self._is_final or self._clock() + self.pause > self._deadline


def attempts(
    backoff: Backoff,
    wait: Callable[[float], object],
    *,
    deadline: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Attempt]:
    """
    Yield an Attempt for each try, and wait between two of them.

    The loop ends after the last try, so what follows it deals with the last answer. *wait* is
    called with seconds. If it returns True, as `threading.Event.wait` does once the event is set,
    the loop ends too. *deadline* is a time of *clock*.
    """
    for pause in itertools.chain(backoff.pauses(), [None]):
        attempt = Attempt(pause or 0.0, pause is None, deadline, clock)
        yield attempt
        if attempt.last or wait(attempt.pause) is True:
            return


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """
    Return the seconds that a `Retry-After` header asks for, or None if it has no usable value.

    Reads both forms of RFC 9110, section 10.2.3: a number of seconds and an HTTP date.
    """
    if value is None:
        return None
    if (number := value.strip()).isdecimal():
        return float(number)
    moment = parse_http_date(value)
    if moment is None:
        return None
    return max(0.0, (moment - (now or datetime.now(timezone.utc))).total_seconds())


def parse_warnings(value: str) -> list[str]:
    """Return the texts in a `Warning` header with code 299 (RFC 7234, section 5.5), cut."""
    texts = (re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(value))
    return [text[:_MAX_WARNING_CHARACTERS] for text in texts]


def parse_time(text: object) -> datetime | None:
    """Return an RFC 3339 time as Go writes it, with up to nine digits of a second, or None."""
    try:
        # Python 3.10 reads six digits, and no "Z".
        digits = re.sub(r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", str(text)[:64])
        moment = datetime.fromisoformat(digits.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def parse_http_date(value: str) -> datetime | None:
    """Return the time in a header such as `Date` (RFC 9110, section 5.6.7), or None."""
    try:
        moment = parsedate_to_datetime(value[:_MAX_DATE_CHARACTERS])
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
