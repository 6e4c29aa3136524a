"""How accuracy depends on the number of training photos, over the classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from boatyard.evaluation.class_results import ClassResult
from boatyard.evaluation.comparison import points
from boatyard.evaluation.intervals import LEVEL


@dataclass(frozen=True)
class Trend:
    """A line through the classes' test top-1 over the logarithm of their training photos.

    Attributes:
        slope: change in top-1, a fraction, for twice as many training photos; `low` and `high` are its 95 % interval.
        images, top1: means over the classes, the first one geometric; the line passes through this point.
    """

    slope: float
    low: float
    high: float
    images: float
    top1: float

    def at(self, images: float) -> float:
        """Top-1 on the line for this many training photos."""
        return self.top1 + self.slope * math.log2(images / self.images)

    def __str__(self) -> str:
        evidence = (
            f"{points(self.slope)} points for twice as many training photos "
            f"(95 % interval {points(self.low)} to {points(self.high)})"
        )
        if self.low <= 0 <= self.high:
            return f"No clear trend: {evidence}."
        return f"Classes with more training photos do {'better' if self.slope > 0 else 'worse'}: {evidence}."


def fit(results: Sequence[ClassResult]) -> Trend | None:
    """Ordinary least squares, each class one observation, with Student's t interval for the slope.

    None with fewer than three classes, or if all have equally many training photos.
    """
    x = np.log2([row.train_images for row in results])
    y = np.array([row.top1 for row in results])
    spread = float(((x - x.mean()) ** 2).sum())
    freedom = len(results) - 2
    if freedom < 1 or spread < 1e-9:
        return None
    slope = float((x - x.mean()) @ y) / spread
    residuals = y - y.mean() - slope * (x - x.mean())
    margin = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(float(residuals @ residuals) / freedom / spread)
    return Trend(slope, slope - margin, slope + margin, float(2 ** x.mean()), float(y.mean()))
