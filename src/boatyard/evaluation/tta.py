"""Test-time augmentation: which views of a photo are taken, how their answers are averaged, which policy is used."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files
from boatyard.evaluation.checks import Floats
from boatyard.images.views import BOTH, FIRST_TTA_VIEW, HORIZONTAL, PLAIN, VERTICAL


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


@dataclass(frozen=True)
class Plan:
    """The views of a photo that some policies take, each drawn once: the plain one, its mirror images, random ones.

    Attributes:
        flips: numbers of mirror images, as `views.Recipe` draws them.
        random: numbers of random views.
    """

    flips: tuple[int, ...]
    random: tuple[int, ...]

    @property
    def numbers(self) -> list[int]:
        """All views, the plain one first."""
        return [PLAIN, *self.flips, *self.random]

    def places(self, policy: str) -> list[int]:
        """Which of `numbers` a policy averages."""
        chosen = self.flips if policy == "flips" else self.random
        return [self.numbers.index(number) for number in (PLAIN, *chosen)]


def plan(policies: Collection[str], views: int, horizontal: bool, vertical: bool) -> Plan:
    """What the policies need of a photo.

    Args:
        policies: 'flips' (the plain view and its mirror images) and 'random' (the plain view and random ones).
        views: of a photo under 'random', the plain one among them.
        horizontal: photos of this data set may be mirrored left to right.
        vertical: they may be turned upside down.
    """
    allowed = {HORIZONTAL: horizontal, VERTICAL: vertical, BOTH: horizontal and vertical}
    flips = tuple(number for number, is_allowed in allowed.items() if is_allowed)
    random = range(FIRST_TTA_VIEW, FIRST_TTA_VIEW + views - 1)
    return Plan(flips if "flips" in policies else (), tuple(random) if "random" in policies else ())
