"""Temperature scaling: one number, fitted on validation, that makes a classifier as sure as it is right.

Logits are divided by a temperature T before the softmax (Guo et al., ICML 2017). Above 1 it takes back overconfidence,
below 1 it makes a hesitant classifier surer. No class overtakes another, so predicted classes and top-k stay the same.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax

from boatyard.evaluation import metrics
from boatyard.evaluation.checks import Floats, Integers, blocks, check

# Beyond them a logit that leads by 1 is certain, or no answer at all.
COLDEST, HOTTEST = 0.05, 20.0

# Of the calibration error on validation: as many as Guo et al. take. `evaluate.bins` must not retrain a network.
BINS = 15


def scale(log_probabilities: Floats, temperature: float, out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Log-probabilities [n, k] at another temperature, float64; scaling by T and then by 1 / T changes nothing.

    Log-probabilities are logits: they differ from them by a constant for each photo, which the softmax takes out.

    Args:
        log_probabilities: [n, k].
        temperature: above 0.
        out: where to write them, which may be `log_probabilities`; None: a new array.
    """
    scaled = np.empty(log_probabilities.shape) if out is None else out
    for rows in blocks(len(log_probabilities)):
        scaled[rows] = log_softmax(log_probabilities[rows].astype(np.float64) / temperature, axis=1)
    return scaled


def fit(log_probabilities: Floats, actual: Integers) -> float:
    """The temperature with the lowest cross entropy, between `COLDEST` and `HOTTEST`.

    Where every photo is classified right, the lowest cross entropy is at 0, where every answer is certain, however few
    the photos. So the temperature falls below 1 no further than to where the mean confidence is (n + 1) / (n + 2), all
    that n right answers vouch for (Laplace's rule of succession). That the cross entropy is no higher than at
    temperature 1 holds either way. Where no temperature is better than another, it is 1.

    Args:
        log_probabilities: [n, k], of photos that the classifier was not trained on, at temperature 1.
        actual: class indices [n].

    Raises:
        ValueError: see `checks.check`.

    """
    check(log_probabilities, actual)
    # Cut off as in `metrics.losses`: a probability of 0 would make every temperature as bad.
    floor = math.log(np.finfo(np.float64).eps)
    limit = (actual.size + 1) / (actual.size + 2)

    def mean(figure: Callable[[Floats, Floats, Integers], Floats], sharpness: float) -> float:
        """Of a figure of each photo, from its logits, its log-probabilities at 1 / T and its class."""
        total = 0.0
        for rows in blocks(actual.size):
            scores = np.maximum(log_probabilities[rows].astype(np.float64), floor)
            total += float(figure(scores, scale(scores, 1 / sharpness), actual[rows]).sum())
        return total / actual.size

    def slope(sharpness: float) -> float:
        """Of the mean cross entropy by 1 / T, in which it is convex: it rises."""
        return mean(
            lambda scores, scaled, own: (np.exp(scaled) * scores).sum(axis=1) - scores[np.arange(own.size), own],
            sharpness,
        )

    def overclaim(sharpness: float) -> float:
        """The mean confidence less what the photos vouch for; it rises as well."""
        return mean(lambda _scores, scaled, _own: np.exp(scaled.max(axis=1)), sharpness) - limit

    if abs(slope(1.0)) < 1e-9:
        return 1.0
    if slope(1.0) > 0:
        return 1 / _root(slope, 1 / HOTTEST, 1.0)
    return 1 / min(_root(slope, 1.0, 1 / COLDEST), _root(overclaim, 1.0, 1 / COLDEST))


def summary(log_probabilities: Floats, actual: Integers, temperature: float) -> dict[str, Any]:
    """What a temperature does on validation: keys of metrics/train.json.

    Args:
        log_probabilities: [n, k], at temperature 1.
        actual: class indices [n].
        temperature: the one fitted to them.

    """

    def figures(value: float) -> dict[str, float]:
        found = metrics.loss_and_error(scale(log_probabilities, value), actual, bins=BINS)
        return {f"validation_{name}": figure for name, figure in found.items()}

    return {"temperature": temperature, "uncalibrated": figures(1.0), "calibrated": figures(temperature)}


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function of [low, high] is 0; an end where it is above or below 0 throughout."""
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return float(brentq(rising, low, high, xtol=1e-12))
