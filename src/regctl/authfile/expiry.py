"""The day on which a user expires, parsed from what people type."""

import re
from datetime import date, timedelta
from typing import NamedTuple

from regctl.errors import InvalidInputError

_SPAN = re.compile(r"(\d{1,6})([dw])", re.ASCII)


class Expiry(NamedTuple):
    """The *day* (UTC) on which a user is to be locked; None: never."""

    day: date | None

    @classmethod
    def parse(cls, text: str, today: date) -> "Expiry":
        """
        Parse `90d`, `12w`, a date such as `2027-01-31`, or `never`.

        Raises InvalidInputError, also for a day that is not after *today*.
        """
        if text == "never":
            return cls(None)
        span = _SPAN.fullmatch(text)
        try:
            if span:
                day = today + int(span[1]) * timedelta(days=7 if span[2] == "w" else 1)
            else:
                day = date.fromisoformat(text)
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"invalid expiry {text!r}", hint="use 90d, 12w, 2027-01-31 or never"
            ) from error
        if day <= today:
            raise InvalidInputError(
                f"invalid expiry {text!r}: it is not after today, {today} (UTC)",
                hint="`regctl auth lock NAME` locks a user now",
            )
        return cls(day)
