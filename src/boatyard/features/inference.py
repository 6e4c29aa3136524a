"""Running an engine over many photos: decoding and the network run at the same time, results come in order."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from boatyard.models.engines.base import Engine, PhotoInput

Item = TypeVar("Item")
Result = TypeVar("Result")
Output = NDArray[np.float32]

# Bytes of photos that may wait for an engine to draw their views, even if these do not fill a batch.
_MAX_UNDRAWN = 2**28


def run(
    engine: Engine, items: Sequence[Item], views_of: Callable[[Item], PhotoInput], workers: int
) -> Iterator[Output]:
    """Yield the network's outputs, float32 [views of the item, d], item by item in the order given.

    Photos are decoded by `workers` threads. An engine that takes a call from each of them at once runs there too; any
    other runs in the caller's thread, on batches filled across items. At most `engine.ahead` photos per worker are in
    memory at once: their views, or, for an engine that draws them itself, all their pixels. An item without views gets
    an output without rows, [0, 0].

    `views_of` is called in the worker threads. It opens the photo that an item identifies, and returns its views, each
    uint8 [3, s, s], or what to draw of it.
    """

    def open_item(item: Item) -> Any:
        return engine.open(views_of(item))

    def run_one(item: Item) -> Output:
        return _stack([engine.start([view])()[0] for view in engine.views([open_item(item)])])

    if engine.batch == 1 and engine.calls >= workers:
        yield from _map_ahead(items, run_one, workers, engine.ahead * workers)
        return
    counts: deque[int] = deque()  # views of each item that is not complete
    undrawn: list[Any] = []
    views: list[Any] = []
    running: deque[Callable[[], Output]] = deque()
    rows: list[Output] = []

    def completed(still_running: int) -> Iterator[Output]:
        """The outputs of items that are complete once at most `still_running` batches are running."""
        while len(running) > still_running:
            rows.extend(running.popleft()())
        while counts and len(rows) >= counts[0]:
            count = counts.popleft()
            yield _stack(rows[:count])
            del rows[:count]

    for opened in _map_ahead(items, open_item, workers, engine.ahead * workers):
        counts.append(len(opened))
        undrawn.append(opened)
        enough = len(views) + sum(map(len, undrawn)) >= engine.batch
        if enough or sum(one.nbytes for one in undrawn) >= _MAX_UNDRAWN:
            views += engine.views(undrawn)
            undrawn.clear()
        while len(views) >= engine.batch:
            running.append(engine.start(views[: engine.batch]))
            del views[: engine.batch]
            yield from completed(engine.queued)
        yield from completed(engine.queued)
    views += engine.views(undrawn)
    for start in range(0, len(views), engine.batch):
        running.append(engine.start(views[start : start + engine.batch]))
    yield from completed(0)


def _stack(rows: list[Output]) -> Output:
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _map_ahead(items: Sequence[Item], work: Callable[[Item], Result], workers: int, ahead: int) -> Iterator[Result]:
    """Map in threads, in order, up to `ahead` results ahead of the reader."""
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Without waiting: after Ctrl-C nobody needs the photos that are being decoded.
        pool.shutdown(wait=False, cancel_futures=True)
