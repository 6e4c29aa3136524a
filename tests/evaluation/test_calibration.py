"""Calibration: bins and error by hand, and of classifiers whose calibration is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy.special import log_softmax

from boatyard.evaluation.answers import Answers
from boatyard.evaluation.calibration import ConfidenceBin, reliability
from boatyard.evaluation.metrics import METRICS

bounded = examples(40)

(ECE,) = (metric for metric in METRICS if metric.key == "ece")


def bins_of(log_probabilities, actual, *, bins):
    return reliability(Answers.from_log_probabilities(log_probabilities, actual, bins=bins))


def expected_calibration_error(log_probabilities, actual, *, bins):
    """The metric, which must be what the bins say."""
    found = ECE.value(Answers.from_log_probabilities(log_probabilities, actual, bins=bins))
    rows = bins_of(log_probabilities, actual, bins=bins)
    by_bins = sum(row.images * abs(row.accuracy - row.confidence) for row in rows) / len(actual)
    assert found == pytest.approx(by_bins, abs=1e-12)
    return found


def two_classes(*first):
    """Log-probabilities of two classes, from the first one's probability."""
    share = np.array(first)
    return np.log(np.stack([share, 1 - share], axis=1))


def drawn(seed, photos, classes, sharpness=1.0):
    """Logits as a calibrated classifier gives them, times `sharpness`, and classes drawn from the calibrated ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(photos, classes)) * 2
    shares = np.exp(log_softmax(logits, axis=1))
    actual = (shares.cumsum(axis=1) < generator.random((photos, 1))).sum(axis=1)
    return log_softmax(logits * sharpness, axis=1), actual.clip(0, classes - 1)


def covering(sharpness, photos, samples=100):
    """How often the interval of the calibration error covers its true value, and the share that starts above 0."""
    truth = (
        0.0 if sharpness == 1 else ECE.value(Answers.from_log_probabilities(*drawn(1, 200_000, 4, sharpness), bins=15))
    )
    found = [
        ECE.interval(
            Answers.from_log_probabilities(*drawn(seed, photos, 4, sharpness), bins=15), resamples=500, seed=seed
        )
        for seed in range(2, samples + 2)
    ]
    return np.mean([low <= truth <= high for low, high in found]), np.mean([low > 0 for low, _ in found])


@pytest.mark.parametrize("photos", [30, 300])
def test_the_interval_of_a_perfectly_calibrated_classifier_starts_at_0(photos):
    covered, above = covering(1.0, photos)
    assert covered == 1 - above
    assert covered > 0.93  # seen: 0.96 and 0.99; of percentile bootstraps 0


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_the_interval_of_the_calibration_error_covers_the_truth(sharpness):
    covered, above = covering(sharpness, 300)
    assert covered > 0.9  # seen: 0.95 and 0.96
    assert above > 0.95  # and it shows that these classifiers are not calibrated


def test_the_interval_of_the_calibration_error_is_the_same_for_the_same_seed():
    some = Answers.from_log_probabilities(*drawn(3, 100, 4), bins=15)
    first = ECE.interval(some, resamples=200, seed=1)
    assert ECE.interval(some, resamples=200, seed=1) == first
    assert ECE.interval(some, resamples=200, seed=2) != first


def test_the_calibration_error_of_confident_mistakes_is_known_within_its_accuracy():
    # 90 % sure and right half of the time, 100 photos: an error of 0.4, ± 1.96 · 0.05.
    low, high = ECE.interval(
        Answers.from_log_probabilities(two_classes(*[0.9] * 100), np.array([0, 1] * 50), bins=15),
        resamples=20_000,
        seed=0,
    )
    assert (low, high) == pytest.approx((0.302, 0.498), abs=0.006)


def test_reliability_by_hand():
    # Confidences 0.9, 0.8, 0.7 (the second class), 0.6, 0.55; right, wrong, right, right, wrong.
    log_probabilities = two_classes(0.9, 0.8, 0.3, 0.6, 0.55)
    actual = np.array([0, 1, 1, 0, 1])
    rows = bins_of(log_probabilities, actual, bins=4)
    assert [(row.bin_low, row.bin_high, row.images) for row in rows] == [(0.5, 0.75, 3), (0.75, 1.0, 2)]
    assert [row.confidence for row in rows] == pytest.approx([(0.7 + 0.6 + 0.55) / 3, 0.85])
    assert [row.accuracy for row in rows] == pytest.approx([2 / 3, 1 / 2])
    # 3/5 · |2/3 − 0.61667| + 2/5 · |0.5 − 0.85| = 0.03 + 0.14
    assert expected_calibration_error(log_probabilities, actual, bins=4) == pytest.approx(0.17)


def test_a_bin_includes_its_upper_edge_and_not_its_lower_one():
    exact = np.log2([[0.5, 0.25, 0.25], [0.75, 0.125, 0.125]]) * math.log(2)
    rows = bins_of(exact, np.array([0, 0]), bins=4)
    assert [(row.bin_low, row.bin_high, row.images) for row in rows] == [(0.25, 0.5, 1), (0.5, 0.75, 1)]


def test_a_certain_answer_falls_into_the_last_bin():
    log_probabilities = np.array([[0.0, -np.inf], [1e-7, -20.0]])
    rows = bins_of(log_probabilities, np.array([0, 0]), bins=15)
    assert rows == [ConfidenceBin(14 / 15, 1.0, 2, 1.0, 1.0)]
    assert expected_calibration_error(log_probabilities, np.array([0, 0]), bins=15) == 0.0


def test_ties_go_to_the_first_class():
    rows = bins_of(two_classes(0.5, 0.5), np.array([0, 1]), bins=10)
    assert rows == [ConfidenceBin(0.4, 0.5, 2, pytest.approx(0.5), 0.5)]


@bounded
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 6), st.integers(1, 20))
def test_every_photo_is_in_one_bin_and_one_bin_is_the_overall_gap(seed, photos, classes, bins):
    log_probabilities, actual = drawn(seed, photos, classes)
    rows = bins_of(log_probabilities, actual, bins=bins)
    assert sum(row.images for row in rows) == photos
    assert all(row.bin_low - 1e-9 <= row.confidence <= row.bin_high + 1e-9 for row in rows)
    assert [row.bin_low for row in rows] == sorted(row.bin_low for row in rows)
    confidence = np.exp(log_probabilities.max(axis=1)).mean()
    accuracy = (log_probabilities.argmax(axis=1) == actual).mean()
    assert sum(row.images * row.accuracy for row in rows) / photos == pytest.approx(accuracy)
    whole = expected_calibration_error(log_probabilities, actual, bins=1)
    assert whole == pytest.approx(abs(confidence - accuracy))
    finer = expected_calibration_error(log_probabilities, actual, bins=bins)
    assert finer >= whole - 1e-9  # finer bins can only show more of the gap


def test_a_calibrated_classifier_has_a_small_error_and_an_overconfident_one_a_large_one():
    assert expected_calibration_error(*drawn(1, 20_000, 5), bins=15) < 0.015
    assert expected_calibration_error(*drawn(1, 20_000, 5, sharpness=3), bins=15) > 0.1
