"""How often the 95 % intervals hold the truth: of top-1, of what TTA changes, of figures on two different test sets.

    python benchmarks/coverage.py [--samples 2000] [--pairs 400]

Minutes. Top-1 is not simulated: every number of right answers is weighed by its probability. The others are: test sets
are drawn from a known distribution, their intervals made as the pipeline makes them, and those that hold the known
value counted. The standard error of a share of 0.95 is 0.005 with 2,000 samples, 0.011 with 400.
"""

import argparse
import itertools
from collections.abc import Iterable

import numpy as np
from scipy.stats import binom

from boatyard.evaluation import metrics
from boatyard.evaluation.comparison import compare_right
from boatyard.evaluation.intervals import accuracy_interval
from boatyard.evaluation.metric_changes import Answers, unpaired

RESAMPLES = 2000
CLASSES = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000, help="test sets for each case of TTA's gain")
    parser.add_argument("--pairs", type=int, default=400, help="pairs of test sets for each size of two of them")
    arguments = parser.parse_args()
    for photos in (50, 100, 400):
        print(f"top-1 between 0.5 and 0.93, {photos} photos: {span(top1(photos))}")
    for photos in (100, 400, 1000):
        cases = itertools.product((0.01, 0.03, 0.1), (0.01, 0.03, 0.05))
        shares = [gain(photos, fixed, broken, arguments.samples) for fixed, broken in cases]
        print(f"gain of 1 to 10 % put right, 1 to 5 % wrong, {photos:,} photos: {span(shares)}")
    for photos, lead in itertools.product((20, 40, 100, 500), (1.8, 4.5)):
        held = ", ".join(f"{name} {share:.3f}" for name, share in change(photos, lead, arguments.pairs).items())
        accuracy = drawn(100_000, lead, np.random.default_rng(0)).top1.mean()
        print(f"change between two sets of {photos} photos, top-1 {accuracy:.2f}: {held}")


def span(shares: Iterable[float]) -> str:
    values = list(shares)
    return f"{min(values):.3f} to {max(values):.3f}"


def top1(photos: int) -> list[float]:
    """The share of test sets whose interval holds the true top-1, for several of it."""
    outcomes = np.arange(photos + 1)
    bounds = np.array([accuracy_interval(np.arange(photos) < right, resamples=RESAMPLES, seed=0) for right in outcomes])
    truths = np.linspace(0.5, 0.93, 44)
    inside = [(bounds[:, 0] <= truth) & (truth <= bounds[:, 1]) for truth in truths]
    return [float(binom.pmf(outcomes, photos, t)[holds].sum()) for t, holds in zip(truths, inside, strict=True)]


def gain(photos: int, fixed: float, broken: float, samples: int) -> float:
    """The share of test sets whose interval holds the true gain, of a TTA that puts such shares right and wrong."""
    generator, held = np.random.default_rng(0), 0
    for number in range(samples):
        kind = generator.choice(3, size=photos, p=[1 - fixed - broken, fixed, broken])
        found = compare_right(kind != 1, kind != 2, resamples=RESAMPLES, seed=number)
        held += found.top1_gain_low - 1e-9 <= fixed - broken <= found.top1_gain_high + 1e-9
    return held / samples


def change(photos: int, lead: float, pairs: int) -> dict[str, float]:
    """The share of pairs of test sets whose interval holds the true change of each figure that is no mere share.

    The second classifier's `lead` is larger by 0.4.
    """
    truth = []
    leads = lead, lead + 0.4
    for each in leads:
        many = drawn(1_000_000, each, np.random.default_rng(1))
        confusion = metrics.confusion_matrix(many.actual, many.predicted, CLASSES)
        accuracy, f1 = metrics.mean_class_accuracy(confusion), metrics.macro_f1(confusion)
        truth.append({"loss": float(many.loss.mean()), "mean_class_accuracy": accuracy, "macro_f1": f1})
    held = dict.fromkeys(truth[0], 0)
    generator = np.random.default_rng(2)
    for number in range(pairs):
        sides = [drawn(photos, each, generator) for each in leads]
        found = unpaired(*sides, bins=None, resamples=RESAMPLES, seed=number)
        for name in held:
            interval = found[name].interval
            assert interval is not None
            held[name] += interval.low <= truth[1][name] - truth[0][name] <= interval.high
    return {name: count / pairs for name, count in held.items()}


def drawn(photos: int, lead: float, generator: np.random.Generator) -> Answers:
    """Answers to photos of seven classes, the last one seven times as frequent as the first.

    `lead` is what the right class's score has over the others, noise apart.
    """
    actual = generator.choice(CLASSES, photos, p=np.arange(1, CLASSES + 1) / (CLASSES * (CLASSES + 1) / 2))
    scores = generator.gumbel(0, 1, (photos, CLASSES)) + generator.normal(0, 0.7, (photos, CLASSES))
    scores[np.arange(photos), actual] += lead
    scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True)
    rank = metrics.ranks(scores, actual)
    return Answers(
        actual,
        predicted=scores.argmax(axis=1),
        top1=rank < 1,
        top3=rank < 3,
        top5=rank < 5,
        loss=metrics.losses(scores, actual),
        confidence=np.exp(scores.max(axis=1)),
        top1_gain=np.zeros(photos, np.int64),
    )


if __name__ == "__main__":
    main()
