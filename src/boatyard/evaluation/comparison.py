"""Two classifiers on the same photos, photo by photo: TTA against the plain view, a commit against another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.checks import Integers
from boatyard.evaluation.intervals import LEVEL, Interval, bootstrap, wilson

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Comparison:
    """What changes on the test photos; field by field the keys that metrics/tta_evaluate.json has of TTA.

    Accuracies are fractions; `fixed` and `broken` count the photos that were put right and wrong.
    """

    images: int
    top1_gain: float
    top1_gain_low: float
    top1_gain_high: float
    fixed: int
    broken: int

    @property
    def interval(self) -> Interval:
        """The gain's 95 % interval."""
        return Interval(self.top1_gain_low, self.top1_gain_high)

    @property
    def evident(self) -> bool:
        """Whether the gain's 95 % interval excludes 0, and McNemar's exact p is below 0.05 as well.

        With few changed photos the bootstrap alone is too sure of itself (5 put right and none wrong is p = 0.062).
        """
        return excludes_zero(self.interval) and mcnemar(self.fixed, self.broken) < 1 - LEVEL


def compare(before: Integers, after: Integers, actual: Integers, *, resamples: int, seed: int) -> Comparison:
    """Top-1 of one classifier minus that of another, each with its answer to the same photos; see `compare_right`.

    Args:
        before: predicted class indices [n], of the plain view or of the earlier classifier.
        after: the same photos' class indices [n], with TTA or of the later classifier.
        actual: class indices [n].
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: no photo, or not three arrays [n].

    """
    _check(before, after, actual)
    return compare_right(before == actual, after == actual, resamples=resamples, seed=seed)


def compare_right(before: NDArray[np.bool_], after: NDArray[np.bool_], *, resamples: int, seed: int) -> Comparison:
    """The gain from one set of right answers to another, with the 95 % interval of a bootstrap over photos.

    Where no photo changes the interval is Wilson's for a share of 0, to either side. In simulations with 100 to 1,000
    photos, of which 1 to 10 % were put right and 1 to 5 % wrong, the interval covered the true gain 95 to 96 times in a
    hundred, and 99 times with 100 photos of which 1 % changed either way (2,000 test sets each, 2,000 resamples;
    benchmarks/coverage.py).

    Args:
        before: which of the n photos were right, n ≥ 1.
        after: which of them are.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    gains = after.astype(np.int64) - before
    if gains.any():
        interval = bootstrap(gains, resamples=resamples, seed=seed)
    else:
        # No resample differs from another, and the bootstrap would claim to be certain. What few photos can tell is
        # how many are put right, or wrong, at the most.
        most = wilson(0, gains.size).high
        interval = Interval(-most, most)
    return Comparison(
        images=gains.size,
        top1_gain=float(gains.mean()),
        top1_gain_low=interval.low,
        top1_gain_high=interval.high,
        fixed=int((gains > 0).sum()),
        broken=int((gains < 0).sum()),
    )


def excludes_zero(interval: Interval) -> bool:
    """Whether 0 lies outside; an interval that just touches it does not exclude it."""
    return interval.low > 0 or interval.high < 0


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided p-value of McNemar's exact test, in which a fair coin puts each changed photo right or wrong."""
    changed, fewer = fixed + broken, min(fixed, broken)
    # ln of the binomial coefficients (changed over 0 … fewer): they themselves are too large for floats.
    steps = np.arange(fewer)
    logarithms = np.concatenate([[0.0], np.cumsum(np.log((changed - steps) / (steps + 1)))])
    tail = math.exp(float(np.logaddexp.reduce(logarithms)) - changed * math.log(2))
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values made larger for being several, in the order given (Holm, Scandinavian Journal of Statistics 1979).

    With those below 0.05 called evidence, the chance that even one of them is a coin's throw stays below 0.05.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    ranked = sorted(range(len(p_values)), key=lambda number: p_values[number])
    for rank, number in enumerate(ranked):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def verdict(comparison: Comparison) -> str:
    """One sentence in plain words: whether TTA helps, hurts, or nobody can tell, and on what evidence.

    It helps or hurts only where that is evident; see `Comparison.evident`.
    """
    if comparison.fixed == comparison.broken == 0:
        return f"No evidence that TTA helps: {evidence(comparison)}."
    if not comparison.evident:
        opening = "No evidence that TTA helps"
    else:
        opening = "TTA helps" if comparison.top1_gain > 0 else "TTA hurts"
    return f"{opening}: {evidence(comparison)}."


