"""Test-time augmentation: the policy is chosen on validation, then compared with the plain view, photo by photo."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from boatyard import errors, files, machine, params, paths
from boatyard.data import splitting
from boatyard.data.photos import open_checked
from boatyard.data.views import Recipe, View
from boatyard.evaluation import comparison, metrics, predictions, tta
from boatyard.model import checkpoint, engine, inference


def main() -> None:
    settings = params.load("tta_evaluate")
    network, about = checkpoint.load(paths.MODEL)
    rows = splitting.read_splits(paths.SPLITS)
    recipe = Recipe(about.preprocessing, settings.augment, settings.seed)
    device, workers = machine.device(), machine.workers()
    run = engine.create(network, about.preprocessing.size, machine.engine(device), device, workers, paths.GRAPHS)

    def answers(split: str, plan: tta.Plan) -> tuple[list[splitting.Row], NDArray[np.float32]]:
        photos = [row for row in rows if row.split == split]

        def draw(row: splitting.Row) -> list[View]:
            return plan.draw(recipe, open_checked(paths.RAW / row.path), row.sha256)

        outputs = inference.run(run, photos, draw, workers)
        return photos, np.stack(list(tqdm(outputs, f"TTA on {split}", len(photos), unit=" photos", disable=None)))

    def planned(policies: list[str]) -> tta.Plan:
        augment = settings.augment
        return tta.plan(policies, settings.tta.views, augment.horizontal_flip, augment.vertical_flip)

    plan = planned(list(settings.tta.policies))
    photos, views = answers("validation", plan)
    actual = splitting.labels(photos, about.classes)
    validation = {"plain": judge(views[:, 0], actual)}
    candidates = []
    for policy in settings.tta.policies:
        places = plan.places(policy)
        validation[policy] = judge(tta.mean_probabilities(views[:, places]), actual)
        candidates.append(tta.Candidate(policy, len(places), validation[policy]["loss"]))
    policy = tta.choose(candidates)

    photos, views = answers("test", planned([policy]))
    actual = splitting.labels(photos, about.classes)
    averaged, plain = tta.mean_probabilities(views), views[:, 0].argmax(axis=1)
    names = [row.path for row in photos]
    table = predictions.tabulate(names, averaged, actual, about.classes, plain)
    predictions.write_predictions(paths.TTA_PREDICTIONS, table)
    changes = comparison.per_class(plain, averaged.argmax(axis=1), actual, about.classes)
    files.write_rows(paths.TTA_PER_CLASS, comparison.TtaClassResult, map(comparison.TtaClassResult.of, changes))

    resamples, seed = settings.evaluate.resamples, settings.seed
    summary = metrics.summary(averaged, actual, resamples=resamples, seed=seed, bins=settings.evaluate.bins)
    gain = comparison.compare(plain, averaged.argmax(axis=1), actual, resamples=resamples, seed=seed)
    about_policy = {"policy": policy, "views": views.shape[1], "validation": validation}
    files.write_json(paths.TTA_METRICS, summary | asdict(gain) | about_policy)
    print(f"policy {policy!r}, {views.shape[1]} views of a photo, chosen on validation")
    print(comparison.verdict(gain))


def judge(log_probabilities: NDArray[np.floating], actual: NDArray[np.int64]) -> dict[str, float]:
    rank = metrics.ranks(log_probabilities, actual)
    return {"top1": metrics.top_k(rank, 1), "loss": float(metrics.losses(log_probabilities, actual).mean())}


if __name__ == "__main__":
    errors.run(main)
