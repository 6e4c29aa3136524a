"""Upper limits for any pipeline on this machine: the engine's throughput on views in memory, and that of drawing views.

Run it where `dvc repro` has run. It prints JSON, in views per second except for the last:

    forward         the engine of featurize and evaluate, with as many calls at once, on views in memory
    draw featurize  decoding the photos and drawing the views of featurize, in as many threads
    draw evaluate   the same for the plain views of the test photos
    head products   seconds for the matrix products of the head's first layer, for as many batches as train has run
"""

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from boatyard import params
from boatyard.core import errors, files, machine, paths, splits
from boatyard.core.splits import Sample
from boatyard.features import feature_files
from boatyard.features.feature_files import Task
from boatyard.images.views import PLAIN, Recipe, View
from boatyard.models import frozen_backbone
from boatyard.models.engines import registry

FORWARD_VIEWS, IN_MEMORY = 1024, 256


def main() -> None:
    settings, workers = params.load("featurize"), machine.workers()
    rows = splits.read_splits(paths.SPLITS)
    backbone, preprocessing = frozen_backbone.published(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    recipe = Recipe(preprocessing, settings.augment, settings.seed)
    engine = registry.for_views(backbone, None, preprocessing.shape, registry.read_machine(), paths.GRAPHS)

    def draw(task: Task) -> list[View]:
        return recipe.open(paths.RAW / task.photo.path, task.photo.sha256, task.numbers).views()

    def drawn_per_second(tasks: list[Task]) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            count = sum(pool.map(lambda task: len(draw(task)), tasks))
        return count / (time.perf_counter() - started)

    wanted = feature_files.wanted(rows, settings.features.views)
    views = list(islice((view for task in wanted for view in draw(task)), IN_MEMORY))
    views = [views[index % len(views)] for index in range(max(engine.batch, IN_MEMORY))]
    starts = range(0, len(views) - engine.batch + 1, engine.batch)
    batches = [np.stack(views[start : start + engine.batch]) for start in starts]
    engine(batches[0])  # the first call prepares what the later ones use
    started, done = time.perf_counter(), 0
    with ThreadPoolExecutor(engine.calls) as pool:
        while done < FORWARD_VIEWS:
            done += sum(map(len, pool.map(engine, batches)))
    forward = done / (time.perf_counter() - started)

    test = [Task(row, [PLAIN]) for row in rows if row.split == "test"]
    result = {
        "forward": forward,
        "draw featurize": drawn_per_second(wanted),
        "draw evaluate": drawn_per_second(test),
        "head products": head_products(rows, backbone.width),
    }
    print(json.dumps(result))


def head_products(rows: list[Sample], width: int) -> float:
    settings, photos = params.load("train"), sum(row.split == "train" for row in rows)
    outputs, size = settings.model.head.hidden or len(splits.class_names(rows)), settings.train.batch_size
    steps = files.read_json(paths.TRAIN_METRICS)["epochs"] * math.ceil(photos / size)
    inputs, weights, gradients = (torch.rand(shape) for shape in ((size, width), (width, outputs), (size, outputs)))
    inputs, gradients = inputs[:photos], gradients[:photos]  # if no batch is full

    def products() -> None:
        torch.mm(inputs, weights)  # forward
        torch.mm(inputs.T, gradients)  # the gradient of the weights

    torch.set_num_threads(1)  # as head_training.fit does
    products()  # the first call prepares what the later ones use
    started = time.perf_counter()
    for _ in range(steps):
        products()
    return time.perf_counter() - started


if __name__ == "__main__":
    errors.run(main)
