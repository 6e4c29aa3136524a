"""Test-time augmentation: which views of a photo are averaged, their mean, and the choice of a policy."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files
from boatyard.evaluation.checks import Floats
from boatyard.images.views import BOTH, FIRST_TTA_VIEW, HORIZONTAL, PLAIN, VERTICAL
from boatyard.params.schema import Augment
from boatyard.params.tta_policies import POLICIES


def mean_probabilities(log_probabilities: Floats) -> NDArray[np.float64]:
    """Average a photo's probabilities over its views (Krizhevsky et al., NeurIPS 2012), as logarithms.

    Args:
        log_probabilities: [n, v, k] of n photos, v views of each, k classes; minus infinity is allowed.

    Returns:
        The logarithm of the mean probability, float64 [n, k]. Probabilities too small for a float are not lost.

    Raises:
        ValueError: not three axes, or no view.
    """
    if log_probabilities.ndim != 3 or log_probabilities.shape[1] == 0:
        raise ValueError(f"the shape is {log_probabilities.shape}; it must be [photos, views, classes]")
    total = np.logaddexp.reduce(log_probabilities.astype(np.float64), axis=1)
    return np.asarray(total - np.log(log_probabilities.shape[1]), np.float64)


def choose(losses: Mapping[str, float], views: Mapping[str, int]) -> str:
    """The policy with the lowest loss on validation; on a tie the one with the fewest views, then the first.

    Losses tie if they are written the same in a metrics file, so that a machine's last-bit rounding decides nothing.

    Raises:
        ValueError: no policy, or a loss that is not finite.
    """
    if not losses or not all(np.isfinite(loss) for loss in losses.values()):
        raise ValueError(f"no policy can be chosen from {dict(losses)}")
    return min(losses, key=lambda policy: (round(losses[policy], files.DIGITS), views[policy]))


@dataclass(frozen=True)
class Plan:
    """The views that some policies need of a photo, each drawn once.

    Attributes:
        numbers: of all views, as `views.Recipe` draws them; the plain view first.
        policies: the positions in `numbers` that each policy averages.
    """

    numbers: list[int]
    policies: dict[str, list[int]]


def plan(policies: Collection[str], views: int, augment: Augment) -> Plan:
    """The views that the policies need of a photo.

    Args:
        policies: names in the registry `POLICIES`.
        views: number of views of a policy with random views, the plain one included.
        augment: which flips the photos allow.
    """
    allowed = {HORIZONTAL: augment.horizontal_flip, VERTICAL: augment.vertical_flip}
    allowed[BOTH] = all(allowed.values())
    flips = [number for number, is_allowed in allowed.items() if is_allowed]
    random = range(FIRST_TTA_VIEW, FIRST_TTA_VIEW + views - 1)
    chosen = {name: [PLAIN, *POLICIES[name].choose(flips, random)] for name in policies}
    wanted = {number for numbers in chosen.values() for number in numbers}
    numbers = [number for number in (PLAIN, *flips, *random) if number in wanted or number == PLAIN]
    return Plan(numbers, {name: [numbers.index(number) for number in own] for name, own in chosen.items()})
