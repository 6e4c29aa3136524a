"""A classifier's log-probabilities under TTA policies, from embeddings that are computed once per view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.core.splits import Sample
from boatyard.evaluation import tta
from boatyard.evaluation.answers import losses, ranks
from boatyard.evaluation.checks import Floats, Integers
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.models.head import HeadWeights
from boatyard.params.schema import Augment


@dataclass(frozen=True)
class PolicyOutputs:
    """Log-probabilities of n photos.

    Attributes:
        plain: from the plain view, float32 [n, k].
        averaged: from the mean over each policy's views, float64 [n, k].
        views: number of views that each policy averages.
    """

    plain: NDArray[np.float32]
    averaged: dict[str, NDArray[np.float64]]
    views: dict[str, int]


def run(
    embeddings: Embeddings,
    head: HeadWeights,
    samples: Sequence[Sample],
    policies: Sequence[str],
    views: int,
    augment: Augment,
    title: str,
) -> PolicyOutputs:
    """Compute the views that the policies need, and average the head's probabilities over them.

    For `policies`, `views` and `augment` see `tta.plan`; `title` is that of the progress bar.
    """
    plan = tta.plan(policies, views, augment)
    embeddings.fill([Task(sample, plan.numbers) for sample in samples], title)
    # In batches: with 16 views and 1,000 classes, the log-probabilities of one photo are 64 kB.
    plain: list[NDArray[np.float32]] = []
    means: dict[str, list[NDArray[np.float64]]] = {policy: [] for policy in policies}
    for batch in embeddings.log_probabilities(head, samples, plan.numbers):
        plain.append(batch[:, 0])
        for policy in policies:
            means[policy].append(tta.mean_probabilities(batch[:, plan.policies[policy]]))
    return PolicyOutputs(
        plain=np.concatenate(plain),
        averaged={policy: np.concatenate(batches) for policy, batches in means.items()},
        views={policy: len(positions) for policy, positions in plan.policies.items()},
    )


def validate(outputs: PolicyOutputs, actual: Integers) -> dict[str, dict[str, float]]:
    """Top-1 and loss of the plain view and of each policy, on photos with known class indices [n]."""
    found: dict[str, Floats] = {"plain": outputs.plain, **outputs.averaged}
    return {
        name: {"top1": float((ranks(values, actual) == 0).mean()), "loss": float(losses(values, actual).mean())}
        for name, values in found.items()
    }
