"""Intervals: against SciPy, against the textbook bootstrap, and by their coverage."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy.stats import binom, binomtest, t

from boatyard.evaluation.comparison import compare
from boatyard.evaluation.intervals import bootstrap, draws, effective_wilson, percentiles, studentised, wilson

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


@pytest.mark.parametrize(
    ("photos", "lowest"),  # seen: the mean between 0.950 and 0.953, the lowest 0.843, 0.839, 0.910, 0.910, 0.931
    [(20, 0.84), (50, 0.835), (200, 0.905), (500, 0.905), (2000, 0.93)],
)
def test_wilson_covers_the_truth_95_times_in_100(photos, lowest):
    # Exact, not simulated: every outcome of n photos, weighted by its probability, for true accuracies up to 0.999.
    outcomes = np.arange(photos + 1)
    low, high = np.array([wilson(int(right), photos) for right in outcomes]).T
    coverage = [
        binom.pmf(outcomes, photos, truth)[(low <= truth) & (truth <= high)].sum()
        for truth in np.linspace(0.5, 0.999, 500)
    ]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.005)
    assert min(coverage) > lowest


@pytest.mark.parametrize("photos", [1, 2, 5, 36, 499, 2000])
def test_one_more_right_photo_never_lowers_a_bound(photos):
    low, high = np.array([wilson(right, photos) for right in range(photos + 1)]).T
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) >= 0).all()


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


def resampled(values, resamples=1000, seed=0):
    """The mean of each resample."""
    return np.concatenate(
        [weights @ values / values.size for weights in draws(values.size, resamples=resamples, seed=seed)]
    )


def test_the_effective_wilson_interval_of_a_proportion_is_wilsons():
    right = np.arange(200) < 170
    found = effective_wilson(0.85, resampled(right, 20_000), 200)
    assert found == pytest.approx(wilson(170, 200), abs=1e-3)  # the variance of 20,000 resamples is known within 1 %


def test_the_effective_wilson_interval_is_not_certain_where_no_resample_differs():
    assert effective_wilson(1.0, np.ones(100), 5) == wilson(5, 5)
    assert effective_wilson(0.0, np.zeros(100), 5) == wilson(0, 5)
    assert effective_wilson(1.0, np.ones(100), 1) == pytest.approx((0.2065, 1.0), abs=5e-5)


def test_the_effective_wilson_interval_shrinks_with_the_variance():
    wide, narrow = (effective_wilson(0.8, np.linspace(0.8 - half, 0.8 + half, 101), 400) for half in (0.1, 0.05))
    assert wide.low < narrow.low < 0.8 < narrow.high < wide.high
    # Evenly spread values have a variance of half² / 3: 0.16 / (0.01 / 3) = 48 photos; the 101 values give a bit more.
    assert wide == pytest.approx(wilson(0.8 * 47.06, 47.06), abs=1e-4)


def test_the_interval_of_a_skewed_mean_covers_the_truth_where_percentiles_do_not():
    # Means of 25 values: nine of ten are 0.02 on average, the tenth is 1 to 4. Seen: 0.920 and 0.858.
    samples, generator = 400, np.random.default_rng(4)
    truth, covered, by_percentiles = 0.9 * 0.02 + 0.1 * 2.5, 0, 0
    for number in range(samples):
        values = generator.exponential(0.02, 25) + np.where(generator.random(25) < 0.1, generator.uniform(1, 4, 25), 0)
        values = np.where(values > 1, values, np.minimum(values, 0.5))
        low, high = studentised(values, resamples=400, seed=number)
        covered += low <= truth <= high
        low, high = percentiles(resampled(values, 400, number))
        by_percentiles += low <= truth <= high
    assert covered / samples > 0.9
    assert by_percentiles / samples < 0.88


def test_the_interval_of_a_mean_of_normal_values_is_students():
    values = np.random.default_rng(1).normal(3.0, 1.0, 60)
    half = t.ppf(0.975, 59) * values.std(ddof=1) / np.sqrt(60)
    found = studentised(values, resamples=20_000, seed=0)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)
