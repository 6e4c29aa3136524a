"""TTA against the plain view, photo by photo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boatyard.evaluation.checks import Integers
from boatyard.evaluation.intervals import LEVEL, Interval, bootstrap, wilson

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Comparison:
    """What TTA changes on the test photos; field by field the keys of metrics/tta_evaluate.json.

    Accuracies are fractions; `fixed` and `broken` count the photos that TTA put right and wrong.
    """

    images: int
    top1_gain: float
    top1_gain_low: float
    top1_gain_high: float
    fixed: int
    broken: int


def compare(plain: Integers, tta: Integers, actual: Integers, *, resamples: int, seed: int) -> Comparison:
    """Top-1 with TTA minus top-1 without, with the 95 % interval of a bootstrap over photos, each with both answers.

    Where TTA changes no photo the interval is Wilson's for a share of 0, to either side. In simulations with 100 to
    1,000 photos, of which it put 1 to 10 % right and 1 to 5 % wrong, the interval covered the true gain 94 to 96 times
    in 100 (10,000 test sets each, 2,000 resamples).

    Args:
        plain: predicted class indices [n] from the plain view.
        tta: the same photos' class indices [n] with TTA.
        actual: class indices [n].
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: no photo, or not three arrays [n].

    """
    _check(plain, tta, actual)
    gains = (tta == actual).astype(np.int64) - (plain == actual)
    if gains.any():
        interval = bootstrap(gains, resamples=resamples, seed=seed)
    else:
        # No resample differs from another, and the bootstrap would claim to be certain. What few photos can tell is
        # how many are put right, or wrong, at the most.
        most = wilson(0, actual.size).high
        interval = Interval(-most, most)
    return Comparison(
        images=actual.size,
        top1_gain=float(gains.mean()),
        top1_gain_low=interval.low,
        top1_gain_high=interval.high,
        fixed=int((gains > 0).sum()),
        broken=int((gains < 0).sum()),
    )


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided p-value of McNemar's exact test, in which a fair coin puts each changed photo right or wrong."""
    changed, fewer = fixed + broken, min(fixed, broken)
    # ln of the binomial coefficients (changed over 0 … fewer): they themselves are too large for floats.
    steps = np.arange(fewer)
    logarithms = np.concatenate([[0.0], np.cumsum(np.log((changed - steps) / (steps + 1)))])
    tail = math.exp(float(np.logaddexp.reduce(logarithms)) - changed * math.log(2))
    return min(1.0, 2 * tail)


def verdict(comparison: Comparison) -> str:
    """One sentence in plain words: whether TTA helps, hurts, or nobody can tell, and on what evidence.

    It helps or hurts only if the gain's 95 % interval excludes 0 and McNemar's exact p is below 0.05 as well: with few
    changed photos the bootstrap is too sure of itself (5 put right and none wrong is p = 0.062).
    """
    if comparison.fixed == comparison.broken == 0:
        return f"No evidence that TTA helps: right or wrong, it changed none of the {_photos(comparison.images)}."
    # Enough decimals to show one photo.
    decimals = max(1, math.ceil(math.log10(comparison.images)) - 2)
    gain, low, high = (
        _points(value, decimals)
        for value in (comparison.top1_gain, comparison.top1_gain_low, comparison.top1_gain_high)
    )
    excluded = comparison.top1_gain_low > 0 or comparison.top1_gain_high < 0
    p = mcnemar(comparison.fixed, comparison.broken)
    if not excluded or p >= 1 - LEVEL:
        opening = "No evidence that TTA helps"
    else:
        opening = "TTA helps" if comparison.top1_gain > 0 else "TTA hurts"
    doubt = f", too few to tell (McNemar's exact p = {p:.3f})" if excluded and p >= 1 - LEVEL else ""
    return (
        f"{opening}: {gain} points (95 % interval {low} to {high}) on {_photos(comparison.images)}; "
        f"{comparison.fixed} put right, {comparison.broken} put wrong{doubt}."
    )


def _points(fraction: float, decimals: int) -> str:
    text = f"{100 * fraction:+.{decimals}f}"
    return text.replace("-", _MINUS) if float(text) else text[1:]


def _photos(count: int) -> str:
    return f"{count:,} photo" if count == 1 else f"{count:,} photos"


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


def per_class(plain: Integers, tta: Integers, actual: Integers, classes: Sequence[str]) -> list[TtaClassResult]:
    """What TTA changes in each class, in the order of `classes`.

    Args:
        plain: predicted class indices [n] from the plain view.
        tta: the same photos' class indices [n] with TTA.
        actual: class indices [n].
        classes: the names that the indices count.

    Raises:
        ValueError: no photo, or not three arrays [n].

    """
    _check(plain, tta, actual)
    rows = []
    for number, label in enumerate(classes):
        own = actual == number
        images = int(own.sum())
        before, after = plain[own] == number, tta[own] == number
        fixed, broken = int((after & ~before).sum()), int((before & ~after).sum())
        if images:
            shares = float(before.mean()), float(after.mean()), (fixed - broken) / images
            rows.append(TtaClassResult(label, images, *shares, fixed, broken))
        else:
            rows.append(TtaClassResult(label, 0, None, None, None, 0, 0))
    return rows


def _check(plain: Integers, tta: Integers, actual: Integers) -> None:
    if actual.ndim != 1 or actual.size == 0 or not plain.shape == tta.shape == actual.shape:
        raise ValueError(f"plain {plain.shape}, tta {tta.shape} and actual {actual.shape} must be one array [n] each")
