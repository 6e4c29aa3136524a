"""Running an engine over many photos: decoding and the network share the machine, results come in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from boatyard.models.engines.base import Engine, Seen

Item = TypeVar("Item")
Result = TypeVar("Result")
Output = NDArray[np.float32]

# Bytes of photos that wait for an engine which draws their views itself. By then it draws those that are there.
_WAITING = 2**28


def run(engine: Engine, items: Sequence[Item], views_of: Callable[[Item], Seen], workers: int) -> Iterator[Output]:
    """Yield the network's outputs, float32 [views of the item, d], item by item in the order given.

    Photos are decoded by `workers` threads. An engine that takes a call from each of them at once runs there too; any
    other runs in the caller's, on batches that it fills across items. As many photos per worker as `engine.ahead` says
    are held at once: their views, or, under an engine that draws them itself, all their pixels. An item without views
    gets an output without rows, [0, 0].

    Args:
        engine: runs the network.
        items: whatever names a photo.
        views_of: opens the photo; its views, each uint8 [3, s, s], or what is to be drawn of it; called in the worker
            threads.
        workers: threads.
    """

    def opened_of(item: Item) -> Any:
        return engine.open(views_of(item))

    if engine.batch == 1 and engine.calls >= workers:
        yield from _ahead(items, lambda item: _answer(engine, opened_of(item)), workers, engine.ahead * workers)
        return
    waiting: deque[int] = deque()
    undrawn: list[Any] = []
    held: list[Any] = []
    running: deque[Callable[[], Output]] = deque()
    done: list[Output] = []

    def answered(left: int) -> Iterator[Output]:
        """The outputs of items that are complete, when no more than `left` batches may go on running."""
        while len(running) > left:
            done.extend(running.popleft()())
        while waiting and len(done) >= waiting[0]:
            count = waiting.popleft()
            yield _stacked(done[:count])
            del done[:count]

    for opened in _ahead(items, opened_of, workers, engine.ahead * workers):
        waiting.append(len(opened))
        undrawn.append(opened)
        enough = len(held) + sum(map(len, undrawn)) >= engine.batch
        if enough or sum(one.nbytes for one in undrawn) >= _WAITING:
            held += engine.views(undrawn)
            undrawn.clear()
        while len(held) >= engine.batch:
            running.append(engine.start(held[: engine.batch]))
            del held[: engine.batch]
            yield from answered(engine.queued)
        yield from answered(engine.queued)
    held += engine.views(undrawn)
    for start in range(0, len(held), engine.batch):
        running.append(engine.start(held[start : start + engine.batch]))
    yield from answered(0)


def _answer(engine: Engine, opened: Any) -> Output:
    return _stacked([engine.start([view])()[0] for view in engine.views([opened])])


def _stacked(rows: list[Output]) -> Output:
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _ahead(items: Sequence[Item], work: Callable[[Item], Result], workers: int, most: int) -> Iterator[Result]:
    """Map in threads, in order, up to `most` results ahead of the reader."""
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Not waiting: after Ctrl-C, the photos that are being decoded are of no use to anyone.
        pool.shutdown(wait=False, cancel_futures=True)
