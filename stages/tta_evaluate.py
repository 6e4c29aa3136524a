"""Test-time augmentation: the policy is chosen on validation, then compared with the plain view, photo by photo."""

from boatyard.core.stage import run_stage

from dataclasses import asdict

from boatyard import params
from boatyard.core import distributed, files, paths, splits
from boatyard.core.machine import Machine
from boatyard.evaluation import comparison, metrics, predictions, tta, tta_answers
from boatyard.features.embeddings import Embeddings
from boatyard.models import model_file
from boatyard.models.engines import registry


def main() -> None:
    distributed.run(tta_evaluate, registry.read_machine())


def tta_evaluate(here: Machine) -> None:
    settings = params.load("tta_evaluate")
    model = model_file.read(paths.MODEL)
    classes = model.header.classes
    samples = splits.read_splits(paths.SPLITS)
    validation, test = ([row for row in samples if row.split == split] for split in ("validation", "test"))
    embeddings = Embeddings(model.backbone, model.header.recipe(), paths.RAW, here, paths.FEATURE_ROWS, paths.GRAPHS)
    options = settings.tta.views, settings.augment

    found = tta_answers.answer(embeddings, model.head, validation, settings.tta.policies, *options, "TTA on validation")
    judged = tta_answers.judge(found, splits.labels(validation, classes))
    policy = tta.choose([tta.Candidate(name, views, judged[name]["loss"]) for name, views in found.views.items()])

    found = tta_answers.answer(embeddings, model.head, test, [policy], *options, "TTA on test")
    if distributed.rank() != 0:
        return
    actual, plain, averaged = splits.labels(test, classes), found.plain.argmax(axis=1), found.averaged[policy]
    table = predictions.tabulate([row.path for row in test], averaged, actual, classes, plain)
    predictions.write_predictions(paths.TTA_PREDICTIONS, table)
    changes = comparison.per_class(plain, averaged.argmax(axis=1), actual, classes)
    files.write_rows(paths.TTA_PER_CLASS, comparison.TtaClassResult, map(comparison.TtaClassResult.of, changes))

    resamples, seed = settings.evaluate.resamples, settings.seed
    summary = metrics.summary(averaged, actual, resamples=resamples, seed=seed, bins=settings.evaluate.bins)
    gain = comparison.compare(plain, averaged.argmax(axis=1), actual, resamples=resamples, seed=seed)
    chosen = {"policy": policy, "views": found.views[policy], "validation": judged}
    files.write_json(paths.TTA_METRICS, summary | asdict(gain) | chosen)
    print(f"policy {policy!r}, {found.views[policy]} views of a photo, chosen on validation")
    print(comparison.verdict(gain))


if __name__ == "__main__":
    run_stage(main)
