"""The registry of metrics: one entry of `METRICS` adds a metric.

Its key and its 95 % interval in metrics/evaluate.json and metrics/tta_evaluate.json, its place on the report page, in
report.md and in the model card, and its row in `boatyard compare` with an interval of the change follow from the entry.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation import calibration
from boatyard.evaluation.answers import MOST_LOSS, Answers
from boatyard.evaluation.checks import Integers
from boatyard.evaluation.intervals import Interval, draws, effective_wilson, percentiles, studentised, wilson

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
        find_interval: its 95 % interval from answers, resamples and seed, where the usual one does not fit. That is
            Wilson's for a proportion; `intervals.effective_wilson` for another fraction; else a percentile bootstrap.
        headline: whether its interval is also in `<key>_low` and `<key>_high`, which `dvc metrics show` prints.
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
    find_interval: Callable[..., Interval] | None = None
    headline: bool = False
    calibration: bool = False
    min_classes: int = 2
    params: tuple[str, ...] = ()

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

    def interval(self, answers: Answers, *, resamples: int, seed: int) -> Interval:
        """Its 95 % interval; `resamples` and `seed` are those of a bootstrap, if it needs one."""
        photos = answers.actual.size
        if self.find_interval:
            return self.find_interval(answers, resamples=resamples, seed=seed)
        if self.correct:
            return wilson(int(self.correct(answers).sum()), photos)
        drawn = draws(photos, resamples=resamples, seed=seed)
        resampled = np.concatenate([self.values(answers, weights) for weights in drawn])
        return effective_wilson(self.value(answers), resampled, photos) if self.fraction else percentiles(resampled)


def _mean(values: NDArray[Any], weights: Values) -> Values:
    return np.asarray(weights @ values / weights.sum(axis=1), np.float64)


# All but top-k are computed for all resamples of a bootstrap at once, which scikit-learn's functions are not made for:
# macro F1 and mean class accuracy on 2,000 resamples of 499 photos take 0.09 s (n = 5), theirs 9.5 s, and importing
# sklearn.metrics takes another 1.4 s. The tests compare the values with scikit-learn's.


def loss_interval(answers: Answers, *, resamples: int, seed: int) -> Interval:
    """Interval of the mean loss, between 0 and the most that a photo can cost.

    Its upper end is at least what the mistakes would cost that Wilson's interval allows, ln 2 each: of photos that are
    all right, a few do not show that none is ever wrong.

    In simulations it covered the truth in 89 to 100 % of cases with 20 photos and a loss of 0.08 to 1.2, in 93 to 97 %
    with 50 to 500 photos (300 test sets each; benchmarks/coverage.py).
    """
    if answers.loss.size == 1:
        return Interval(0.0, MOST_LOSS)
    low, high = studentised(np.asarray(answers.loss, np.float64), resamples=resamples, seed=seed)
    mistakes = 1 - wilson(int(answers.right.sum()), answers.right.size).low
    return Interval(max(0.0, low), min(max(high, mistakes * math.log(2)), MOST_LOSS))


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
    Metric("top1", "top-1", correct=lambda answers: answers.rank < 1, headline=True),
    Metric("top3", "top-3", correct=lambda answers: answers.rank < 3, min_classes=4),
    Metric("top5", "top-5", correct=lambda answers: answers.rank < 5, min_classes=6),
    Metric(
        "loss",
        "loss",
        "cross entropy",
        compute=lambda answers, weights: _mean(answers.loss, weights),
        find_interval=loss_interval,
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
        find_interval=calibration.error_interval,
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


def summary(answers: Answers, *, resamples: int, seed: int) -> dict[str, Any]:
    """The metrics as the metrics files record them, then the interval of each under the key `intervals`.

    An interval is a list there, which `dvc metrics show` and `dvc exp show` leave out: their tables stay readable.
    """
    return {"images": answers.actual.size} | record(METRICS, answers, resamples=resamples, seed=seed)


def calibration_metrics(answers: Answers, *, resamples: int, seed: int) -> dict[str, Any]:
    """The metrics that the temperature changes, in the same form."""
    return record([metric for metric in METRICS if metric.calibration], answers, resamples=resamples, seed=seed)


def record(
    chosen: Sequence[Metric], answers: Answers, *, resamples: int, seed: int, prefix: str = ""
) -> dict[str, Any]:
    """The values of some metrics, then their intervals under the key `intervals`; `prefix` goes before each key."""
    values: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}
    for metric in chosen:
        key, interval = prefix + metric.key, metric.interval(answers, resamples=resamples, seed=seed)
        values[key], intervals[key] = metric.value(answers), list(interval)
        if metric.headline:
            values |= {f"{key}_low": interval.low, f"{key}_high": interval.high}
    return values | {"intervals": intervals}


def recorded_interval(key: str, values: Mapping[str, Any]) -> Interval | None:
    """A metric's interval in a metrics file, None if it has none: older ones have that of the headline metric alone."""
    bounds = values.get("intervals", {}).get(key) or (values.get(f"{key}_low"), values.get(f"{key}_high"))
    return None if None in bounds else Interval(*bounds)
