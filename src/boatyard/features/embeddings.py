"""A backbone's outputs on views of photos, each computed once in the life of a work folder.

`featurize`, `evaluate` and `tta_evaluate` all take them from here: what one of them has computed the others have, and a
head that was trained anew costs no convolution. Processes that share the work compute a part of it each.

Where all views are there, or the backbone's graph is and ONNX Runtime runs it, no torch is imported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from boatyard.core import cache_keys, distributed
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine
from boatyard.core.splits import Sample
from boatyard.features import inference
from boatyard.features.feature_files import Task
from boatyard.features.store import FeatureStore
from boatyard.images.views import PhotoViews, Recipe
from boatyard.models import onnx_graphs, onnx_head
from boatyard.models.engines import registry
from boatyard.models.engines.base import Engine
from boatyard.models.engines.onnx_engine import OnnxEngine
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.head import Head

# What decides an embedding beside the network, our code, the photo and the view's name.
_LIBRARIES = ("onnxruntime", "pillow")
_BATCH = 256  # rows that are held before they go to the disk, and photos that are read at a time


def missing(tasks: Sequence[Task], recipe: Recipe, store: FeatureStore) -> list[Task]:
    """The views among those of `tasks` that the store lacks."""
    lacking = []
    for task in tasks:
        numbers = [number for number in task.numbers if recipe.name(task.photo.sha256, number) not in store]
        if numbers:
            lacking.append(Task(task.photo, numbers))
    return lacking


def compute(
    tasks: Sequence[Task], raw: Path, recipe: Recipe, engine: Engine, store: FeatureStore, workers: int
) -> Iterator[Task]:
    """Compute the views of `tasks` into the store; yields each task when its outputs are there."""
    held: list[tuple[str, NDArray[np.float32]]] = []

    def keep() -> None:
        if held:
            store.add([key for key, _ in held], np.stack([row for _, row in held]))
            held.clear()

    def opened(task: Task) -> PhotoViews:
        return recipe.open(raw / task.photo.path, task.photo.sha256, task.numbers)

    try:
        for task, outputs in zip(tasks, inference.run(engine, tasks, opened, workers), strict=True):
            held += [
                (recipe.name(task.photo.sha256, number), output)
                for number, output in zip(task.numbers, outputs, strict=True)
            ]
            if len(held) >= _BATCH:
                keep()
            yield task
    finally:
        keep()


class Embeddings:
    """What a backbone says of views of photos, kept in the work folder.

    Args:
        frozen: the backbone.
        recipe: how views are drawn.
        raw: the photos' folder.
        machine: where the network is to run, and by which engine.
        cache: the folder of the feature stores.
        graphs: the folder of exported ONNX graphs.

    Raises:
        UserError: another of the processes that share the work would compute something else.
    """

    def __init__(self, frozen: FrozenBackbone, recipe: Recipe, raw: Path, machine: Machine, cache: Path, graphs: Path):
        self._frozen, self._recipe, self._raw, self._machine, self._graphs = frozen, recipe, raw, machine, graphs
        self._workers = max(1, machine.workers // distributed.here())
        # What was computed in one precision is never taken for what another would give.
        decided_by = machine.engine, machine.kind, machine.backbone_precision, frozen.fingerprint
        name = cache_keys.key(*decided_by, recipe.preprocessing, libraries=_LIBRARIES, code=__name__)
        if len(set(distributed.gathered(name))) > 1:
            raise UserError(
                "the processes that share the work would not compute the same: their libraries, their precision "
                "(BOATYARD_PRECISION) or the network's weights differ; make the machines alike"
            )
        self.store = FeatureStore(cache / name, frozen.width, distributed.rank(), distributed.size())

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """The views among those of `tasks` that have never been computed."""
        return missing(tasks, self._recipe, self.store)

    def compute(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Compute this process's share of `tasks`; yields each when it is done, and ends when every share is.

        Raises:
            UserError: a photo can't be opened, or the network can't be run.
        """
        own = distributed.share(tasks)
        # The first process exports the graph, and the others find it. By then all have looked for what is missing, so
        # that their shares are those of one list.
        run, failure = None, ""
        if own and distributed.rank() == 0:
            try:
                run = self.engine()
            except UserError as error:
                failure = str(error)
        if failures := [told for told in distributed.gathered(failure) if told]:
            raise UserError(failures[0])
        if own:
            run = run or self.engine()
            yield from compute(own, self._raw, self._recipe, run, self.store, self._workers)
        distributed.wait()
        self.store.reopen()

    def fill(self, tasks: Sequence[Task], title: str) -> list[Task]:
        """Compute what is missing of `tasks`, with a progress bar of this process's part; returns what was missing."""
        todo = self.missing(tasks)
        quiet = distributed.rank() > 0 or None  # None: where nobody looks at a terminal
        for _ in tqdm(self.compute(todo), title, len(distributed.share(todo)), unit=" photos", disable=quiet):
            pass
        return todo

    def engine(self) -> Engine:
        """What runs the backbone on this machine."""
        shape = self._recipe.preprocessing.shape
        if self._machine.engine == "onnx" and (kept := onnx_graphs.kept(self._frozen.fingerprint, shape, self._graphs)):
            return OnnxEngine(kept, self._workers)
        machine = replace(self._machine, workers=self._workers)
        return registry.create(self._frozen.network(), shape, machine, self._graphs)

    def _head_engine(self, head: Head) -> Engine:
        if self._machine.engine == "onnx":
            return OnnxEngine(onnx_head.alone(head), self._workers)
        from boatyard.models.engines.torch_engine import TorchEngine
        from boatyard.models.network import with_numbers

        return TorchEngine(with_numbers(head), self._machine.device)

    def __str__(self) -> str:
        precision = self._machine.backbone_precision
        return f"{self._machine.engine} on {self._machine.device}{'' if precision == 'fp32' else f' in {precision}'}"

    def answers(self, head: Head, photos: Sequence[Sample], numbers: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """A head's outputs on the same views of many photos, float32 [a batch of photos, views, outputs] at a time.

        They are to the bit those of the whole network: tests/features/test_embeddings.py.
        """
        run = self._head_engine(head)
        for start in range(0, len(photos), _BATCH):
            rows = self.rows(photos[start : start + _BATCH], numbers)
            yield run(rows.reshape(-1, self.store.width)).reshape(*rows.shape[:2], -1)

    def rows(self, photos: Sequence[Sample], numbers: Sequence[int]) -> NDArray[np.float32]:
        """Embeddings of the same views of some photos, which have been computed: float32 [photos, views, width]."""
        names = [self._recipe.name(row.sha256, number) for row in photos for number in numbers]
        return self.store.read(names).reshape(len(photos), len(numbers), self.store.width)
