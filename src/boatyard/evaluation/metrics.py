"""The registry of metrics: one entry of `METRICS` adds a metric.

Its key in metrics/evaluate.json and metrics/tta_evaluate.json, its place on the report page, in report.md and in the
model card, and its row in `boatyard compare` with an interval of the change all follow from the entry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation import calibration
from boatyard.evaluation.answers import Answers
from boatyard.evaluation.checks import Integers
from boatyard.evaluation.intervals import accuracy_interval

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """A metric of a classifier on test photos. It has either `correct` or `compute`.

    Attributes:
        key: in the metrics files.
        name: in tables and sentences.
        note: what it is in a few words, for the report page.
        correct: for a metric that is a proportion of the photos, which photos count as correct: bool [n]. Its changes
            are tested exactly (McNemar, Newcombe).
        compute: for any other metric, its value on r test sets at once, [r], from the answers to n photos and how often
            each test set contains each photo, [r, n]. Its changes are tested by resampling.
        fraction: shown in percent; otherwise it is in nats and shown with three decimals.
        higher_is_better: which way a change is an improvement.
        interval: whether the metrics files give its 95 % interval, as `<key>_low` and `<key>_high`; needs `correct`.
        calibration: whether the temperature changes it, so that its uncalibrated value is recorded too.
        min_classes: with fewer classes it is trivial (top-3 of three classes) and not shown.
        params: the parameters that it depends on; `boatyard compare` tests its change only where they are the same.
    """

    key: str
    name: str
    note: str = ""
    correct: Callable[[Answers], NDArray[np.bool_]] | None = None
    compute: Callable[[Answers, Values], Values] | None = None
    fraction: bool = True
    higher_is_better: bool = True
    interval: bool = False
    calibration: bool = False
    min_classes: int = 2
    params: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Its keys in the metrics files."""
        return [self.key, *([f"{self.key}_low", f"{self.key}_high"] if self.interval else [])]

    def values(self, answers: Answers, weights: Values) -> Values:
        """Its value on r test sets, [r]: see `compute` for the arguments."""
        if self.correct:
            return _mean(self.correct(answers), weights)
        if self.compute:
            return self.compute(answers, weights)
        raise ValueError(f"metric {self.key!r} needs `correct` or `compute`")

    def value(self, answers: Answers) -> float:
        """Its value on the photos as they are, each once."""
        return float(self.values(answers, np.ones((1, answers.actual.size)))[0])


def _mean(values: NDArray[Any], weights: Values) -> Values:
    return np.asarray(weights @ values / weights.sum(axis=1), np.float64)


# All but top-k are computed for all resamples of a bootstrap at once, which scikit-learn's functions are not made for:
# macro F1 and mean class accuracy on 2,000 resamples of 499 photos take 0.09 s (n = 5), theirs 9.5 s, and importing
# sklearn.metrics takes another 1.4 s. The tests compare the values with scikit-learn's.


def mean_class_accuracy(answers: Answers, weights: Values) -> Values:
    """Mean accuracy of the classes that have a photo (scikit-learn's `balanced_accuracy_score`)."""
    return _mean_ratio(
        _totals(weights * answers.right, answers.actual, answers.classes),
        _totals(weights, answers.actual, answers.classes),
    )


def macro_f1(answers: Answers, weights: Values) -> Values:
    """Mean of the classes' F1, over the classes that have a photo or were predicted for one.

    Scikit-learn's `f1_score(average="macro", zero_division=0)`: a class without a right answer counts as 0.
    """
    actual, predicted = (_totals(weights, labels, answers.classes) for labels in (answers.actual, answers.predicted))
    return _mean_ratio(2 * _totals(weights * answers.right, answers.actual, answers.classes), actual + predicted)


def expected_calibration_error(answers: Answers, weights: Values) -> Values:
    """Mean gap between confidence and accuracy over bins, weighted by their photos (Guo et al., ICML 2017)."""
    # A bin's photos cancel its share of all photos.
    excess = weights * (answers.right - answers.confidence)
    gaps = np.abs(_totals(excess, calibration.bin_of(answers.confidence, answers.bins), answers.bins))
    return np.asarray(gaps.sum(axis=1) / weights.sum(axis=1), np.float64)


def _totals(weights: Values, groups: Integers, count: int) -> Values:
    """The weights added up by each photo's group: [r, n] → [r, count]."""
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    totals = np.zeros((len(weights), count))
    totals[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return totals


def _mean_ratio(part: Values, whole: Values) -> Values:
    """Mean of part / whole over the last axis, without the classes of which there is nothing."""
    present = whole > 0
    ratios = np.divide(part, whole, out=np.zeros(whole.shape), where=present)
    return np.asarray(ratios.sum(axis=-1) / present.sum(axis=-1), np.float64)


METRICS = [
    Metric("top1", "top-1", correct=lambda answers: answers.rank < 1, interval=True),
    Metric("top3", "top-3", correct=lambda answers: answers.rank < 3, min_classes=4),
    Metric("top5", "top-5", correct=lambda answers: answers.rank < 5, min_classes=6),
    Metric(
        "loss",
        "loss",
        "cross entropy",
        compute=lambda answers, weights: _mean(answers.loss, weights),
        fraction=False,
        higher_is_better=False,
        calibration=True,
    ),
    Metric("mean_class_accuracy", "mean class accuracy", "mean of per-class top-1", compute=mean_class_accuracy),
    Metric("macro_f1", "macro F1", "mean of per-class F1", compute=macro_f1),
    Metric(
        "ece",
        "calibration error",
        "confidence vs accuracy",
        compute=expected_calibration_error,
        higher_is_better=False,
        calibration=True,
        params=("evaluate.bins",),
    ),
]

# Only metrics/tta_evaluate.json has it, with an interval from paired answers: see `comparison.Comparison`.
TOP1_GAIN = Metric(
    "top1_gain", "gain over the plain view", compute=lambda answers, weights: _mean(answers.top1_gain, weights)
)


def shown(classes: int) -> list[Metric]:
    """The metrics worth showing for a classifier of this many classes."""
    return [metric for metric in METRICS if classes >= metric.min_classes]


def summary(answers: Answers, *, resamples: int, seed: int) -> dict[str, int | float]:
    """The metrics as the metrics files record them; 95 % intervals come from a bootstrap with this seed."""
    found: dict[str, int | float] = {"images": answers.actual.size}
    for metric in METRICS:
        found[metric.key] = metric.value(answers)
        if metric.interval and metric.correct:
            interval = accuracy_interval(metric.correct(answers), resamples=resamples, seed=seed)
            found |= {f"{metric.key}_low": interval.low, f"{metric.key}_high": interval.high}
    return found


def calibration_metrics(answers: Answers) -> dict[str, float]:
    """The metrics that the temperature changes."""
    return {metric.key: metric.value(answers) for metric in METRICS if metric.calibration}
