"""The frozen backbone's features of every photo: its plain view, and random views of the training photos."""

import hashlib
import inspect
from importlib.metadata import version

import torch
from tqdm import tqdm

from boatyard import errors, machine, params, paths
from boatyard.data import photos, splitting, views
from boatyard.model import backbones, engine, features, graph, torch_engine
from boatyard.model.network import embedder
from boatyard.model.rows import RowStore

# What decides a feature beside the backbone, the photo and the view's name. Rows made by others are not used again.
LIBRARIES, CODE = ("torch", "onnxruntime", "pillow"), (photos, views, engine, graph, torch_engine)


def main() -> None:
    settings = params.load("featurize")
    rows = splitting.read_splits(paths.SPLITS)
    torch.manual_seed(settings.seed)  # the weights, where model.weights is 'none'
    backbone = backbones.create(settings.model.backbone, settings.model.weights, paths.WEIGHTS)
    preprocessing = backbone.preprocessing.adapted(settings.image)
    network = embedder(backbone, preprocessing)
    recipe, count = views.Recipe(preprocessing, settings.augment, settings.seed), settings.features.views

    device, workers = machine.device(), machine.workers()
    kind = machine.engine(device)
    key = [kind, torch.device(device).type, graph.fingerprint(network), preprocessing]
    key += [*map(version, LIBRARIES), *map(inspect.getsource, CODE)]
    store = RowStore(paths.FEATURE_ROWS / hashlib.sha256(repr(key).encode()).hexdigest()[:16], backbone.width)
    tasks = features.missing(rows, count, recipe, store)
    total = sum(len(features.wanted(row, count)) for row in rows)
    todo = sum(len(task.numbers) for task in tasks)
    if tasks:
        run = engine.create(network, preprocessing.size, kind, device, workers, paths.GRAPHS)
        with tqdm(desc="featurizing", total=todo, unit=" views", disable=None) as progress:
            for task in features.compute(tasks, paths.RAW, recipe, run, store, workers):
                progress.update(len(task.numbers))
    features.write(paths.FEATURES, rows, count, recipe, store)
    print(f"{todo:,} of {total:,} views went through {settings.model.backbone} ({kind} on {device})")


if __name__ == "__main__":
    errors.run(main)
