"""Calibration: whether answers with a confidence of 80 % are right 80 % of the time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.answers import Answers
from boatyard.evaluation.checks import Floats


@dataclass(frozen=True)
class ConfidenceBin:
    """The photos with a confidence above `bin_low`, up to `bin_high`: their mean confidence and accuracy.

    A row of plots/reliability.csv.
    """

    bin_low: float
    bin_high: float
    images: int
    confidence: float
    accuracy: float


def reliability(answers: Answers) -> list[ConfidenceBin]:
    """Sort photos into equally wide bins of confidence (Guo et al., ICML 2017), empty ones left out.

    The first of the `answers.bins` bins starts at 0, the last one ends at 1.
    """
    bins = answers.bins
    edges, member = _edges(bins), bin_of(answers.confidence, bins)
    images = np.bincount(member, minlength=bins)
    confidences = np.bincount(member, weights=answers.confidence, minlength=bins)
    right = np.bincount(member, weights=answers.right, minlength=bins)
    return [
        ConfidenceBin(
            bin_low=float(edges[number]),
            bin_high=float(edges[number + 1]),
            images=int(images[number]),
            confidence=float(confidences[number] / images[number]),
            accuracy=float(right[number] / images[number]),
        )
        for number in np.flatnonzero(images)
    ]


def bin_of(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each photo's confidence, 0 … bins − 1: int64 [n]."""
    return np.digitize(confidence, _edges(bins)[1:-1], right=True).astype(np.int64, copy=False)


def _edges(bins: int) -> NDArray[np.float64]:
    return np.arange(bins + 1) / bins
