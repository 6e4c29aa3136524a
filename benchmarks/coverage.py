"""How often the 95 % intervals cover the truth: of each metric, of TTA's gain, of a metric's change between test sets.

    python benchmarks/coverage.py [--samples 300] [--gains 2000] [--pairs 400]

Takes half an hour. Proportions are not simulated: every number of right answers is weighted by its probability. For the
others, test sets are drawn from a known distribution, their intervals computed as in the pipeline, and those that cover
the known value counted. The standard error of a coverage of 0.95 is 0.005 with 2,000 samples, 0.011 with 400, 0.013
with 300. benchmarks/log/coverage.md has the output.
"""

import argparse
import itertools
from collections.abc import Iterable

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binom

from boatyard.evaluation.answers import Answers
from boatyard.evaluation.comparison import compare
from boatyard.evaluation.intervals import wilson
from boatyard.evaluation.metric_changes import unpaired
from boatyard.evaluation.metrics import METRICS, Metric

RESAMPLES = 2000
CLASSES = 7
PROPORTIONS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)

# Spread of the logits and factor of the confidence: uncertain, accurate, nearly perfect; calibrated, over-, under-.
CASES = ((2, 1.0), (2, 1.5), (2, 0.6), (6, 1.0), (6, 1.4), (30, 1.0), (30, 4.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300, help="test sets for each case of a metric")
    parser.add_argument("--gains", type=int, default=2000, help="test sets for each case of TTA's gain")
    parser.add_argument("--pairs", type=int, default=400, help="pairs of test sets for each size of two of them")
    arguments = parser.parse_args()
    print(f"proportion{'':8}" + "".join(f"{proportion:8}" for proportion in PROPORTIONS) + "    0.5 to 0.999")
    for photos in (20, 50, 100, 200, 500, 1000, 2000):
        shares = proportions(photos, PROPORTIONS)
        many = proportions(photos, np.linspace(0.5, 0.999, 1000))
        cells = "".join(f"{share:8.3f}" for share in shares)
        print(f"{photos:5,} photos      {cells}    mean {np.mean(many):.3f}, {span(many)}")
    for photos, case in itertools.product((20, 50, 200, 500), CASES):
        print(f"{photos:5,} photos, {metrics(photos, *case, arguments.samples)}", flush=True)
    for photos in (100, 400, 1000):
        cases = itertools.product((0.01, 0.03, 0.1), (0.01, 0.03, 0.05))
        shares = [gain(photos, fixed, broken, arguments.gains) for fixed, broken in cases]
        print(f"gain with 1 to 10 % fixed, 1 to 5 % broken, {photos:,} photos: {span(shares)}")
    for photos, lead in itertools.product((20, 40, 100, 500), (1.8, 4.5)):
        covered = ", ".join(f"{name} {share:.3f}" for name, share in change(photos, lead, arguments.pairs).items())
        accuracy = drawn(100_000, lead, np.random.default_rng(0)).right.mean()
        print(f"change between two sets of {photos} photos, top-1 {accuracy:.2f}: {covered}")


def span(shares: Iterable[float]) -> str:
    values = list(shares)
    return f"{min(values):.3f} to {max(values):.3f}"


def proportions(photos: int, truths: Iterable[float]) -> list[float]:
    """The coverage of the interval of top-1 and of other proportions, for true values of it."""
    outcomes = np.arange(photos + 1)
    low, high = np.array([wilson(int(right), photos) for right in outcomes]).T
    return [float(binom.pmf(outcomes, photos, t)[(low <= t) & (t <= high)].sum()) for t in truths]


def metrics(photos: int, spread: float, sharpness: float, samples: int) -> str:
    """The coverage of the interval of each metric that is not a proportion."""
    chosen = [metric for metric in METRICS if not metric.correct]
    many = answers(1_000_000, spread, sharpness, np.random.default_rng(1))
    truth = {metric.key: metric.value(many) for metric in chosen}
    if sharpness == 1:
        truth["ece"] = 0.0
    covered = dict.fromkeys(truth, 0)
    generator = np.random.default_rng(5)
    for number in range(samples):
        test = answers(photos, spread, sharpness, generator)
        for metric in chosen:
            covered[metric.key] += covers(metric, test, truth[metric.key], number)
    shares = ", ".join(f"{key} {count / samples:.3f}" for key, count in covered.items())
    return f"top-1 {many.right.mean():.2f}, loss {truth['loss']:.2f}, ece {truth['ece']:.3f}: {shares}"


def covers(metric: Metric, test: Answers, truth: float, seed: int) -> bool:
    interval = metric.interval(test, resamples=RESAMPLES, seed=seed)
    return interval.low <= truth <= interval.high


def answers(photos: int, spread: float, sharpness: float, generator: np.random.Generator) -> Answers:
    """Answers to photos of seven classes of different sizes, perfectly calibrated before they are sharpened."""
    logits = spread * generator.normal(size=(photos, CLASSES)) + np.log(np.arange(1, CLASSES + 1))
    cumulative = np.exp(log_softmax(logits, axis=1)).cumsum(axis=1)
    actual = np.minimum((cumulative < generator.random((photos, 1))).sum(axis=1), CLASSES - 1)
    return Answers.from_log_probabilities(log_softmax(sharpness * logits, axis=1), actual, bins=15)


def gain(photos: int, fixed: float, broken: float, samples: int) -> float:
    """The coverage of the interval of the gain, if TTA fixes and breaks these fractions of the photos."""
    generator, covered = np.random.default_rng(0), 0
    for number in range(samples):
        kind = generator.choice(3, size=photos, p=[1 - fixed - broken, fixed, broken])
        found = compare(kind != 1, kind != 2, resamples=RESAMPLES, seed=number)
        covered += found.top1_gain_low - 1e-9 <= fixed - broken <= found.top1_gain_high + 1e-9
    return covered / samples


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
