"""Run the saved model on the plain view of every test photo: how good it is, and how sure that is."""

from boatyard.core.stage import run_stage

from collections import Counter

import numpy as np

from boatyard import params
from boatyard.core import distributed, files, paths, splits
from boatyard.core.machine import Machine
from boatyard.evaluation import calibration, metrics, predictions, temperature
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.images.views import PLAIN
from boatyard.models import model_file
from boatyard.models.engines import registry


def main() -> None:
    distributed.run(evaluate, registry.read_machine())


def evaluate(here: Machine) -> None:
    settings = params.load("evaluate")
    model = model_file.read(paths.MODEL)
    about = model.header
    rows = splits.read_splits(paths.SPLITS)
    test = [row for row in rows if row.split == "test"]
    actual = splits.labels(test, about.classes)

    embeddings = Embeddings(model.backbone, about.recipe(), paths.RAW, here, paths.FEATURE_ROWS, paths.GRAPHS)
    embeddings.fill([Task(row, [PLAIN]) for row in test], "evaluating")
    if distributed.rank() != 0:
        return
    plain = np.concatenate([answers[:, 0] for answers in embeddings.log_probabilities(model.head, test, [PLAIN])])

    table = predictions.tabulate([row.path for row in test], plain, actual, about.classes)
    predictions.write_predictions(paths.PREDICTIONS, table)
    trained = Counter(row.label for row in rows if row.split == "train")
    per_class = metrics.per_class(plain, actual, about.classes, [trained[label] for label in about.classes])
    files.write_rows(paths.PER_CLASS, metrics.ClassResult, per_class)
    bins = calibration.reliability(plain, actual, bins=settings.evaluate.bins)
    files.write_rows(paths.RELIABILITY, calibration.ConfidenceBin, bins)
    summary = metrics.summary(
        plain, actual, resamples=settings.evaluate.resamples, seed=settings.seed, bins=settings.evaluate.bins
    )
    # The network has its temperature inside; what it would say without is to be had without running it again.
    without = temperature.scale(plain, 1 / about.temperature)
    uncalibrated = metrics.loss_and_error(without, actual, bins=settings.evaluate.bins)
    files.write_json(paths.EVALUATE_METRICS, summary | {"uncalibrated": uncalibrated})
    print(
        f"top-1 {summary['top1']:.4f} (95 % interval {summary['top1_low']:.4f} to {summary['top1_high']:.4f}) "
        f"on {len(test):,} test photos"
    )


if __name__ == "__main__":
    run_stage(main)
