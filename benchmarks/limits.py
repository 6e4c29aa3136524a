"""What no pipeline on this machine could beat: the engine's throughput on views in memory, and that of drawing views.

Run in a folder where `dvc repro` has run, it prints as JSON, in views per second but for the last:

    forward         the engine of featurize and evaluate, with as many calls at once, on views that are drawn already
    draw featurize  decoding the photos and drawing the views that featurize draws of them, in as many threads
    draw evaluate   the same for the test photos' plain views
    head products   seconds of the matrix products in the head's first layer, of as many batches as train has run
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
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.images.views import PLAIN, Recipe, View
from boatyard.models import backbone_cache

FORWARD_VIEWS, HELD = 1024, 256  # as many runs, on this many views in memory


def main() -> None:
    settings, workers = params.load("featurize"), machine.workers()
    rows = splits.read_splits(paths.SPLITS)
    frozen, preprocessing = backbone_cache.frozen(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    recipe = Recipe(preprocessing, settings.augment, settings.seed)
    run = Embeddings(frozen, recipe, paths.RAW, machine.read(), paths.FEATURE_ROWS, paths.GRAPHS).engine()

    def draw(task: Task) -> list[View]:
        return recipe.draw(paths.RAW / task.photo.path, task.photo.sha256, task.numbers)

    def drawn_per_second(tasks: list[Task]) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            count = sum(pool.map(lambda task: len(draw(task)), tasks))
        return count / (time.perf_counter() - started)

    wanted = feature_files.wanted(rows, settings.features.views)
    held = list(islice((view for task in wanted for view in draw(task)), HELD))
    batch = [held[place % len(held)] for place in range(max(run.batch, HELD))]
    calls = [np.stack(batch[start : start + run.batch]) for start in range(0, len(batch) - run.batch + 1, run.batch)]
    run(calls[0])  # the first call prepares what the later ones use
    started, done = time.perf_counter(), 0
    with ThreadPoolExecutor(run.calls) as pool:
        while done < FORWARD_VIEWS:
            done += sum(map(len, pool.map(run, calls)))
    forward = done / (time.perf_counter() - started)

    test = [Task(row, [PLAIN]) for row in rows if row.split == "test"]
    found = {
        "forward": forward,
        "draw featurize": drawn_per_second(wanted),
        "draw evaluate": drawn_per_second(test),
        "head products": head_products(rows, frozen.width),
    }
    print(json.dumps(found))


def head_products(rows: list[Sample], width: int) -> float:
    settings, photos = params.load("train"), sum(row.split == "train" for row in rows)
    outputs, size = settings.model.head.hidden or len(splits.class_names(rows)), settings.train.batch_size
    steps = files.read_json(paths.TRAIN_METRICS)["epochs"] * math.ceil(photos / size)
    inputs, weights, gradients = (torch.rand(shape) for shape in ((size, width), (width, outputs), (size, outputs)))
    inputs, gradients = inputs[:photos], gradients[:photos]  # where a batch is not full

    def products() -> None:
        torch.mm(inputs, weights)  # forwards
        torch.mm(inputs.T, gradients)  # back to the weights

    torch.set_num_threads(1)  # as training.fit does
    products()  # the first call prepares what the later ones use
    started = time.perf_counter()
    for _ in range(steps):
        products()
    return time.perf_counter() - started


if __name__ == "__main__":
    errors.run(main)
