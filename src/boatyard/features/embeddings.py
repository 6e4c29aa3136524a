"""A backbone's embeddings of views of photos, each computed once in the lifetime of a work folder.

`featurize`, `evaluate` and `tta_evaluate` all get them here: what one of them has computed the others need not, and a
new head costs no convolution. Processes that share the work compute a part each.

No torch is imported if all embeddings are cached, or if the backbone's ONNX graph is and ONNX Runtime runs it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
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
from boatyard.features.store import DamagedRows, FeatureStore
from boatyard.images.views import PhotoViews, Recipe
from boatyard.models.engines import registry
from boatyard.models.engines.base import Engine
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.head import HeadWeights

_BATCH = 256  # embeddings between writes to the disk, and photos read at a time


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
    """Compute the views of `tasks` into the store; yields each task once its outputs are there."""
    pending: list[tuple[str, NDArray[np.float32]]] = []

    def flush() -> None:
        if pending:
            store.add([key for key, _ in pending], np.stack([row for _, row in pending]))
            pending.clear()

    def views(task: Task) -> PhotoViews:
        return recipe.open(raw / task.photo.path, task.photo.sha256, task.numbers)

    try:
        for task, outputs in zip(tasks, inference.run(engine, tasks, views, workers), strict=True):
            keys = [recipe.name(task.photo.sha256, number) for number in task.numbers]
            pending += zip(keys, outputs, strict=True)
            if len(pending) >= _BATCH:
                flush()
            yield task
    finally:
        flush()


class Embeddings:
    """The embeddings of one backbone, cached in the work folder.

    Args:
        backbone, recipe: the network, and how its views are drawn.
        raw: folder of the photos.
        machine: where the network runs, and by which engine.
        cache: folder of the feature stores.
        graphs: folder in which engines cache what they compile.

    Raises:
        UserError: the engine can't be used, or the processes that share the work would compute different embeddings.
    """

    def __init__(
        self, backbone: FrozenBackbone, recipe: Recipe, raw: Path, machine: Machine, cache: Path, graphs: Path
    ):
        self._backbone, self._recipe, self._raw, self._graphs = backbone, recipe, raw, graphs
        workers = max(1, machine.workers // distributed.local_size())
        self._machine = registry.resolve(replace(machine, workers=workers))
        engine = registry.entry(self._machine)
        self._precision = engine.precision(self._machine)
        decided_by = self._machine.engine, machine.kind, self._precision, backbone.fingerprint
        libraries = ["pillow", *engine.libraries]
        name = cache_keys.key(*decided_by, recipe.preprocessing, libraries=libraries, code=__name__)
        if len(set(distributed.all_gather(name))) > 1:
            raise UserError(
                "the processes that share the work would compute different embeddings: libraries, precision "
                "(BOATYARD_PRECISION) or weights of the network differ; make the machines alike"
            )
        report = partial(tqdm.write, file=sys.stderr)
        self._store = FeatureStore(cache / name, backbone.width, distributed.rank(), distributed.size(), report)

    @property
    def width(self) -> int:
        """The dimension of an embedding."""
        return self._store.width

    def __str__(self) -> str:
        precision = "" if self._precision == "fp32" else f" in {self._precision}"
        return f"{self._machine.engine} on {self._machine.device}{precision}"

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """The views among those of `tasks` that have not been computed."""
        return missing(tasks, self._recipe, self._store)

    def compute(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Compute this process's shard of `tasks`; yields each when it is done, and ends when all shards are."""
        shard = distributed.shard(tasks)
        # The first process exports the graph, and the others find it. By then all have looked for what is missing, so
        # that their shards are those of one list.
        engine, failure = None, ""
        if shard and distributed.rank() == 0:
            try:
                engine = self._engine()
            except UserError as error:
                failure = str(error)
        if failures := [message for message in distributed.all_gather(failure) if message]:
            raise UserError(failures[0])
        if shard:
            yield from self._compute(shard, engine or self._engine())
        distributed.barrier()
        self._store.reopen()

    def fill(self, tasks: Sequence[Task], title: str) -> list[Task]:
        """Compute what is missing of `tasks`, with a progress bar of this process's shard; returns what was missing."""
        todo = self.missing(tasks)
        disable = distributed.rank() > 0 or None  # None: unless standard error is a terminal
        for _ in tqdm(self.compute(todo), title, len(distributed.shard(todo)), unit=" photos", disable=disable):
            pass
        return todo

    def rows(self, photos: Sequence[Sample], numbers: Sequence[int]) -> NDArray[np.float32]:
        """Embeddings of the same views of some photos, computed before: float32 [photos, views, width].

        Those that are damaged on the disk are computed again.
        """
        keys = [self._recipe.name(photo.sha256, number) for photo in photos for number in numbers]
        try:
            rows = self._store.read(keys)
        except DamagedRows:
            todo = self.missing([Task(photo, list(numbers)) for photo in photos])
            list(self._compute(todo, self._engine()))
            rows = self._store.read(keys)
        return rows.reshape(len(photos), len(numbers), self.width)

    def log_probabilities(
        self, head: HeadWeights, photos: Sequence[Sample], numbers: Sequence[int]
    ) -> Iterator[NDArray[np.float32]]:
        """A head's outputs on the same views of many photos, float32 [a batch of photos, views, outputs] at a time.

        They equal those of the whole network to the last bit: tests/features/test_embeddings.py.
        """
        engine = registry.for_embeddings(head, self._machine)
        for start in range(0, len(photos), _BATCH):
            rows = self.rows(photos[start : start + _BATCH], numbers)
            yield engine(rows.reshape(-1, self.width)).reshape(*rows.shape[:2], -1)

    def _engine(self) -> Engine:
        return registry.for_views(self._backbone, None, self._recipe.preprocessing.shape, self._machine, self._graphs)

    def _compute(self, tasks: Sequence[Task], engine: Engine) -> Iterator[Task]:
        return compute(tasks, self._raw, self._recipe, engine, self._store, self._machine.workers)
