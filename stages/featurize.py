"""The frozen backbone's features of every photo: its plain view, and random views of the training photos."""

from boatyard.stage import run_stage

from boatyard import machine, params, paths
from boatyard.data import splitting
from boatyard.data.views import Recipe
from boatyard.model import distributed, features, remembered
from boatyard.model.embeddings import Embeddings


def main() -> None:
    device = machine.device()
    distributed.run(featurize, device, machine.processes(device))


def featurize(device: str) -> None:
    settings = params.load("featurize")
    rows = splitting.read_splits(paths.SPLITS)
    frozen, preprocessing = remembered.frozen(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    recipe, count = Recipe(preprocessing, settings.augment, settings.seed), settings.features.views
    embeddings = Embeddings(frozen, recipe, paths.RAW, device)

    wanted = features.wanted(rows, count)
    todo = embeddings.fill(wanted, "featurizing")
    if distributed.rank() == 0:
        features.write(paths.FEATURES, rows, count, recipe, embeddings.store)
        computed, total = (sum(len(task.numbers) for task in tasks) for tasks in (todo, wanted))
        print(f"{computed:,} of {total:,} views went through {settings.model.backbone} ({embeddings})")


if __name__ == "__main__":
    run_stage(main)
