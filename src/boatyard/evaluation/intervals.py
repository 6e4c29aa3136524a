"""95 % intervals: Wilson's for a proportion, bootstraps over photos for everything else."""

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


def wilson(successes: float, trials: float) -> Interval:
    """Wilson's score interval for a proportion (Wilson, JASA 1927): sound for a handful of photos, and at 0 and 1.

    Averaged over true proportions from 0.5 to 0.999 it covers the truth in 95 % of cases with 20 to 2,000 photos. For a
    single proportion that is 84 to 99 % with 20 photos and 91 to 98 % with 200, as photos come in whole numbers
    (benchmarks/coverage.py). One more success never lowers a bound. Fractional counts are for `effective_wilson`.

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


def effective_wilson(value: float, resampled: NDArray[np.float64], photos: int) -> Interval:
    """Wilson's interval for a metric from 0 to 1 that is not a proportion, such as a mean over classes.

    The number of trials is the effective one: that of a proportion with the metric's bootstrap variance (Kish 1965; for
    Wilson's interval Dean and Pagano, Journal of Survey Statistics and Methodology 2015), at most the number of photos.
    So the interval stays sound near 1, where a percentile bootstrap is too short: with 50 photos of three classes, of
    which 98 % are classified correctly, that covers the true mean class accuracy in 63 % of cases, this one in 97 %
    (tests/evaluation/test_metrics.py; benchmarks/coverage.py has other cases).

    Args:
        value: the metric.
        resampled: its values in a bootstrap [r].
        photos: their number, n ≥ 1.
    """
    variance = float(resampled.var())
    # Rounding leaves a variance of 1e-32 where no resample differs from another.
    trials = min(photos, value * (1 - value) / variance) if variance > 1e-15 else photos
    return wilson(value * trials, trials)


def studentised(values: NDArray[np.float64], *, resamples: int, seed: int) -> Interval:
    """The bootstrap-t interval of a mean over photos (Efron and Tibshirani 1993, ch. 12.5).

    For skewed values such as losses, where a few photos decide the mean. It is wide where photos are few and nearly all
    right: those say little about the cost of the first mistake.

    Args:
        values: [n], one per photo, n ≥ 2.
        resamples: their number, ≥ 1.
        seed: ≥ 0.
    """
    photos, centre = values.size, float(values.mean())
    gaps = values - centre
    ratios = []
    for weights in draws(photos, resamples=resamples, seed=seed):
        means = weights @ gaps / photos
        variances = weights @ gaps**2 / photos - means**2
        ratios.append(means / np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny) / (photos - 1)))
    error = float(values.std(ddof=1)) / math.sqrt(photos)
    low, high = percentiles(np.concatenate(ratios))
    return Interval(centre - high * error, centre - low * error)
