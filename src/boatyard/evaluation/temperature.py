"""Temperature scaling: one number, fitted on validation photos, that calibrates a classifier's probabilities.

Logits are divided by a temperature T before the softmax (Guo et al., ICML 2017). T > 1 reduces confidence, T < 1 raises
it. The order of the classes does not change, so predicted classes and top-k stay the same.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax

from boatyard.evaluation import metrics
from boatyard.evaluation.answers import Answers
from boatyard.evaluation.checks import Floats, Integers, blocks, check

# Beyond these a lead of 1 between logits means certainty, or nothing.
LOWEST, HIGHEST = 0.05, 20.0

# Of the calibration error on validation, as in Guo et al. Not `evaluate.bins`, which must not retrain a network.
BINS = 15


def scale(log_probabilities: Floats, temperature: float, out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Log-probabilities [n, k] at another temperature, float64; scaling by T and then by 1 / T changes nothing.

    Log-probabilities serve as logits: they differ by a constant for each photo, which the softmax removes.

    Args:
        log_probabilities: [n, k].
        temperature: above 0.
        out: where to write the result, which may be `log_probabilities`; None: a new array.
    """
    scaled = np.empty(log_probabilities.shape) if out is None else out
    for rows in blocks(len(log_probabilities)):
        scaled[rows] = log_softmax(log_probabilities[rows].astype(np.float64) / temperature, axis=1)
    return scaled


def fit(log_probabilities: Floats, actual: Integers) -> float:
    """The temperature with the lowest cross entropy, between `LOWEST` and `HIGHEST`.

    Where every photo is classified correctly, the cross entropy is lowest at temperature 0, where every answer is
    certain, however few the photos. So the temperature falls below 1 only to where the mean confidence is
    (n + 1) / (n + 2), the most that n right answers support (Laplace's rule of succession). The cross entropy is never
    higher than at temperature 1. Where no temperature is better than another, it is 1.

    Args:
        log_probabilities: [n, k], at temperature 1, of photos that the classifier was not trained on.
        actual: class indices [n].

    Raises:
        ValueError: see `checks.check`.
    """
    check(log_probabilities, actual)
    # Clipped as in `answers.losses`: with a probability of 0 every temperature would have an infinite loss.
    floor = math.log(np.finfo(np.float64).eps)
    limit = (actual.size + 1) / (actual.size + 2)

    def mean(per_photo: Callable[[Floats, Floats, Integers], Floats], sharpness: float) -> float:
        """Of a value of each photo, from its logits, its log-probabilities at sharpness 1 / T, and its class."""
        total = 0.0
        for rows in blocks(actual.size):
            scores = np.maximum(log_probabilities[rows].astype(np.float64), floor)
            total += float(per_photo(scores, scale(scores, 1 / sharpness), actual[rows]).sum())
        return total / actual.size

    def slope(sharpness: float) -> float:
        """Derivative of the mean cross entropy by 1 / T, in which it is convex: the slope rises."""
        return mean(
            lambda scores, scaled, own: (np.exp(scaled) * scores).sum(axis=1) - scores[np.arange(own.size), own],
            sharpness,
        )

    def overconfidence(sharpness: float) -> float:
        """The mean confidence minus what the photos support; it rises as well."""
        return mean(lambda _scores, scaled, _own: np.exp(scaled.max(axis=1)), sharpness) - limit

    if abs(slope(1.0)) < 1e-9:
        return 1.0
    if slope(1.0) > 0:
        return 1 / _root(slope, 1 / HIGHEST, 1.0)
    return 1 / min(_root(slope, 1.0, 1 / LOWEST), _root(overconfidence, 1.0, 1 / LOWEST))


def summary(log_probabilities: Floats, actual: Integers, temperature: float) -> dict[str, Any]:
    """Validation metrics before and after calibration: keys of metrics/train.json.

    Args:
        log_probabilities: [n, k], at temperature 1.
        actual: class indices [n].
        temperature: the one fitted to them.
    """

    def at(value: float) -> dict[str, float]:
        answers = Answers.from_log_probabilities(scale(log_probabilities, value), actual, bins=BINS)
        return {f"validation_{key}": figure for key, figure in metrics.calibration_metrics(answers).items()}

    return {"temperature": temperature, "uncalibrated": at(1.0), "calibrated": at(temperature)}


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """The root of a rising function in [low, high]; the nearer end where there is none."""
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return float(brentq(rising, low, high, xtol=1e-12))
