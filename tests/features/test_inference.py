"""Running an engine over many photos: order, batches, how far decoding gets ahead, and errors in threads."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from boatyard.features import inference
from boatyard.images.views import View
from boatyard.models.engines.base import Engine


class Doubling(Engine):
    """An engine that returns a view's first two values, doubled, and records its calls."""

    def __init__(self, batch: int, calls: int):
        self.batch, self.calls = batch, calls
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.sizes.append(len(views))
        self.threads.add(threading.get_ident())
        return views.reshape(len(views), -1)[:, :2].astype(np.float32) * 2


Item = tuple[int, int]  # the photo's number and how many views it has


def views_of(item: Item) -> list[View]:
    number, count = item
    time.sleep(0.004 * (number % 3))  # so that threads end in another order than they started
    return [np.full((3, 1, 1), 10 * number + view, np.uint8) for view in range(count)]


def expected(items: Sequence[Item]) -> list[list[list[float]]]:
    return [[[2.0 * (10 * number + view)] * 2 for view in range(count)] for number, count in items]


ITEMS: list[Item] = [(number, count) for number, count in enumerate([1, 5, 1, 2, 7, 1, 1, 3, 2, 1, 1, 4])]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(("batch", "calls"), [(1, 4), (1, 1), (2, 1), (4, 1), (29, 1), (64, 1)])
def test_outputs_come_in_order_and_split_by_item(batch: int, calls: int, workers: int) -> None:
    outputs = list(inference.run(Doubling(batch, calls), ITEMS, views_of, workers))
    assert [output.tolist() for output in outputs] == expected(ITEMS)
    assert all(output.dtype == np.float32 for output in outputs)


def test_batches_are_filled_across_items() -> None:
    engine = Doubling(8, 1)
    list(inference.run(engine, ITEMS, views_of, 3))
    assert engine.sizes == [8, 8, 8, 5]  # 29 views


def test_an_engine_that_takes_many_calls_runs_in_the_workers() -> None:
    engine = Doubling(1, 3)
    list(inference.run(engine, ITEMS, views_of, 3))
    assert threading.get_ident() not in engine.threads
    assert engine.sizes != []


@pytest.mark.parametrize("batch", [1, 4])
def test_an_engine_that_takes_one_call_runs_in_the_callers_thread(batch: int) -> None:
    engine = Doubling(batch, 1)
    list(inference.run(engine, ITEMS, views_of, 3))
    assert engine.threads == {threading.get_ident()}


def test_nothing_to_do() -> None:
    assert list(inference.run(Doubling(1, 2), [], views_of, 2)) == []
    assert list(inference.run(Doubling(4, 1), [], views_of, 2)) == []


@pytest.mark.parametrize("batch", [1, 4])
def test_an_item_without_views_has_an_output_without_rows(batch: int) -> None:
    whole, none, last = inference.run(Doubling(batch, 1), [(0, 2), (1, 0), (2, 2)], views_of, 1)
    alone, other = inference.run(Doubling(batch, 1), [(0, 2), (2, 2)], views_of, 1)
    assert none.shape == (0, 0)
    assert np.array_equal(whole, alone)
    assert np.array_equal(last, other)


@pytest.mark.parametrize(("batch", "calls"), [(1, 2), (4, 1)])
def test_decoding_runs_a_bounded_number_of_photos_ahead(batch: int, calls: int) -> None:
    opened: list[int] = []

    def note(item: Item) -> list[View]:
        opened.append(item[0])
        return views_of((item[0] % 20, 1))

    items = [(number, 1) for number in range(200)]
    outputs = inference.run(Doubling(batch, calls), items, note, 2)
    for taken in range(1, 101):
        next(outputs)
        if taken % 25 == 0:
            time.sleep(0.1)  # a slow reader: the threads go on as far as they may
            assert taken < len(opened) <= taken + 8 * 2 + batch
    outputs.close()
    assert len(opened) < 130


def stopped(before: int) -> bool:
    """Whether no more threads are left than before: each ends with the photo that it has in hand."""
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count() <= before


@pytest.mark.parametrize(("batch", "calls"), [(1, 2), (4, 1)])
def test_an_error_in_a_worker_reaches_the_caller_and_stops_the_threads(batch: int, calls: int) -> None:
    opened: list[int] = []

    def broken(item: Item) -> list[View]:
        opened.append(item[0])
        if item[0] == 9:
            raise OSError("photo 9")
        return views_of(item)

    outputs = inference.run(Doubling(batch, calls), [(number, 1) for number in range(25)] * 8, broken, 2)
    before = threading.active_count()
    got = []
    with pytest.raises(OSError, match="photo 9"):  # noqa: PT012 - what came before the error counts
        for output in outputs:
            got.append(output[0, 0] / 20)
    assert got == list(range(9 if batch == 1 else 8))  # all whole batches before it
    assert len(opened) < 40
    assert stopped(before)


@pytest.mark.parametrize(("batch", "calls"), [(1, 2), (4, 1)])
def test_an_error_of_the_engine_reaches_the_caller_and_stops_the_threads(batch: int, calls: int) -> None:
    class Broken(Doubling):
        def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise RuntimeError("out of memory")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="out of memory"):
        list(inference.run(Broken(batch, calls), ITEMS, views_of, 2))
    assert stopped(before)
