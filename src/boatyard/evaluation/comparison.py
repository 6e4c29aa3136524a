"""Two classifiers on the same photos, photo by photo: TTA against the plain view, one commit against another."""

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
    """The change in top-1 on the test photos; field by field the keys that metrics/tta_evaluate.json has for TTA.

    Accuracies are fractions. `fixed` counts the photos that went from wrong to right, `broken` the opposite.
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
    def significant(self) -> bool:
        """Whether the gain's 95 % interval excludes 0, and McNemar's exact p is below 0.05 as well.

        With few changed photos the bootstrap alone is overconfident (5 fixed and 0 broken is p = 0.062).
        """
        return excludes_zero(self.interval) and mcnemar(self.fixed, self.broken) < 1 - LEVEL


def compare(before: NDArray[np.bool_], after: NDArray[np.bool_], *, resamples: int, seed: int) -> Comparison:
    """The gain in top-1, with the 95 % interval of a bootstrap over photos.

    Where no photo changes, the interval is Wilson's for a proportion of 0, in both directions. In simulations with 100
    to 1,000 photos, of which 1 to 10 % were fixed and 1 to 5 % broken, the interval covered the true gain in 95 to 96 %
    of cases, and in 99 % with 100 photos of which 1 % changed either way (2,000 test sets each, 2,000 resamples;
    benchmarks/coverage.py).

    Args:
        before: which of the n photos the first classifier gets right, bool [n], n ≥ 1.
        after: which of them the second classifier gets right.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: no photo, or not two arrays [n].
    """
    _check(before, after)
    gains = after.astype(np.int64) - before
    most = wilson(0, gains.size).high
    # Without a change no resample would differ from another: the bootstrap would claim certainty.
    interval = bootstrap(gains, resamples=resamples, seed=seed) if gains.any() else Interval(-most, most)
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
    """Two-sided p-value of McNemar's exact test: each changed photo is fixed or broken with equal probability.

    Not SciPy's `binomtest`: it returns 0 for 10 and 1,065, where p is 2.7e-300, and importing scipy.stats takes 0.8 s.
    """
    changed, fewer = fixed + broken, min(fixed, broken)
    # ln of the binomial coefficients (changed over 0 … fewer): they themselves are too large for floats.
    steps = np.arange(fewer)
    logarithms = np.concatenate([[0.0], np.cumsum(np.log((changed - steps) / (steps + 1)))])
    tail = math.exp(float(np.logaddexp.reduce(logarithms)) - changed * math.log(2))
    return min(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for multiple tests, in the order given (Holm, Scandinavian Journal of Statistics 1979).

    If those below 0.05 are called significant, the probability of even one false positive stays below 0.05.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    ranked = sorted(range(len(p_values)), key=lambda number: p_values[number])
    for rank, number in enumerate(ranked):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def verdict(comparison: Comparison) -> str:
    """One sentence: whether TTA helps, hurts, or neither can be shown, and on what evidence.

    It helps or hurts only where that is significant; see `Comparison.significant`.
    """
    if not comparison.significant:
        opening = "No evidence that TTA helps"
    else:
        opening = "TTA helps" if comparison.top1_gain > 0 else "TTA hurts"
    return f"{opening}: {evidence(comparison)}."


def evidence(comparison: Comparison) -> str:
    """What a verdict is based on: the gain in points, its interval, the photos fixed and broken."""
    if comparison.fixed == comparison.broken == 0:
        return f"none of the {_photos(comparison.images)} changed between right and wrong"
    decimals = point_decimals(comparison.images)
    gain, low, high = (points(value, decimals) for value in (comparison.top1_gain, *comparison.interval))
    p = mcnemar(comparison.fixed, comparison.broken)
    too_few = excludes_zero(comparison.interval) and not comparison.significant
    return (
        f"{gain} points (95 % interval {low} to {high}) on {_photos(comparison.images)}; "
        f"{comparison.fixed} fixed, {comparison.broken} broken"
        + (f", too few to tell (McNemar's exact p = {p:.3f})" if too_few else "")
    )


def point_decimals(images: int) -> int:
    """Decimals that a difference in percentage points needs to show one of this many photos."""
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
    """The change in each class, in the order of `classes`, from class indices [n] predicted before and after.

    Raises:
        ValueError: no photo, or not three arrays [n].
    """
    _check(before, after, actual)
    rows = []
    for number, label in enumerate(classes):
        was_right, is_right = (predicted[actual == number] == number for predicted in (before, after))
        old, new = (float(right.mean()) if right.size else None for right in (was_right, is_right))
        fixed, broken = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
        rows.append(ClassChange(label, was_right.size, old, new, fixed, broken))
    return rows


@dataclass(frozen=True)
class TtaClassResult:
    """One class with and without TTA: a row of plots/tta_per_class.csv."""

    label: str
    test_images: int
    plain_top1: float
    tta_top1: float
    gain: float
    fixed: int
    broken: int

    @classmethod
    def of(cls, change: ClassChange) -> "TtaClassResult":
        """The row of a class.

        Raises:
            ValueError: it has no test photo, which the split stage rules out.
        """
        if change.before is None or change.after is None:
            raise ValueError(f"class {change.label!r} has no test photo")
        gain = (change.fixed - change.broken) / change.images
        return cls(change.label, change.images, change.before, change.after, gain, change.fixed, change.broken)


def _check(*arrays: NDArray[np.generic]) -> None:
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or shapes[0] == (0,):
        raise ValueError(f"the shapes are {shapes}; they must all be [n], with n ≥ 1")
