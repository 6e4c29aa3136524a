"""A classifier's answers under test-time augmentation policies, from embeddings that are computed once per view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.core.splits import Sample
from boatyard.evaluation import metrics, tta
from boatyard.evaluation.checks import Floats, Integers
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.models.head import HeadWeights
from boatyard.params.schema import Augment


@dataclass(frozen=True)
class PolicyAnswers:
    """Log-probabilities of n photos.

    Attributes:
        plain: of the plain view, float32 [n, classes].
        averaged: of each policy's mean over its views, float64 [n, classes].
        views: how many views each policy averages.
    """

    plain: NDArray[np.float32]
    averaged: dict[str, NDArray[np.float64]]
    views: dict[str, int]


def answer(
    embeddings: Embeddings,
    head: HeadWeights,
    samples: Sequence[Sample],
    policies: Sequence[str],
    views: int,
    augment: Augment,
    title: str,
) -> PolicyAnswers:
    """Compute the views that the policies need, and average the head's probabilities over them.

    Args:
        embeddings: of the model's backbone.
        head: the model's.
        samples: n photos.
        policies: names of `tta.plan`.
        views: of a photo under the policy 'random', the plain one among them.
        augment: which flips the photos allow.
        title: of the progress bar.
    """
    plan = tta.plan(policies, views, augment.horizontal_flip, augment.vertical_flip)
    embeddings.fill([Task(sample, plan.numbers) for sample in samples], title)
    # A batch at a time: of 16 views and 1,000 classes, a photo's answers are 64 kB.
    plain: list[NDArray[np.float32]] = []
    means: dict[str, list[NDArray[np.float64]]] = {policy: [] for policy in policies}
    for batch in embeddings.log_probabilities(head, samples, plan.numbers):
        plain.append(batch[:, 0])
        for policy in policies:
            means[policy].append(tta.mean_probabilities(batch[:, plan.places(policy)]))
    return PolicyAnswers(
        np.concatenate(plain),
        {policy: np.concatenate(batches) for policy, batches in means.items()},
        {policy: len(plan.places(policy)) for policy in policies},
    )


def judge(answers: PolicyAnswers, actual: Integers) -> dict[str, dict[str, float]]:
    """Top-1 and loss of the plain view and of each policy, on photos whose class indices are known."""
    plain = _figures(answers.plain, actual)
    return {"plain": plain} | {name: _figures(averaged, actual) for name, averaged in answers.averaged.items()}


def _figures(log_probabilities: Floats, actual: Integers) -> dict[str, float]:
    rank = metrics.ranks(log_probabilities, actual)
    return {"top1": metrics.top_k(rank, 1), "loss": float(metrics.losses(log_probabilities, actual).mean())}
