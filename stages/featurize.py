"""The frozen backbone's features of every photo: its plain view, and random views of the training photos."""

import hashlib
from dataclasses import astuple

import torch
from tqdm import tqdm

from boatyard import errors, machine, params, paths
from boatyard.data import splitting
from boatyard.model import backbones, engine, features
from boatyard.model.network import embedder
from boatyard.model.rows import RowStore


def main() -> None:
    settings = params.load("featurize")
    rows = splitting.read_splits(paths.SPLITS)
    torch.manual_seed(settings.seed)  # the weights, where model.weights is 'none'
    backbone = backbones.create(settings.model.backbone, settings.model.weights)
    preprocessing = backbone.preprocessing.adapted(settings.image)
    network = embedder(backbone, preprocessing)
    recipe = features.Recipe(preprocessing, settings.augment, settings.features.views, settings.seed)

    device, workers = machine.device(), machine.workers()
    kind = machine.engine(device)
    key = [
        kind,
        torch.__version__,
        engine.fingerprint(network),
        astuple(preprocessing),
        settings.augment,
        settings.seed,
    ]
    store = RowStore(paths.FEATURE_ROWS / hashlib.sha256(repr(key).encode()).hexdigest()[:16], backbone.width)
    tasks = features.missing(rows, recipe.views, store)
    total = sum(len(features.wanted(row, recipe.views)) for row in rows)
    todo = sum(len(task.numbers) for task in tasks)
    if tasks:
        run = engine.create(network, preprocessing.size, kind, device, workers, paths.GRAPHS)
        with tqdm(desc="featurizing", total=todo, unit=" views", disable=None) as progress:
            for task in features.compute(tasks, paths.RAW, recipe, run, store, workers):
                progress.update(len(task.numbers))
    features.write(paths.FEATURES, rows, recipe.views, store)
    print(f"{todo:,} of {total:,} views went through {settings.model.backbone} ({kind} on {device})")


if __name__ == "__main__":
    errors.run(main)
