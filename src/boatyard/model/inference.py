"""Running an engine over many photos: decoding and the network share the machine, results come in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from boatyard.data.views import View
from boatyard.model.engine import Engine

Item = TypeVar("Item")
Result = TypeVar("Result")
Views = list[View]
Output = NDArray[np.float32]


def run(engine: Engine, items: Sequence[Item], views_of: Callable[[Item], Views], workers: int) -> Iterator[Output]:
    """Yield the network's outputs, float32 [views of the item, d], item by item in the order given.

    Photos are decoded by `workers` threads. An engine that takes a call from each of them at once runs there too; any
    other runs in the caller's, on batches that it fills across items. At most a few photos per worker are held at once.
    An item without views gets an output without rows, [0, 0].

    Args:
        engine: runs the network.
        items: whatever names a photo.
        views_of: opens the photo and draws its views, each uint8 [3, s, s]; called in the worker threads.
        workers: threads.
    """
    if engine.batch == 1 and engine.calls >= workers:
        yield from _ahead(items, lambda item: _answer(engine, views_of(item)), workers)
        return
    waiting: deque[int] = deque()
    held: list[View] = []
    done: list[Output] = []
    for views in _ahead(items, views_of, workers):
        waiting.append(len(views))
        held += views
        while len(held) >= engine.batch:
            done += list(engine(np.stack(held[: engine.batch])))
            del held[: engine.batch]
        while waiting and len(done) >= waiting[0]:
            count = waiting.popleft()
            yield _stacked(done[:count])
            del done[:count]
    if held:
        done += list(engine(np.stack(held)))
    while waiting:
        count = waiting.popleft()
        yield _stacked(done[:count])
        del done[:count]


def _answer(engine: Engine, views: Views) -> Output:
    return engine(np.stack(views)) if views else _stacked([])


def _stacked(rows: list[Output]) -> Output:
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _ahead(items: Sequence[Item], work: Callable[[Item], Result], workers: int) -> Iterator[Result]:
    """Map in threads, in order, a bounded number of results ahead of the reader."""
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 8 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
