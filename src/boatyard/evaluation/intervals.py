"""95 % intervals: Wilson's for a proportion, and the percentile bootstrap over photos."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)

# Numbers in memory at once: 8 MB.
_CELLS = 1 << 20


class Interval(NamedTuple):
    low: float
    high: float


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval for a proportion (Wilson, JASA 1927): sound for a handful of photos, and at 0 and 1.

    Not SciPy's, which is the same: `boatyard compare` would wait another 0.8 s for importing scipy.stats.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is not a proportion")
    share = successes / trials
    scale = 1 + _Z**2 / trials
    centre = (share + _Z**2 / (2 * trials)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    # The bound at a proportion of 0 or 1 is exactly 0 or 1; rounding could miss it by a little.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return Interval(low, high)


def newcombe(before: tuple[int, int], after: tuple[int, int]) -> Interval:
    """Newcombe's interval for the difference of two independent proportions, after minus before.

    It combines their Wilson intervals (Newcombe, Statistics in Medicine 1998, method 10). Either proportion is given as
    (successes, trials).
    """
    p1, p2 = before[0] / before[1], after[0] / after[1]
    (low1, high1), (low2, high2) = wilson(*before), wilson(*after)
    return Interval(p2 - p1 - math.hypot(p2 - low2, high1 - p1), p2 - p1 + math.hypot(high2 - p2, p1 - low1))


def batches(resamples: int, numbers: int) -> Iterator[int]:
    """How many resamples to compute at a time, so that memory stays bounded, if each takes some numbers."""
    step = max(1, _CELLS // numbers)
    return (min(step, resamples - start) for start in range(0, resamples, step))


def draws(photos: int, *, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each photo is drawn in each resample of the bootstrap, for metrics that are not a mean over photos.

    Yields:
        float64 [r, n], a few resamples at a time, so that memory stays bounded; each row adds up to n.
    """
    generator = np.random.default_rng(seed)
    for rows in batches(resamples, photos):
        drawn = generator.integers(photos, size=(rows, photos)) + photos * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * photos).reshape(rows, photos).astype(np.float64)


def percentiles(values: NDArray[np.float64]) -> Interval:
    """The interval that `LEVEL` of a metric's resampled values [r] lie in.

    The bounds are values of resamples (rounded outwards, not interpolated), so that an interval that just touches 0 is
    not reported as excluding it.
    """
    tail = (1 - LEVEL) / 2
    low = np.quantile(values, tail, method="lower")
    high = np.quantile(values, 1 - tail, method="higher")
    return Interval(float(low), float(high))


def bootstrap(values: NDArray[Any], *, resamples: int, seed: int) -> Interval:
    """Percentile bootstrap of a mean over photos (Efron and Tibshirani 1993, ch. 13).

    Resampling n photos with replacement only decides how often each distinct value is drawn, and those counts are
    multinomial(n, share of each value). So drawing the counts is the bootstrap itself, not an approximation: for right
    and wrong answers a resample takes two numbers, whatever the number of photos. Memory stays bounded when all values
    differ. The bounds are those of `percentiles`.

    Args:
        values: numbers or booleans [n], one per photo, n ≥ 1.
        resamples: their number, ≥ 1.
        seed: ≥ 0; the same values, resamples and seed give the same interval.
    """
    outcomes, counts = np.unique(values, return_counts=True)
    generator, shares = np.random.default_rng(seed), counts / values.size
    drawn = (generator.multinomial(values.size, shares, size=rows) for rows in batches(resamples, outcomes.size))
    return percentiles(np.concatenate([rows @ outcomes.astype(np.float64) / values.size for rows in drawn]))


def accuracy_interval(right: NDArray[np.bool_], *, resamples: int, seed: int) -> Interval:
    """Interval of an accuracy: `bootstrap` of the booleans [n], n ≥ 1.

    Where all photos are right, or all wrong, no resample differs from another and the bootstrap would claim certainty
    from a single photo; only then it is Wilson's interval.

    It covers a true accuracy between 0.5 and 0.93, over all outcomes of n photos (2,000 resamples), in 94 to 97 % of
    cases with 100 photos or 400, and in 89 to 98 % with 50, where a few photos decide (benchmarks/coverage.py).
    """
    successes = int(right.sum())
    if successes in (0, right.size):
        return wilson(successes, right.size)
    return bootstrap(right, resamples=resamples, seed=seed)
