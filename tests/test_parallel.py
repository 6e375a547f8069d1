import os
import signal
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from regctl import parallel


def test_every_item_is_yielded_with_its_result() -> None:
    for items in ([], [3], list(range(20))):
        assert sorted(parallel.run(abs, items, workers=4)) == [(item, item) for item in items]


def test_no_more_workers_run_than_asked_for_and_never_more_than_sixteen() -> None:
    for workers, limit in ((2, 2), (99, parallel.MAX_WORKERS)):
        names = {
            name for _, name in parallel.run(lambda _: thread_name(), range(99), workers=workers)
        }
        assert len(names) <= limit


def thread_name() -> str:
    return threading.current_thread().name


def test_an_exception_of_the_function_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel.run(lambda number: 1 / number, range(5)))


def test_interrupted_every_item_is_yielded_once() -> None:
    """Ctrl-C while calls run: running calls finish, the other items come back as interrupted."""
    stopped = threading.Event()

    def piece(number: int) -> int:
        if number == 0:
            os.kill(os.getpid(), signal.SIGINT)
        stopped.wait()
        return number

    answered: list[tuple[int, Any]] = []

    def collect() -> None:
        answers = parallel.run(piece, range(20), workers=2, stop=stopped.set)
        answered.extend(iter(lambda: next(answers), None))

    with pytest.raises(KeyboardInterrupt):
        collect()
    assert sorted(number for number, _ in answered) == list(range(20))
    assert sum(result is parallel.INTERRUPTED for _, result in answered) >= 16


def test_answers_are_put_in_order_as_soon_as_those_before_them_are_there() -> None:
    taken: list[str] = []

    def answers() -> Iterator[tuple[str, int]]:
        for item in "badc":
            taken.append(item)
            yield item, ord(item)

    ordered = parallel.in_order("abcd", answers())
    assert next(ordered) == ("a", ord("a"))
    assert taken == ["b", "a"]
    assert [item for item, _ in ordered] == ["b", "c", "d"]


def test_a_call_that_fails_because_it_stopped_waiting_does_not_hide_the_interruption() -> None:
    stopped, began = threading.Event(), threading.Event()

    def wait(item: int) -> int:
        if item == 0:
            began.wait()
            return item
        began.set()
        stopped.wait()
        raise OSError("stopped waiting")

    answers = parallel.run(wait, [0, 1], stop=stopped.set)
    assert isinstance(answers, Generator)
    assert next(answers) == (0, 0)
    assert answers.throw(KeyboardInterrupt) == (1, parallel.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        next(answers)
