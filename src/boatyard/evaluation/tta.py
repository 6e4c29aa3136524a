"""Test-time augmentation: which views of a photo are taken, how their answers are averaged, which policy is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard import files
from boatyard.evaluation.checks import Floats

# The views of the policy 'flips': a name each, and the axes of [..., height, width] to flip, for np.flip or torch.flip.
FLIPS: Mapping[str, tuple[int, ...]] = {"plain": (), "horizontal": (-1,), "vertical": (-2,), "both": (-2, -1)}


def mean_probabilities(log_probabilities: Floats) -> NDArray[np.float64]:
    """Average a photo's probabilities over its views (Krizhevsky et al., NeurIPS 2012), in the logarithm.

    Args:
        log_probabilities: [n, v, k] of n photos, v views of each, k classes; minus infinity is allowed.

    Returns:
        The logarithm of the mean probability, float64 [n, k]. A probability too small for a float is not lost.

    Raises:
        ValueError: not three axes, or no view.

    """
    if log_probabilities.ndim != 3 or log_probabilities.shape[1] == 0:
        raise ValueError(f"the shape is {log_probabilities.shape}; it must be [photos, views, classes]")
    total = np.logaddexp.reduce(log_probabilities.astype(np.float64), axis=1)
    return np.asarray(total - np.log(log_probabilities.shape[1]), np.float64)


@dataclass(frozen=True)
class Candidate:
    """A policy, how many views it takes of a photo, and its mean cross entropy on the validation photos, in nats."""

    policy: str
    views: int
    loss: float


def choose(candidates: Sequence[Candidate]) -> str:
    """The policy with the lowest validation loss; of equal ones that with the fewest views, then the first.

    Losses count as equal that read the same in a metrics file, so that a machine's last-bit rounding decides nothing.

    Raises:
        ValueError: no candidate, or a loss that is not finite.

    """
    if not candidates or not all(np.isfinite(candidate.loss) for candidate in candidates):
        raise ValueError(f"no policy can be chosen from {list(candidates)}")
    return min(candidates, key=lambda candidate: (round(candidate.loss, files.DIGITS), candidate.views)).policy
