"""Many small pieces of work at once: bounded, each answered for, and stopped cleanly."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_WORKERS = 8
MAX_WORKERS = 16


class Interrupted:
    """In place of a result: the piece was not begun when the run was interrupted."""


INTERRUPTED = Interrupted()


def run(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int = DEFAULT_WORKERS,
    stop: Callable[[], None] = lambda: None,
) -> Iterator[tuple[T, R | Interrupted]]:
    """
    Yield each of *items* with what *function* returned for it, in the order they finish.

    On Ctrl-C (KeyboardInterrupt while waiting) nothing more is begun, *stop* is called so that
    pieces that wait can give up, pieces under way are waited for, the others come back as
    INTERRUPTED, and then the KeyboardInterrupt is raised: every item is answered for exactly once.
    An exception of *function* is raised as it is and ends the run.
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
        pending = set(futures)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield unanswered.pop(futures[future]), future.result()
    except KeyboardInterrupt:
        stop()
        executor.shutdown(wait=True, cancel_futures=True)
        results = {index: future for future, index in futures.items() if not future.cancelled()}
        for index, item in unanswered.items():
            yield item, results[index].result() if index in results else INTERRUPTED
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
