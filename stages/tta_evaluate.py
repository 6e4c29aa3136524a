"""Test-time augmentation: choose the policy on validation, then compare it with the plain view, photo by photo."""

from boatyard.core.stage import run_stage

from dataclasses import asdict

from boatyard import params
from boatyard.core import distributed, files, paths, splits, tables
from boatyard.core.machine import Machine
from boatyard.evaluation import comparison, metrics, predictions, tta, tta_outputs
from boatyard.evaluation.answers import Answers
from boatyard.features.embeddings import Embeddings
from boatyard.models import model_file
from boatyard.models.engines import registry


def main() -> None:
    distributed.run(tta_evaluate, registry.read_machine())


def tta_evaluate(here: Machine) -> None:
    settings = params.load("tta_evaluate")
    resamples, bins, seed = settings.evaluate.resamples, settings.evaluate.bins, settings.seed
    model = model_file.read(paths.MODEL)
    classes = model.header.classes
    samples = splits.read_splits(paths.SPLITS)
    validation, test = ([row for row in samples if row.split == split] for split in ("validation", "test"))
    embeddings = Embeddings(model.backbone, model.header.recipe(), paths.RAW, here, paths.FEATURE_ROWS, paths.GRAPHS)
    options = settings.tta.views, settings.augment

    found = tta_outputs.run(embeddings, model.head, validation, settings.tta.policies, *options, "TTA on validation")
    validated = tta_outputs.validate(found, splits.labels(validation, classes))
    policy = tta.choose({name: validated[name]["loss"] for name in found.views}, found.views)

    found = tta_outputs.run(embeddings, model.head, test, [policy], *options, "TTA on test")
    if distributed.rank() != 0:
        return
    actual, averaged = splits.labels(test, classes), found.averaged[policy]
    plain_answers, answers = (Answers.from_log_probabilities(x, actual, bins=bins) for x in (found.plain, averaged))
    table = predictions.tabulate([row.path for row in test], averaged, actual, classes, plain_answers.predicted)
    predictions.write_predictions(paths.TTA_PREDICTIONS, table)
    changes = comparison.per_class(plain_answers.predicted, answers.predicted, actual, classes)
    tables.write_rows(paths.TTA_PER_CLASS, comparison.TtaClassResult, map(comparison.TtaClassResult.of, changes))

    summary = metrics.summary(answers, resamples=resamples, seed=seed)
    gain = comparison.compare(plain_answers.right, answers.right, resamples=resamples, seed=seed)
    chosen = {"policy": policy, "views": found.views[policy], "validation": validated}
    files.write_json(paths.TTA_METRICS, summary | asdict(gain) | chosen)
    print(f"policy {policy!r}, {found.views[policy]} views of a photo, chosen on validation")
    print(comparison.verdict(gain))


if __name__ == "__main__":
    run_stage(main)