def evidence(comparison: Comparison) -> str:
    """On what a verdict rests: the gain in points, its interval, the photos put right and wrong."""
    if comparison.fixed == comparison.broken == 0:
        return f"right or wrong, it changed none of the {_photos(comparison.images)}"
    decimals = point_decimals(comparison.images)
    gain, low, high = (points(value, decimals) for value in (comparison.top1_gain, *comparison.interval))
    p = mcnemar(comparison.fixed, comparison.broken)
    doubt = excludes_zero(comparison.interval) and not comparison.evident
    return (
        f"{gain} points (95 % interval {low} to {high}) on {_photos(comparison.images)}; "
        f"{comparison.fixed} put right, {comparison.broken} put wrong"
        + (f", too few to tell (McNemar's exact p = {p:.3f})" if doubt else "")
    )


def point_decimals(images: int) -> int:
    """Decimals enough for one of this many photos to show in a difference in percentage points."""
    return max(1, math.ceil(math.log10(images)) - 2)


def points(fraction: float, decimals: int = 1) -> str:
    """A difference of fractions in percentage points, with its sign: '+0.6', '−1.2', '0.0'."""
    return signed(100 * fraction, decimals)


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; what rounds to 0 has none."""
    text = f"{value:+.{decimals}f}"
    return text.replace("-", _MINUS) if float(text) else text[1:]


def _photos(count: int) -> str:
    return f"{count:,} photo" if count == 1 else f"{count:,} photos"


@dataclass(frozen=True)
class ClassChange:
    """One class on the same photos before and after; accuracies are None where it has no photo."""

    label: str
    images: int
    before: float | None
    after: float | None
    fixed: int
    broken: int


def per_class(before: Integers, after: Integers, actual: Integers, classes: Sequence[str]) -> list[ClassChange]:
    """What changes in each class, in the order of `classes`.

    Args:
        before: predicted class indices [n], as for `compare`.
        after: the same photos' class indices [n].
        actual: class indices [n].
        classes: the names that the indices count.

    Raises:
        ValueError: no photo, or not three arrays [n].

    """
    _check(before, after, actual)
    rows = []
    for number, label in enumerate(classes):
        own = actual == number
        right, stays = before[own] == number, after[own] == number
        rows.append(
            ClassChange(
                label=label,
                images=right.size,
                before=float(right.mean()) if right.size else None,
                after=float(stays.mean()) if right.size else None,
                fixed=int((stays & ~right).sum()),
                broken=int((right & ~stays).sum()),
            )
        )
    return rows


@dataclass(frozen=True)
class TtaClassResult:
    """One class with and without TTA: a row of plots/tta_per_class.csv, where None is an empty cell.

    A class without a test photo has no accuracy.
    """

    label: str
    test_images: int
    plain_top1: float | None
    tta_top1: float | None
    gain: float | None
    fixed: int
    broken: int

    @classmethod
    def of(cls, change: ClassChange) -> "TtaClassResult":
        """The row of a class that TTA changes so."""
        gain = (change.fixed - change.broken) / change.images if change.images else None
        return cls(change.label, change.images, change.before, change.after, gain, change.fixed, change.broken)


def _check(before: Integers, after: Integers, actual: Integers) -> None:
    if actual.ndim != 1 or actual.size == 0 or not before.shape == after.shape == actual.shape:
        raise ValueError(
            f"before {before.shape}, after {after.shape} and actual {actual.shape} must be one array [n] each"
        )
