"""Calibration: whether answers with a confidence of 80 % are right 80 % of the time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.answers import Answers
from boatyard.evaluation.checks import Floats
from boatyard.evaluation.intervals import LEVEL, Interval, wilson


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


def error_interval(answers: Answers, *, resamples: int, seed: int) -> Interval:
    """95 % interval of the expected calibration error, by inverting a test.

    The error of n photos is biased upward: by chance, every bin of a perfectly calibrated classifier has a gap between
    confidence and accuracy. A bootstrap repeats that bias, and never covers an error of 0. Here all gaps are multiplied
    by one factor, test sets are drawn with those gaps (a bin's accuracy is normal, with its binomial variance), and the
    interval is that of the factors for which the error found is in neither tail: the grid bootstrap (Hansen, Review of
    Economics and Statistics 1999). The factor 0 is the consistency resampling of Bröcker and Smith (Weather and
    Forecasting 2007): the interval starts at 0 where perfect calibration can't be ruled out. It may end below the error
    found, because of the bias.

    An error as large as the gap between the mean confidence and an accuracy in its Wilson interval is not excluded
    either: of confident answers that are all right, a few photos do not show that they always are.

    In simulations it covered the truth in 93 to 99 % of cases with 20 to 500 photos and an error of 0 to 0.15; a
    percentile bootstrap never covers an error of 0 (300 test sets each; benchmarks/coverage.py).
    """
    bins = reliability(answers)
    images = np.array([each.images for each in bins])
    confidence, accuracy = (np.array([getattr(each, name) for each in bins]) for name in ("confidence", "accuracy"))
    photos, share, gap = images.sum(), images / images.sum(), accuracy - confidence
    found = float(share @ np.abs(gap))
    noise = np.random.default_rng(seed).normal(size=(resamples, len(bins)))

    def scaled(factor: float) -> Floats:
        return np.asarray(np.clip(confidence + factor * gap, 0, 1))

    def above(factor: float) -> float:
        """Which share of the test sets has at least the error found; it rises with the factor."""
        rate = scaled(factor)
        variance = share * (rate * (1 - rate) + (1 - share) * (rate - confidence) ** 2) / photos
        errors = np.abs(share * (rate - confidence) + noise * np.sqrt(variance)).sum(axis=1)
        return float((errors >= found).mean())

    def bound(level: float) -> float:
        low, high = 0.0, 1 / max(found, 1e-9)  # at the upper end the error is 1 unless rates have reached 0 or 1
        if above(low) >= level:
            return 0.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle) < level else (low, middle)
        return float(share @ np.abs(scaled(high) - confidence))

    right, tail = wilson(int(answers.right.sum()), int(photos)), (1 - LEVEL) / 2
    mean = float(answers.confidence.mean())
    return Interval(bound(tail), max(bound(1 - tail), mean - right.low, right.high - mean))


def bin_of(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each photo's confidence, 0 … bins − 1: int64 [n]."""
    return np.digitize(confidence, _edges(bins)[1:-1], right=True).astype(np.int64, copy=False)


def _edges(bins: int) -> NDArray[np.float64]:
    return np.arange(bins + 1) / bins
