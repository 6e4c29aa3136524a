"""Calibration: does a classifier that says 80 % turn out right 80 times in 100?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boatyard.evaluation.checks import Floats, Integers, check

# Bounds of a fitted temperature: beyond them the answer is a single class, or no answer at all.
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class ConfidenceBin:
    """The photos whose top probability lies above `bin_low`, up to `bin_high`: its mean, and the share that is right.

    A row of plots/reliability.csv.
    """

    bin_low: float
    bin_high: float
    images: int
    confidence: float
    accuracy: float


def reliability(log_probabilities: Floats, actual: Integers, *, bins: int) -> list[ConfidenceBin]:
    """Sort photos into equally wide bins of confidence (Guo et al., ICML 2017), and leave out the empty ones.

    Args:
        log_probabilities: [n, k].
        actual: class indices [n].
        bins: how many, ≥ 1; the first one starts at 0, the last one ends at 1.

    """
    check(log_probabilities, actual)
    # Rounding can lift a certain answer a hair above 1.
    confidence = np.minimum(np.exp(log_probabilities.max(axis=1).astype(np.float64)), 1.0)
    right = log_probabilities.argmax(axis=1) == actual
    edges = np.arange(bins + 1) / bins
    member = np.digitize(confidence, edges[1:-1], right=True)
    images = np.bincount(member, minlength=bins)
    confidences = np.bincount(member, weights=confidence, minlength=bins)
    rights = np.bincount(member, weights=right, minlength=bins)
    return [
        ConfidenceBin(
            bin_low=float(edges[number]),
            bin_high=float(edges[number + 1]),
            images=int(images[number]),
            confidence=float(confidences[number] / images[number]),
            accuracy=float(rights[number] / images[number]),
        )
        for number in np.flatnonzero(images)
    ]


def expected_calibration_error(rows: Sequence[ConfidenceBin]) -> float:
    """Mean distance between confidence and accuracy over bins, weighed by their photos (Guo et al., ICML 2017)."""
    images = sum(row.images for row in rows)
    return sum(row.images * abs(row.accuracy - row.confidence) for row in rows) / images


def fit_temperature(log_probabilities: Floats, actual: Integers) -> float:
    """The temperature T that minimises the cross entropy of softmax(log_probabilities / T) (Guo et al., ICML 2017).

    Above 1 the classifier is too sure of itself, below 1 not sure enough; the predicted classes stay the same. The
    cross entropy is convex in 1 / T, so its slope is bisected, between `COLDEST` and `HOTTEST`. Where every T is
    equally good (uniform probabilities) it is 1. Log-probabilities are cut off below as in `metrics.losses`.

    Args:
        log_probabilities: [n, k], of photos that the classifier was not trained on.
        actual: class indices [n].

    """
    check(log_probabilities, actual)
    scores = np.maximum(log_probabilities.astype(np.float64), math.log(np.finfo(np.float64).eps))
    own = scores[np.arange(actual.size), actual]
    highest = scores.max(axis=1, keepdims=True)

    def slope(inverse: float) -> float:
        """Derivative of the mean cross entropy by 1 / T."""
        weights = np.exp(inverse * (scores - highest))
        return float(((weights * scores).sum(axis=1) / weights.sum(axis=1) - own).mean())

    low, high = -math.log(HOTTEST), -math.log(COLDEST)  # of ln(1 / T); the first middle is T = 1
    middle = (low + high) / 2
    for _ in range(50):
        steepness = slope(math.exp(middle))
        if abs(steepness) < 1e-9:
            break
        low, high = (low, middle) if steepness > 0 else (middle, high)
        middle = (low + high) / 2
    return math.exp(-middle)
