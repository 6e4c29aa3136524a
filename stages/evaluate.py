"""Run the saved model on the plain view of every test photo: its metrics and their uncertainty."""

from boatyard.core.stage import run_stage

from collections import Counter

import numpy as np

from boatyard import params
from boatyard.core import distributed, files, paths, splits, tables
from boatyard.core.machine import Machine
from boatyard.evaluation import calibration, class_results, metrics, predictions, temperature
from boatyard.evaluation.answers import Answers
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.images.views import PLAIN
from boatyard.models import model_file
from boatyard.models.engines import registry


def main() -> None:
    distributed.run(evaluate, registry.read_machine())


def evaluate(here: Machine) -> None:
    settings = params.load("evaluate")
    bins, bootstrap = settings.evaluate.bins, {"resamples": settings.evaluate.resamples, "seed": settings.seed}
    model = model_file.read(paths.MODEL)
    classes = model.header.classes
    rows = splits.read_splits(paths.SPLITS)
    test = [row for row in rows if row.split == "test"]
    actual = splits.labels(test, classes)

    embeddings = Embeddings(model.backbone, model.header.recipe(), paths.RAW, here, paths.FEATURE_ROWS, paths.GRAPHS)
    embeddings.fill([Task(row, [PLAIN]) for row in test], "evaluating")
    if distributed.rank() != 0:
        return
    plain = np.concatenate([batch[:, 0] for batch in embeddings.log_probabilities(model.head, test, [PLAIN])])

    table = predictions.tabulate([row.path for row in test], plain, actual, classes)
    predictions.write_predictions(paths.PREDICTIONS, table)
    trained = Counter(row.label for row in rows if row.split == "train")
    per_class = class_results.per_class(plain, actual, classes, [trained[label] for label in classes])
    tables.write_rows(paths.PER_CLASS, class_results.ClassResult, per_class)
    answers = Answers.from_log_probabilities(plain, actual, bins=bins)
    tables.write_rows(paths.RELIABILITY, calibration.ConfidenceBin, calibration.reliability(answers))
    summary = metrics.summary(answers, **bootstrap)
    # The model applies its temperature; undoing it gives the uncalibrated output without another run.
    applied = model.header.temperature
    uncalibrated = plain if applied == 1 else temperature.scale(plain, 1 / applied)
    before = metrics.calibration_metrics(Answers.from_log_probabilities(uncalibrated, actual, bins=bins), **bootstrap)
    files.write_json(paths.EVALUATE_METRICS, summary | {"uncalibrated": before})
    print(
        f"top-1 {summary['top1']:.4f} (95 % interval {summary['top1_low']:.4f} to {summary['top1_high']:.4f}) "
        f"on {len(test):,} test photos"
    )


if __name__ == "__main__":
    run_stage(main)
