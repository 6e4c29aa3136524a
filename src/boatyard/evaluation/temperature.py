"""Temperature scaling: one number, fitted on validation photos, that calibrates a classifier's probabilities.

Logits are divided by a temperature T before the softmax (Guo et al., ICML 2017). T > 1 reduces confidence, T < 1 raises
it. The order of the classes does not change, so predicted classes and top-k stay the same.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax

from boatyard.evaluation import metrics
from boatyard.evaluation.answers import MOST_LOSS, Answers, losses
from boatyard.evaluation.checks import Floats, Integers, blocks, check

# Beyond these a lead of 1 between logits means certainty, or nothing.
LOWEST, HIGHEST = 0.05, 20.0

# Of the calibration error on validation, as in Guo et al. Not `evaluate.bins`, which must not retrain a network.
BINS = 15

# Of the bootstrap on validation; not `evaluate.resamples`, for the same reason.
RESAMPLES = 2000

FOLDS = 10


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
    floor = -MOST_LOSS
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


@dataclass(frozen=True)
class Choice:
    """A fitted temperature, and what it gains on photos that it was not fitted to.

    Attributes:
        fitted: to all photos.
        gain: by how much such temperatures lower the mean cross entropy, in nats.
        standard_error: of the gain; 0 for a single photo, which shows no gain.
    """

    fitted: float
    gain: float
    standard_error: float

    @property
    def temperature(self) -> float:
        """The fitted temperature if its gain exceeds the standard error, otherwise 1."""
        return self.fitted if self.gain > self.standard_error else 1.0


def choose(log_probabilities: Floats, actual: Integers) -> Choice:
    """Fit a temperature, and find out whether it is worth having.

    On the photos that it is fitted to, a temperature always seems to gain something. So each photo's gain is that of
    the temperature fitted to the other folds, of which there are `FOLDS`. Photos sorted by class are spread evenly.

    Args:
        log_probabilities: [n, k], at temperature 1, of photos that the classifier was not trained on.
        actual: class indices [n].

    Raises:
        ValueError: those of `checks.check`.
    """
    fitted, photos = fit(log_probabilities, actual), actual.size
    if photos == 1:
        return Choice(fitted, 0.0, 0.0)
    folds = np.arange(photos) % FOLDS
    gains = np.empty(photos)
    for fold in range(min(FOLDS, photos)):
        own, others = folds == fold, folds != fold
        scaled = scale(log_probabilities[own], fit(log_probabilities[others], actual[others]))
        gains[own] = losses(log_probabilities[own], actual[own]) - losses(scaled, actual[own])
    return Choice(fitted, float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(photos))


def summary(log_probabilities: Floats, actual: Integers, choice: Choice) -> dict[str, Any]:
    """Validation metrics before and after calibration, with their intervals: keys of metrics/train.json.

    Args:
        log_probabilities: [n, k], at temperature 1.
        actual: class indices [n].
        choice: made on them.
    """

    def at(value: float, keys: Collection[str]) -> dict[str, Any]:
        answers = Answers.from_log_probabilities(scale(log_probabilities, value), actual, bins=BINS)
        chosen = [metric for metric in metrics.METRICS if metric.key in keys]
        return metrics.record(chosen, answers, resamples=RESAMPLES, seed=0, prefix="validation_")

    calibration = {metric.key for metric in metrics.METRICS if metric.calibration}
    return {
        "intervals": at(1.0, ("top1", "loss"))["intervals"],
        "temperature": choice.temperature,
        "fitted_temperature": {
            "temperature": choice.fitted,
            "loss_gain": choice.gain,
            "standard_error": choice.standard_error,
        },
        "uncalibrated": at(1.0, calibration),
        "calibrated": at(choice.temperature, calibration),
    }


def verdict(train: Mapping[str, Any]) -> str:
    """Why the model has its temperature, in a sentence, from metrics/train.json."""
    fitted, gain, error = (train["fitted_temperature"][key] for key in ("temperature", "loss_gain", "standard_error"))
    change = f"the validation loss by {abs(gain):.4f} ± {error:.4f}"
    if train["temperature"] != 1:
        return f"temperature {fitted:.3f}: it lowers {change}"
    if fitted == 1:
        return "temperature 1: no other lowers the validation loss"
    if gain > 0:
        return f"temperature 1: {fitted:.3f} would lower {change}, which may be chance"
    return f"temperature 1: {fitted:.3f} would raise {change}"


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """The root of a rising function in [low, high]; the nearer end where there is none."""
    if rising(low) >= 0:
        return low
    if rising(high) <= 0:
        return high
    return float(brentq(rising, low, high, xtol=1e-12))
