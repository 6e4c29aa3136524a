"""Calibration: does a classifier that says 80 % turn out right 80 times in 100?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.checks import Floats, Integers, check


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
    edges = _edges(bins)
    member = bin_of(confidence, bins)
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


def bin_of(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin that each photo's top probability lies in, 0 … bins − 1: int64 [n]."""
    return np.digitize(confidence, _edges(bins)[1:-1], right=True).astype(np.int64, copy=False)


def _edges(bins: int) -> NDArray[np.float64]:
    return np.arange(bins + 1) / bins


def expected_calibration_error(rows: Sequence[ConfidenceBin]) -> float:
    """Mean distance between confidence and accuracy over bins, weighed by their photos (Guo et al., ICML 2017)."""
    images = sum(row.images for row in rows)
    return sum(row.images * abs(row.accuracy - row.confidence) for row in rows) / images
