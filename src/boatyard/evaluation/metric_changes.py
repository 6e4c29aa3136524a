"""The change of each metric from one classifier to another, and whether it could be chance.

Everything comes from the two tables of predictions. Where both contain the same photos the change is taken photo by
photo, which is far more precise than comparing two separate intervals.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.answers import Answers
from boatyard.evaluation.comparison import compare, excludes_zero
from boatyard.evaluation.intervals import LEVEL, Interval, batches, draws, newcombe, percentiles
from boatyard.evaluation.metrics import Metric, Values

# With fewer photos on either side the bootstrap of a loss or of a macro average is too narrow: in simulations, 95 %
# intervals of the change covered the truth in 84 to 94 % of cases with 20 and 40 photos, in 91 to 96 % with 100 and 500
# (400 pairs of test sets each; benchmarks/coverage.py). Paired answers are tested by randomisation as well, two
# different test sets are not.
MIN_UNPAIRED = 100


@dataclass(frozen=True)
class Change:
    """A metric before and after, on the photos that are compared.

    Attributes:
        interval: 95 %, of the change. None where no resample changed anything, so that there is no spread to measure.
        significant: whether the change is more than chance. None where there are too few photos to say.
    """

    before: float
    after: float
    interval: Interval | None
    significant: bool | None


def proportion_change(before: tuple[int, int], after: tuple[int, int]) -> Change:
    """The change of a proportion between two test sets, each given as (correct, photos); Newcombe's interval."""
    interval = newcombe(before, after)
    return Change(before[0] / before[1], after[0] / after[1], interval, excludes_zero(interval))


def paired(
    before: Answers, after: Answers, metrics: Sequence[Metric], *, resamples: int, seed: int
) -> dict[str, Change]:
    """The change of each metric on n photos that both classifiers answered, by the metric's key.

    A change is significant if the 95 % interval of a bootstrap over photos excludes 0, and if randomly swapping the two
    answers to each photo rarely (p < 0.05) changes the metric as much (Fisher's randomisation test; for proportions it
    is McNemar's exact test). `resamples` and `seed` are those of either.

    Raises:
        ValueError: the answers are not to photos of the same classes in the same order.
    """
    if not np.array_equal(before.actual, after.actual):
        raise ValueError("the answers are not to the same photos")
    photos, resampled = before.actual.size, [metric for metric in metrics if not metric.correct]
    # The same seed, hence the same draws of the same photos.
    old, new = (_resample(resampled, side, draws(photos, resamples=resamples, seed=seed)) for side in (before, after))
    changes: dict[str, Change] = {}
    for metric in metrics:
        values = metric.value(before), metric.value(after)
        if metric.correct:
            found = compare(metric.correct(before), metric.correct(after), resamples=resamples, seed=seed)
            changes[metric.key] = Change(*values, found.interval, found.significant)
        else:
            differences = new[metric.key] - old[metric.key]
            changes[metric.key] = Change(*values, percentiles(differences) if differences.any() else None, False)
    candidates = [m for m in resampled if excludes_zero(changes[m.key].interval or Interval(0, 0))]
    for key, p in _randomisation_test(candidates, before, after, resamples, seed).items():
        changes[key] = replace(changes[key], significant=p < 1 - LEVEL)
    return changes


def unpaired(
    before: Answers, after: Answers, metrics: Sequence[Metric], *, resamples: int, seed: int
) -> dict[str, Change]:
    """The change of each metric between two test sets: Newcombe's interval for proportions, else two bootstraps.

    The second bootstrap uses the next seed.
    """
    sizes, resampled = (before.actual.size, after.actual.size), [metric for metric in metrics if not metric.correct]
    old = _resample(resampled, before, draws(sizes[0], resamples=resamples, seed=seed))
    new = _resample(resampled, after, draws(sizes[1], resamples=resamples, seed=seed + 1))
    changes: dict[str, Change] = {}
    for metric in metrics:
        if metric.correct:
            correct = (int(metric.correct(side).sum()) for side in (before, after))
            changes[metric.key] = proportion_change(*zip(correct, sizes, strict=True))
        else:
            interval = percentiles(new[metric.key] - old[metric.key])
            significant = excludes_zero(interval) if min(sizes) >= MIN_UNPAIRED else None
            changes[metric.key] = Change(metric.value(before), metric.value(after), interval, significant)
    return changes


def _resample(metrics: Sequence[Metric], answers: Answers, weights: Iterable[Values]) -> dict[str, Values]:
    """Each metric on every resample."""
    chunks = [{metric.key: metric.values(answers, chunk) for metric in metrics} for chunk in weights]
    return {metric.key: np.concatenate([chunk[metric.key] for chunk in chunks]) for metric in metrics}


def _randomisation_test(
    metrics: Sequence[Metric], before: Answers, after: Answers, resamples: int, seed: int
) -> dict[str, float]:
    """P-values: how often randomly swapping the two answers to each photo changes a metric as much."""
    if not metrics:
        return {}
    photos, both = before.actual.size, before.followed_by(after)
    first, second = (_resample(metrics, both, _swaps(photos, resamples, seed, side)) for side in (False, True))
    p_values = {}
    for metric in metrics:
        change = abs(metric.value(after) - metric.value(before))
        # The tolerance is for sums in another order, which differ in their last bits.
        as_large = int((np.abs(second[metric.key] - first[metric.key]) >= change - 1e-12).sum())
        p_values[metric.key] = (1 + as_large) / (1 + resamples)
    return p_values


def _swaps(photos: int, resamples: int, seed: int, second: bool) -> Iterator[NDArray[np.float64]]:
    """Which of the two answers to each photo a random assignment gives to its first side, or to its `second` side.

    Yields:
        0 or 1 in float64 [t, 2 n], a few assignments at a time: the n answers before, then the n after; the same seed
        gives the second side the answers that the first side did not get.
    """
    generator = np.random.default_rng(seed)
    for rows in batches(resamples, 2 * photos):
        swapped = generator.integers(2, size=(rows, photos)) == 1
        yield np.concatenate([swapped == second, swapped != second], axis=1).astype(np.float64)
