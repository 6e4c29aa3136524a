"""How each figure of metrics/evaluate.json changes from one classifier to another, and how sure one can be of it.

Everything comes from the two predictions tables. Where both hold the same photos the change is taken photo by photo,
which is far narrower than what two separate intervals could tell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files
from boatyard.evaluation import calibration, metrics
from boatyard.evaluation.checks import Floats, Integers
from boatyard.evaluation.comparison import compare_right, excludes_zero
from boatyard.evaluation.intervals import CELLS, LEVEL, Interval, draws, newcombe, percentiles
from boatyard.evaluation.predictions import Prediction

# A table's probabilities end after this many digits, so that the smallest ones read 0; half the last digit is what
# such a one costs at the least.
_SMALLEST = 0.5 * 10**-files.DIGITS

# With fewer photos on either side the bootstrap of a loss or of a macro average is too sure of itself: in simulations,
# intervals of their change held the truth 84 to 94 times in 100 with 20 and 40 photos, 91 to 96 times with 100 and 500
# (400 pairs of test sets each; benchmarks/coverage.py). Pairs have a test beside it, two different test sets have not.
FEWEST_UNPAIRED = 100

TOP_K = ("top1", "top3", "top5")


@dataclass(frozen=True)
class Answers:
    """What a classifier says of n photos, arrays [n].

    Attributes:
        actual, predicted: class indices.
        top1, top3, top5: whether the right class is among the so many most probable ones.
        loss: cross entropy in nats, from the table's rounded probability: at most 14.5.
        confidence: probability of the predicted class.
        top1_gain: 1 for a photo that TTA put right, −1 for one put wrong, else 0; all 0 where nothing is averaged.
    """

    actual: Integers
    predicted: Integers
    top1: NDArray[np.bool_]
    top3: NDArray[np.bool_]
    top5: NDArray[np.bool_]
    loss: Floats
    confidence: Floats
    top1_gain: Integers

    @property
    def classes(self) -> int:
        """One more than the highest class index."""
        return int(max(self.actual.max(), self.predicted.max())) + 1

    @classmethod
    def of(cls, predictions: Sequence[Prediction], classes: Sequence[str]) -> "Answers":
        """The arrays of a predictions table.

        Args:
            predictions: n ≥ 1 rows.
            classes: every name in them, in any order.

        Raises:
            KeyError: a class is not among them.
        """
        place = {label: number for number, label in enumerate(classes)}
        right = np.array([row.right for row in predictions])
        plain = [row.predicted if row.plain_predicted is None else row.plain_predicted for row in predictions]
        plain_right = np.array([answer == row.actual for answer, row in zip(plain, predictions, strict=True)])

        def among(k: int) -> NDArray[np.bool_]:
            return np.array([row.actual in {label for label, _ in row.top[:k]} for row in predictions])

        own = np.array([row.actual_probability for row in predictions])
        return cls(
            actual=np.array([place[row.actual] for row in predictions]),
            predicted=np.array([place[row.predicted] for row in predictions]),
            top1=right,
            top3=among(3),
            top5=among(5),
            loss=-np.log(np.maximum(own, _SMALLEST)),
            confidence=np.array([row.probability for row in predictions]),
            top1_gain=right.astype(np.int64) - plain_right,
        )

    def followed_by(self, other: "Answers") -> "Answers":
        """The photos of both, one after the other."""
        return Answers(
            *(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )


@dataclass(frozen=True)
class Change:
    """A figure before and after, on the photos that are compared.

    Attributes:
        interval: 95 %, of the change. None where no resample changed anything, so that there is nothing to go by.
        evident: whether the photos tell the change from chance. None where there are too few of them to say.
    """

    before: float
    after: float
    interval: Interval | None
    evident: bool | None


def proportion(before: tuple[int, int], after: tuple[int, int]) -> Change:
    """The change of a share between two test sets, each given as right answers and photos; Newcombe's interval."""
    interval = newcombe(before, after)
    return Change(before[0] / before[1], after[0] / after[1], interval, excludes_zero(interval))


def paired(before: Answers, after: Answers, *, bins: int | None, resamples: int, seed: int) -> dict[str, Change]:
    """The change of each figure on n photos to which both classifiers gave an answer.

    A change is evident if the 95 % interval of a bootstrap over photos excludes 0, and if swapping the two answers to
    each photo by the throw of a coin seldom (p < 0.05) changes the figure as much (Fisher's randomisation test; for
    right and wrong answers it is McNemar's exact one).

    Args:
        before: on n ≥ 1 photos.
        after: on the same photos, in the same order.
        bins: of the calibration error; None leaves it out.
        resamples: of the bootstrap, and throws of the coins.
        seed: of both.

    Raises:
        ValueError: not the same classes in the same order.
    """
    if not np.array_equal(before.actual, after.actual):
        raise ValueError("the answers are not to the same photos")
    photos, figures = before.actual.size, _figures(bins)
    # The same seed, hence the same draws of the same photos.
    old, new = (_each(figures, side, draws(photos, resamples=resamples, seed=seed)) for side in (before, after))
    changes = {name: _right(getattr(before, name), getattr(after, name), resamples, seed) for name in TOP_K}
    for name, figure in figures.items():
        differences = new[name] - old[name]
        interval = percentiles(differences) if differences.any() else None
        changes[name] = Change(_whole(figure, before), _whole(figure, after), interval, False)
    likely = {name: figures[name] for name in figures if excludes_zero(changes[name].interval or Interval(0, 0))}
    for name, p in _swapped(likely, before, after, resamples, seed).items():
        changes[name] = replace(changes[name], evident=p < 1 - LEVEL)
    return changes


