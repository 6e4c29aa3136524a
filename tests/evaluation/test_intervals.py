"""Intervals: against SciPy, against the textbook bootstrap, and by their coverage."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy.stats import binom, binomtest

from boatyard.evaluation.comparison import compare
from boatyard.evaluation.intervals import accuracy_interval, bootstrap, wilson

bounded = examples(60)


def test_wilson_by_hand():
    # n = 10, 8 right, z = 1.96: centre (0.8 + 0.19208) / 1.38416, half width 1.96 / 1.38416 · √(0.016 + 0.0096040).
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-5)


@bounded
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case):
    successes, trials = case
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_exactly_at_the_ends():
    assert wilson(0, 7).low == 0.0
    assert wilson(7, 7).high == 1.0
    assert 0 < wilson(7, 7).low < 1
    assert 0 < wilson(0, 7).high < 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_rejects_what_is_not_a_proportion(successes, trials):
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(successes, trials)


def test_wilson_covers_the_truth_95_times_in_100():
    # Exact, not simulated: every outcome of n photos, weighed by its probability, averaged over true accuracies.
    photos = 60
    outcomes = np.arange(photos + 1)
    bounds = np.array([wilson(int(right), photos) for right in outcomes])
    truths = np.linspace(0.02, 0.98, 193)
    coverage = [
        binom.pmf(outcomes, photos, truth)[(bounds[:, 0] <= truth) & (truth <= bounds[:, 1])].sum() for truth in truths
    ]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(
    ("photos", "lowest", "highest"),
    [(400, 0.94, 0.965), (100, 0.935, 0.975), (50, 0.89, 0.98)],  # seen: 0.940 to 0.964, 0.936 to 0.970, 0.893 to 0.975
)
def test_top1s_interval_covers_the_truth_95_times_in_100(photos, lowest, highest):
    # Not simulated: every number of right answers, weighed by its probability.
    outcomes = np.arange(photos + 1)
    bounds = np.array([accuracy_interval(np.arange(photos) < right, resamples=2000, seed=0) for right in outcomes])
    for truth in np.linspace(0.5, 0.93, 44):
        covers = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
        assert lowest < binom.pmf(outcomes, photos, truth)[covers].sum() < highest, truth


@pytest.mark.parametrize(("fixed", "broken"), [(0.1, 0.05), (0.03, 0.03)])  # seen: 0.948 and 0.950
def test_a_paired_gains_interval_covers_the_truth_95_times_in_100(fixed, broken):
    samples, photos = 2000, 400
    generator = np.random.default_rng(8)
    covered = 0
    for number in range(samples):
        # 1: only the plain view is wrong (fixed); 2: only TTA is (broken); 0: both are right.
        kind = generator.choice(3, size=photos, p=[1 - fixed - broken, fixed, broken])
        found = compare(kind != 1, kind != 2, resamples=400, seed=number)
        covered += found.top1_gain_low - 1e-9 <= fixed - broken <= found.top1_gain_high + 1e-9
    # Three standard errors of this simulation, √(0.95 · 0.05 / 2000) = 0.005 each.
    assert covered / samples == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("kind", ["right or wrong", "all different"])
def test_counts_of_values_are_the_textbook_bootstrap(kind):
    generator = np.random.default_rng(3)
    values = generator.random(200)
    if kind == "right or wrong":
        values = values < 0.7
    textbook = values[generator.integers(0, 200, size=(20_000, 200))].mean(axis=1)
    interval = bootstrap(values, resamples=20_000, seed=0)
    # The quantile of 20,000 resamples wanders by about 0.0006 here; a step of 1 photo in 200 is 0.005.
    assert interval == pytest.approx(np.quantile(textbook, [0.025, 0.975]), abs=0.0051)


def test_bootstrap_is_the_same_for_the_same_seed_and_differs_for_another():
    values = np.random.default_rng(0).random(300)
    first = bootstrap(values, resamples=500, seed=1)
    assert bootstrap(values, resamples=500, seed=1) == first
    assert bootstrap(np.random.default_rng(5).permutation(values), resamples=500, seed=1) == first
    assert bootstrap(values, resamples=500, seed=2) != first


def test_bootstrap_does_not_depend_on_how_memory_is_cut(monkeypatch):
    values = np.random.default_rng(0).random(300)
    whole = bootstrap(values, resamples=500, seed=1)
    monkeypatch.setattr("boatyard.evaluation.intervals._CELLS", 900)  # 3 resamples at a time
    assert bootstrap(values, resamples=500, seed=1) == pytest.approx(whole, abs=1e-12)


def test_bootstrap_of_many_photos_takes_little_memory():
    right = np.random.default_rng(0).random(100_000) < 0.9
    tracemalloc.start()
    low, high = bootstrap(right, resamples=2000, seed=0)
    different = np.random.default_rng(0).random(20_000)
    bootstrap(different, resamples=200, seed=0)  # in one piece 32 MB
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    # Normal approximation: 0.9 ± 1.96 · √(0.09 / 100,000).
    assert (low, high) == pytest.approx((right.mean() - 0.00186, right.mean() + 0.00186), abs=2e-4)


@bounded
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40), st.integers(0, 2**32))
def test_bootstrap_stays_within_the_values_and_on_means_that_a_sample_can_have(gains, seed):
    low, high = bootstrap(np.array(gains), resamples=100, seed=seed)
    assert min(gains) <= low <= high <= max(gains)
    assert low * len(gains) == pytest.approx(round(low * len(gains)), abs=1e-9)


def test_all_right_is_not_certain():
    assert accuracy_interval(np.ones(5, bool), resamples=200, seed=0) == wilson(5, 5)
    assert accuracy_interval(np.zeros(5, bool), resamples=200, seed=0) == wilson(0, 5)
    assert accuracy_interval(np.ones(1, bool), resamples=200, seed=0) == pytest.approx((0.2065, 1.0), abs=5e-5)
    mixed = np.array([True, False, True, True])
    assert accuracy_interval(mixed, resamples=200, seed=0) == bootstrap(mixed, resamples=200, seed=0)
