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
    pending: dict[Future[R], T] = {executor.submit(function, item): item for item in items}
    try:
        while pending:
            try:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                stop()
                executor.shutdown(wait=True, cancel_futures=True)
                for future, item in pending.items():
                    yield item, INTERRUPTED if future.cancelled() else future.result()
                raise
            for future in done:
                yield pending.pop(future), future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