def unpaired(before: Answers, after: Answers, *, bins: int | None, resamples: int, seed: int) -> dict[str, Change]:
    """The change of each figure from one test set to another: Newcombe's interval for top-k, two bootstraps elsewhere.

    Args:
        before: on n ≥ 1 photos.
        after: on m ≥ 1 other ones.
        bins: of the calibration error; None leaves it out.
        resamples: of each bootstrap.
        seed: of the first one; the second takes the next.
    """
    sizes, figures = (before.actual.size, after.actual.size), _figures(bins)
    old = _each(figures, before, draws(sizes[0], resamples=resamples, seed=seed))
    new = _each(figures, after, draws(sizes[1], resamples=resamples, seed=seed + 1))
    counts = {name: [int(getattr(side, name).sum()) for side in (before, after)] for name in TOP_K}
    changes = {name: proportion((b, sizes[0]), (a, sizes[1])) for name, (b, a) in counts.items()}
    for name, figure in figures.items():
        interval = percentiles(new[name] - old[name])
        evident = excludes_zero(interval) if min(sizes) >= FEWEST_UNPAIRED else None
        changes[name] = Change(_whole(figure, before), _whole(figure, after), interval, evident)
    return changes


def _right(before: NDArray[np.bool_], after: NDArray[np.bool_], resamples: int, seed: int) -> Change:
    found = compare_right(before, after, resamples=resamples, seed=seed)
    return Change(float(before.mean()), float(after.mean()), found.interval, found.evident)


# A figure of r test sets at once, [r]: from the answers on n photos, and how often each set holds each photo, [r, n].
_Weights = NDArray[np.float64]
_Figure = Callable[[Answers, _Weights], NDArray[np.float64]]


def _figures(bins: int | None) -> dict[str, _Figure]:
    figures: dict[str, _Figure] = {
        "loss": lambda answers, weights: _mean(answers.loss, weights),
        "mean_class_accuracy": _mean_class_accuracy,
        "macro_f1": _macro_f1,
        "top1_gain": lambda answers, weights: _mean(answers.top1_gain, weights),
    }
    return figures if bins is None else figures | {"ece": partial(_ece, bins=bins)}


def _mean(values: NDArray[Any], weights: _Weights) -> NDArray[np.float64]:
    return np.asarray(weights @ values / weights.sum(axis=1), np.float64)


def _mean_class_accuracy(answers: Answers, weights: _Weights) -> NDArray[np.float64]:
    return metrics.mean_recall(
        _totals(weights * answers.top1, answers.actual, answers.classes),
        _totals(weights, answers.actual, answers.classes),
    )


def _macro_f1(answers: Answers, weights: _Weights) -> NDArray[np.float64]:
    return metrics.mean_f1(
        _totals(weights * answers.top1, answers.actual, answers.classes),
        _totals(weights, answers.actual, answers.classes),
        _totals(weights, answers.predicted, answers.classes),
    )


def _ece(answers: Answers, weights: _Weights, bins: int) -> NDArray[np.float64]:
    """`calibration.expected_calibration_error`, in which a bin's photos cancel its share of all photos."""
    excess = weights * (answers.top1 - answers.confidence)
    distances = np.abs(_totals(excess, calibration.bin_of(answers.confidence, bins), bins))
    return np.asarray(distances.sum(axis=1) / weights.sum(axis=1), np.float64)


def _totals(weights: _Weights, groups: Integers, count: int) -> NDArray[np.float64]:
    """The weights added up by each photo's group: [r, n] → [r, count]."""
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    totals = np.zeros((len(weights), count))
    totals[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return totals


def _whole(figure: _Figure, answers: Answers) -> float:
    """The figure on the photos as they are, each once."""
    return float(figure(answers, np.ones((1, answers.actual.size)))[0])


def _each(figures: Mapping[str, _Figure], answers: Answers, weights: Iterable[_Weights]) -> dict[str, _Weights]:
    chunks = [{name: figure(answers, chunk) for name, figure in figures.items()} for chunk in weights]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in figures}


def _swapped(
    figures: Mapping[str, _Figure], before: Answers, after: Answers, throws: int, seed: int
) -> dict[str, float]:
    """P-values: how often coins, thrown for each photo to swap its two answers or not, change a figure as much."""
    if not figures:
        return {}
    photos, both = before.actual.size, before.followed_by(after)
    heads, tails = (_each(figures, both, _swaps(photos, throws, seed, side)) for side in (False, True))
    p_values = {}
    for name, figure in figures.items():
        change = abs(_whole(figure, after) - _whole(figure, before))
        # A hair less, as sums in another order differ in their last bits.
        as_much = int((np.abs(tails[name] - heads[name]) >= change - 1e-12).sum())
        p_values[name] = (1 + as_much) / (1 + throws)
    return p_values


def _swaps(photos: int, throws: int, seed: int, tails: bool) -> Iterator[_Weights]:
    """Which answer to each photo a coin gives to the first side, or to the second one if `tails`.

    Yields:
        0 or 1 in float64 [t, 2 n], a few throws at a time: the n answers before, then the n after; the same seed gives
        the second side what the first has not.
    """
    generator = np.random.default_rng(seed)
    step = max(1, CELLS // (2 * photos))
    for start in range(0, throws, step):
        swapped = generator.integers(2, size=(min(step, throws - start), photos)) == 1
        yield np.concatenate([swapped == tails, swapped != tails], axis=1).astype(np.float64)
