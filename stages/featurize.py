"""The frozen backbone's features of every photo: its plain view, and random views of the training photos."""

from boatyard.core.stage import run_stage

from boatyard import params
from boatyard.core import distributed, machine, paths, splits
from boatyard.core.machine import Machine
from boatyard.features import feature_files
from boatyard.features.embeddings import Embeddings
from boatyard.images.views import Recipe
from boatyard.models import backbone_cache


def main() -> None:
    distributed.run(featurize, machine.read())


def featurize(here: Machine) -> None:
    settings = params.load("featurize")
    rows = splits.read_splits(paths.SPLITS)
    frozen, preprocessing = backbone_cache.frozen(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    recipe, count = Recipe(preprocessing, settings.augment, settings.seed), settings.features.views
    embeddings = Embeddings(frozen, recipe, paths.RAW, here, paths.FEATURE_ROWS, paths.GRAPHS)

    wanted = feature_files.wanted(rows, count)
    todo = embeddings.fill(wanted, "featurizing")
    if distributed.rank() == 0:
        feature_files.write(paths.FEATURES, rows, count, recipe, embeddings.store)
        computed, total = (sum(len(task.numbers) for task in tasks) for tasks in (todo, wanted))
        print(f"{computed:,} of {total:,} views went through {settings.model.backbone} ({embeddings})")


if __name__ == "__main__":
    run_stage(main)
