import itertools
import math
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.retry import Backoff, attempts, parse_time, retry_after
from tests.clock import Clock

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)

_ZONES = ["GMT", "+9999", "-2359", "-9959", "+99999999999999999999"]
_TIMES = ["08:49:37", "23:59:60", "99:99:99"]
WORDS = ["Mon", ",", "06", "Nov", "1994", "0", "-1", "9999", "\x1f", "1e9", *_ZONES, *_TIMES]


def highest(_low: float, high: float) -> float:
    return high


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
    backoff = Backoff(tries=6, base=1, cap=5, uniform=highest)
    assert list(backoff.pauses()) == [1, 2, 4, 5, 5]


def test_pauses_without_a_number_of_tries_never_end() -> None:
    pauses = Backoff(tries=None, base=1, cap=2, uniform=highest).pauses()
    assert sum(itertools.islice(pauses, 3000)) == 1 + 2 * 2999


def test_attempts_wait_between_two_tries_and_not_after_the_last() -> None:
    clock = Clock()
    backoff = Backoff(tries=3, base=1, uniform=highest)
    assert [attempt.last for attempt in attempts(backoff, clock.sleep)] == [False, False, True]
    assert clock.slept == [1, 2]


def test_attempts_wait_as_long_as_the_caller_asks() -> None:
    clock = Clock()
    for attempt in attempts(Backoff(tries=2, base=1, uniform=highest), clock.sleep):
        if not attempt.last:
            attempt.pause = 7
    assert clock.slept == [7]


def test_attempts_end_where_the_next_pause_would_reach_beyond_the_deadline() -> None:
    clock = Clock()
    backoff = Backoff(tries=None, base=1, cap=4, uniform=highest)
    tries = attempts(backoff, clock.sleep, deadline=10, clock=clock)
    assert [attempt.last for attempt in tries] == [False, False, False, True]
    assert clock.slept == [1, 2, 4]


def test_attempts_end_when_the_wait_is_stopped() -> None:
    stopped = threading.Event()
    tried = 0
    for _attempt in attempts(Backoff(base=60, cap=60, uniform=highest), stopped.wait):
        tried += 1
        stopped.set()
    assert tried == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1e999", None),
        ("0\x1f\x1f", 0.0),
        ("9" * 60_000, math.inf),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999999999", None),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        (f"Sun, 06 Nov {'9' * 5000} 08:49:37 GMT", None),
    ],
)
def test_any_text_may_be_in_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value, now=NOW) == seconds


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=9))
def test_no_date_raises_an_error(words: list[str]) -> None:
    for text in (" ".join(words), "".join(words)):
        retry_after(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04T05:06:07Z", datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)),
        ("2026-03-04T05:06:07.5Z", datetime(2026, 3, 4, 5, 6, 7, 500_000, tzinfo=timezone.utc)),
        (
            "2026-03-04T05:06:07.123456789Z",
            datetime(2026, 3, 4, 5, 6, 7, 123_456, tzinfo=timezone.utc),
        ),
        ("2026-03-04T05:06:07", datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)),
        ("2026-13-04T05:06:07Z", None),
        ("9" * 100_000, None),
        ("2026-03-04T05:06:07+99:99", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_time_of_go_is_read_by_every_python(text: object, moment: datetime | None) -> None:
    assert parse_time(text) == moment
