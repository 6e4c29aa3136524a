"""95 % intervals: Wilson's for a proportion, and the percentile bootstrap over photos."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)

# Draws held in memory at once: 8 MB of 64-bit counts.
CELLS = 1 << 20


class Interval(NamedTuple):
    low: float
    high: float


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval for a proportion (Wilson, JASA 1927): sensible for a handful of photos, and at 0 and 1.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no proportion")
    share = successes / trials
    scale = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    # The bound at a proportion of 0 or 1 is exactly 0 or 1; rounding would leave it a hair beside.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return Interval(low, high)


def newcombe(before: tuple[int, int], after: tuple[int, int]) -> Interval:
    """Newcombe's interval for the difference of two proportions of different photos, after minus before.

    Made of the two Wilson intervals (Newcombe, Statistics in Medicine 1998, method 10).

    Args:
        before: successes and trials.
        after: successes and trials.

    Raises:
        ValueError: see `wilson`.
    """
    shares = before[0] / before[1], after[0] / after[1]
    (low1, high1), (low2, high2) = wilson(*before), wilson(*after)
    difference = shares[1] - shares[0]
    return Interval(
        difference - math.hypot(shares[1] - low2, high1 - shares[0]),
        difference + math.hypot(high2 - shares[1], shares[0] - low1),
    )


def draws(photos: int, *, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each photo is drawn in each resample of the bootstrap, for figures that are no mean over photos.

    Args:
        photos: n ≥ 1.
        resamples: how many.
        seed: ≥ 0.

    Yields:
        float64 [r, n], a few resamples at a time, so that memory stays bounded; each row adds up to n.
    """
    generator = np.random.default_rng(seed)
    step = max(1, CELLS // photos)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(photos, size=(rows, photos)) + photos * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * photos).reshape(rows, photos).astype(np.float64)


def percentiles(values: NDArray[np.float64]) -> Interval:
    """The interval that `LEVEL` of a figure's resampled values [r] lie in.

    The bounds are values that some resample had (outward, not interpolated), so that an interval that just touches 0
    is not reported as excluding it.
    """
    tail = (1 - LEVEL) / 2
    low = np.quantile(values, tail, method="lower")
    high = np.quantile(values, 1 - tail, method="higher")
    return Interval(float(low), float(high))


def bootstrap(values: NDArray[Any], *, resamples: int, seed: int) -> Interval:
    """Percentile bootstrap of a mean over photos (Efron and Tibshirani 1993, ch. 13).

    Resampling n photos with replacement decides only how often each distinct value is drawn, and those counts are
    multinomial(n, share of each value). Drawing the counts is therefore the bootstrap itself, not an approximation: for
    right and wrong answers it takes two numbers a resample, however many photos there are. Memory stays bounded when
    all values differ. The bounds are those of `percentiles`.

    Args:
        values: numbers or booleans [n], one per photo, n ≥ 1.
        resamples: how many, ≥ 1.
        seed: ≥ 0; the same values, resamples and seed give the same interval.
    """
    outcomes, counts = np.unique(values, return_counts=True)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, CELLS // outcomes.size)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        draws = generator.multinomial(values.size, counts / values.size, size=stop - start)
        means[start:stop] = draws @ outcomes.astype(np.float64) / values.size
    return percentiles(means)


def accuracy_interval(right: NDArray[np.bool_], *, resamples: int, seed: int) -> Interval:
    """Interval of an accuracy: `bootstrap` of the booleans [n], n ≥ 1.

    Where every photo is right, or every one wrong, no resample differs from another and the bootstrap would claim
    certainty from a single photo; there, and only there, it is Wilson's interval.

    How often it covers a true accuracy between 0.5 and 0.93, over all outcomes of n photos (2,000 resamples): 94 to
    97 times in 100 with 100 photos or 400; 89 to 98 times with 50, where a few photos more or less decide
    (benchmarks/coverage.py).
    """
    successes = int(right.sum())
    if successes in (0, right.size):
        return wilson(successes, right.size)
    return bootstrap(right, resamples=resamples, seed=seed)
