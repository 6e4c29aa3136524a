"""How often the 95 % intervals cover the truth: of top-1, of TTA's gain, of a metric's change between two test sets.

    python benchmarks/coverage.py [--samples 2000] [--pairs 400]

Takes minutes. Top-1 is not simulated: every number of right answers is weighted by its probability. The others are:
test sets are drawn from a known distribution, their intervals computed as in the pipeline, and those that cover the
known value counted. The standard error of a coverage of 0.95 is 0.005 with 2,000 samples, 0.011 with 400.
"""

import argparse
import itertools
from collections.abc import Iterable

import numpy as np
from scipy.stats import binom

from boatyard.evaluation.answers import Answers
from boatyard.evaluation.comparison import compare
from boatyard.evaluation.intervals import wilson
from boatyard.evaluation.metric_changes import unpaired
from boatyard.evaluation.metrics import METRICS

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
        print(f"gain with 1 to 10 % fixed, 1 to 5 % broken, {photos:,} photos: {span(shares)}")
    for photos, lead in itertools.product((20, 40, 100, 500), (1.8, 4.5)):
        held = ", ".join(f"{name} {share:.3f}" for name, share in change(photos, lead, arguments.pairs).items())
        accuracy = drawn(100_000, lead, np.random.default_rng(0)).right.mean()
        print(f"change between two sets of {photos} photos, top-1 {accuracy:.2f}: {held}")


def span(shares: Iterable[float]) -> str:
    values = list(shares)
    return f"{min(values):.3f} to {max(values):.3f}"


def top1(photos: int) -> list[float]:
    """The coverage of the interval of top-1, for several true values of it."""
    outcomes = np.arange(photos + 1)
    bounds = np.array([wilson(np.arange(photos) < right, resamples=RESAMPLES, seed=0) for right in outcomes])
    truths = np.linspace(0.5, 0.93, 44)
    inside = [(bounds[:, 0] <= truth) & (truth <= bounds[:, 1]) for truth in truths]
    return [float(binom.pmf(outcomes, photos, t)[holds].sum()) for t, holds in zip(truths, inside, strict=True)]


def gain(photos: int, fixed: float, broken: float, samples: int) -> float:
    """The coverage of the interval of the gain, if TTA fixes and breaks these fractions of the photos."""
    generator, held = np.random.default_rng(0), 0
    for number in range(samples):
        kind = generator.choice(3, size=photos, p=[1 - fixed - broken, fixed, broken])
        found = compare(kind != 1, kind != 2, resamples=RESAMPLES, seed=number)
        held += found.top1_gain_low - 1e-9 <= fixed - broken <= found.top1_gain_high + 1e-9
    return held / samples


def change(photos: int, lead: float, pairs: int) -> dict[str, float]:
    """The coverage of the interval of the change between two test sets, for metrics that are not proportions.

    The calibration error is left out: its expectation depends on the number of photos. The second classifier's `lead`
    is larger by 0.4.
    """
    metrics = [metric for metric in METRICS if metric.compute and metric.key != "ece"]
    leads = lead, lead + 0.4
    many = [drawn(1_000_000, each, np.random.default_rng(1)) for each in leads]
    truth = {metric.key: metric.value(many[1]) - metric.value(many[0]) for metric in metrics}
    covered = dict.fromkeys(truth, 0)
    generator = np.random.default_rng(2)
    for number in range(pairs):
        first, second = (drawn(photos, each, generator) for each in leads)
        for key, found in unpaired(first, second, metrics, resamples=RESAMPLES, seed=number).items():
            assert found.interval is not None
            covered[key] += found.interval.low <= truth[key] <= found.interval.high
    return {key: count / pairs for key, count in covered.items()}


def drawn(photos: int, lead: float, generator: np.random.Generator) -> Answers:
    """Answers to photos of seven classes, the last one seven times as frequent as the first.

    `lead` is added to the right class's score, to which noise is added as to the others.
    """
    actual = generator.choice(CLASSES, photos, p=np.arange(1, CLASSES + 1) / (CLASSES * (CLASSES + 1) / 2))
    scores = generator.gumbel(0, 1, (photos, CLASSES)) + generator.normal(0, 0.7, (photos, CLASSES))
    scores[np.arange(photos), actual] += lead
    scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return Answers.from_log_probabilities(scores, actual, bins=15)


if __name__ == "__main__":
    main()
