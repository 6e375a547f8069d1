from datetime import datetime, timezone

import pytest

from regctl.retry import Backoff, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=NOW) == seconds


def test_pauses_grow_up_to_the_cap_and_end() -> None:
    backoff = Backoff(tries=6, base=1, cap=5, uniform=lambda _low, high: high)
    assert list(backoff.pauses()) == [1, 2, 4, 5, 5]
