"""The frozen backbone's features of every photo: its plain view, and random views of the training photos."""

from boatyard.stage import run_stage

import torch

from boatyard import machine, params, paths
from boatyard.data import splitting
from boatyard.data.views import Recipe
from boatyard.model import backbones, distributed, features
from boatyard.model.embeddings import Embeddings
from boatyard.model.frozen import Frozen
from boatyard.model.network import embedder


def main() -> None:
    device = machine.device()
    distributed.run(featurize, device, machine.processes(device))


def featurize(device: str) -> None:
    settings = params.load("featurize")
    rows = splitting.read_splits(paths.SPLITS)
    torch.manual_seed(settings.seed)  # the weights, where model.weights is 'none'
    backbone = backbones.create(settings.model.backbone, settings.model.weights, paths.WEIGHTS)
    preprocessing = backbone.preprocessing.adapted(settings.image)
    recipe, count = Recipe(preprocessing, settings.augment, settings.seed), settings.features.views
    embeddings = Embeddings(Frozen.of(embedder(backbone, preprocessing)), recipe, paths.RAW, device)

    wanted = features.wanted(rows, count)
    todo = embeddings.fill(wanted, "featurizing")
    if distributed.rank() == 0:
        features.write(paths.FEATURES, rows, count, recipe, embeddings.store)
        computed, total = (sum(len(task.numbers) for task in tasks) for tasks in (todo, wanted))
        print(f"{computed:,} of {total:,} views went through {settings.model.backbone} ({embeddings})")


if __name__ == "__main__":
    run_stage(main)
