"""The frozen backbone's features of every photo: its plain view, and random views of the training photos."""

from boatyard.core.stage import run_stage

from boatyard import params
from boatyard.core import distributed, paths, splits
from boatyard.core.machine import Machine
from boatyard.features import feature_files
from boatyard.features.embeddings import Embeddings
from boatyard.images.views import Recipe
from boatyard.models import frozen_backbone
from boatyard.models.engines import registry


def main() -> None:
    distributed.run(featurize, registry.read_machine())


def featurize(machine: Machine) -> None:
    settings = params.load("featurize")
    samples = splits.read_splits(paths.SPLITS)
    backbone, preprocessing = frozen_backbone.published(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    recipe, views = Recipe(preprocessing, settings.augment, settings.seed), settings.features.views
    embeddings = Embeddings(backbone, recipe, paths.RAW, machine, paths.FEATURE_ROWS, paths.GRAPHS)

    wanted = feature_files.wanted(samples, views)
    missing = embeddings.fill(wanted, "featurizing")
    if distributed.rank() == 0:
        feature_files.write(paths.FEATURES, samples, views, embeddings.width, embeddings.rows)
        computed, total = (sum(len(task.numbers) for task in tasks) for tasks in (missing, wanted))
        print(f"{computed:,} of {total:,} views went through {settings.model.backbone} ({embeddings})")


if __name__ == "__main__":
    run_stage(main)
