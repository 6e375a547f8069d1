"""Run one function for many items in parallel: bounded, no item lost, with a clean stop."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_WORKERS = 8
MAX_WORKERS = 16


class Interrupted:
    """In place of a result: the item had not started when the run was interrupted, or it failed."""


INTERRUPTED = Interrupted()


def run(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int = DEFAULT_WORKERS,
    stop: Callable[[], None] = lambda: None,
) -> Iterator[tuple[T, R | Interrupted]]:
    """
    Yield each item with what *function* returned for it, in the order they finish.

    Every item is yielded exactly once, also on Ctrl-C (KeyboardInterrupt while waiting). Then no
    further item starts, and *stop* is called so that running calls can stop waiting. Running calls
    finish, the items without a result are yielded as INTERRUPTED, and KeyboardInterrupt is raised.
    Before that, an exception of *function* ends the run and is raised unchanged.
    """
    if len(items) <= 1:
        for item in items:
            yield item, function(item)
        return
    executor = ThreadPoolExecutor(max_workers=max(1, min(workers, MAX_WORKERS, len(items))))
    unanswered = dict(enumerate(items))
    futures: dict[Future[R], int] = {}
    try:
        for index, item in enumerate(items):
            futures[executor.submit(function, item)] = index
        # Not `wait`, which checks all futures again after each: too slow for 10,000 items.
        for future in as_completed(futures):
            yield unanswered.pop(futures[future]), future.result()
    except KeyboardInterrupt:
        stop()
        executor.shutdown(wait=True, cancel_futures=True)
        # A call may fail because it stopped waiting.
        results = {
            index: future.result()
            for future, index in futures.items()
            if not future.cancelled() and future.exception() is None
        }
        for index, item in unanswered.items():
            yield item, results.get(index, INTERRUPTED)
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def in_order(items: Sequence[T], answers: Iterable[tuple[T, R]]) -> Iterator[tuple[T, R]]:
    """Yield the *answers* of `run` in the order of *items*, each once those before it are there."""
    rest, found = iter(items), dict[T, R]()
    item = next(rest, None)
    for done, answer in answers:
        found[done] = answer
        while item is not None and item in found:
            yield item, found.pop(item)
            item = next(rest, None)
