"""Test-time augmentation: the policy is chosen on validation, then compared with the plain view, photo by photo."""

from boatyard.stage import run_stage

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard import files, machine, params, paths
from boatyard.data import splitting
from boatyard.evaluation import comparison, metrics, predictions, tta
from boatyard.model import distributed, saved
from boatyard.model.embeddings import Embeddings
from boatyard.model.features import Task


@dataclass(frozen=True)
class Answers:
    """Log-probabilities of n photos: of the plain view, float32 [n, classes], and of each policy's mean, float64."""

    photos: list[splitting.Row]
    plain: NDArray[np.float32]
    averaged: dict[str, NDArray[np.float64]]
    views: dict[str, int]  # that a policy averages


def main() -> None:
    device = machine.device()
    distributed.run(tta_evaluate, device, machine.processes(device))


def tta_evaluate(device: str) -> None:
    settings = params.load("tta_evaluate")
    model = saved.read(paths.MODEL)
    about = model.about
    rows = splitting.read_splits(paths.SPLITS)
    embeddings, augment = Embeddings(model.frozen, about.recipe(), paths.RAW, device), settings.augment

    def answers(split: str, policies: list[str]) -> Answers:
        plan = tta.plan(policies, settings.tta.views, augment.horizontal_flip, augment.vertical_flip)
        photos = [row for row in rows if row.split == split]
        embeddings.fill([Task(row, plan.numbers) for row in photos], f"TTA on {split}")
        # A batch at a time: of 16 views and 1,000 classes, a photo's answers are 64 kB.
        plain: list[NDArray[np.float32]] = []
        means: dict[str, list[NDArray[np.float64]]] = {policy: [] for policy in policies}
        for views in embeddings.answers(model.head, photos, plan.numbers):
            plain.append(views[:, 0])
            for policy in policies:
                means[policy].append(tta.mean_probabilities(views[:, plan.places(policy)]))
        return Answers(
            photos,
            np.concatenate(plain),
            {policy: np.concatenate(batches) for policy, batches in means.items()},
            {policy: len(plan.places(policy)) for policy in policies},
        )

    found = answers("validation", list(settings.tta.policies))
    actual = splitting.labels(found.photos, about.classes)
    validation = {"plain": judge(found.plain, actual)}
    validation |= {policy: judge(averaged, actual) for policy, averaged in found.averaged.items()}
    policy = tta.choose([tta.Candidate(name, found.views[name], validation[name]["loss"]) for name in found.views])

    found = answers("test", [policy])
    if distributed.rank() != 0:
        return
    photos, averaged, views = found.photos, found.averaged[policy], found.views[policy]
    actual, plain = splitting.labels(photos, about.classes), found.plain.argmax(axis=1)
    names = [row.path for row in photos]
    table = predictions.tabulate(names, averaged, actual, about.classes, plain)
    predictions.write_predictions(paths.TTA_PREDICTIONS, table)
    changes = comparison.per_class(plain, averaged.argmax(axis=1), actual, about.classes)
    files.write_rows(paths.TTA_PER_CLASS, comparison.TtaClassResult, map(comparison.TtaClassResult.of, changes))

    resamples, seed = settings.evaluate.resamples, settings.seed
    summary = metrics.summary(averaged, actual, resamples=resamples, seed=seed, bins=settings.evaluate.bins)
    gain = comparison.compare(plain, averaged.argmax(axis=1), actual, resamples=resamples, seed=seed)
    about_policy = {"policy": policy, "views": views, "validation": validation}
    files.write_json(paths.TTA_METRICS, summary | asdict(gain) | about_policy)
    print(f"policy {policy!r}, {views} views of a photo, chosen on validation")
    print(comparison.verdict(gain))


def judge(log_probabilities: NDArray[np.floating], actual: NDArray[np.int64]) -> dict[str, float]:
    rank = metrics.ranks(log_probabilities, actual)
    return {"top1": metrics.top_k(rank, 1), "loss": float(metrics.losses(log_probabilities, actual).mean())}


if __name__ == "__main__":
    run_stage(main)
