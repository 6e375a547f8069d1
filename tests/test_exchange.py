"""Time limits that move on, with a clock of the test."""

import socket

import pytest

from regctl import exchange
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("regctl.exchange.time.monotonic", clock)
    return clock


def transfer(clock: Clock, sizes: list[int], *, is_transfer: bool = True) -> int:
    """Count the pieces of these sizes that pass, one every 4 s, with 10 s of time."""
    deadline = exchange._Deadline(10, is_transfer=is_transfer)
    with socket.socket() as sock:
        for number, size in enumerate(sizes):
            try:
                deadline.limit(sock)
            except TimeoutError:
                return number
            assert 0 < (sock.gettimeout() or 0) <= 10
            clock.sleep(4)
            deadline.count(size)
    return len(sizes)


def test_a_transfer_has_no_end_at_one_kibibyte_a_second(clock: Clock) -> None:
    assert transfer(clock, [5 * 1024] * 1000) == 1000


def test_a_transfer_ends_below_one_kibibyte_a_second(clock: Clock) -> None:
    assert transfer(clock, [3 * 1024] * 1000) == 3


def test_what_was_fast_before_does_not_count(clock: Clock) -> None:
    assert transfer(clock, [1024**3, *[1] * 1000]) == 4


def test_any_other_exchange_ends_however_fast_it_is(clock: Clock) -> None:
    assert transfer(clock, [1024**3] * 1000, is_transfer=False) == 3
