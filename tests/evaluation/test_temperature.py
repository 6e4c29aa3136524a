"""Temperature scaling: against closed forms and scipy, at its bounds, and never at the cost of an answer."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from properties import examples
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from test_calibration import drawn, two_classes

from boatyard.evaluation import temperature
from boatyard.evaluation.answers import ranks
from boatyard.evaluation.intervals import wilson
from boatyard.evaluation.temperature import HIGHEST, LOWEST

bounded = examples(40)


def cross_entropy(log_probabilities: NDArray[np.float64], actual: NDArray[np.int64], value: float) -> float:
    scaled = log_softmax(log_probabilities / value, axis=1)
    return -float(scaled[np.arange(actual.size), actual].mean())


def test_closed_forms() -> None:
    # Nine to one every time, right three times of four: T makes it three to one, so 9^(1/T) = 3 and T = 2.
    assert temperature.fit(two_classes(0.9, 0.9, 0.9, 0.9), np.array([0, 0, 0, 1])) == pytest.approx(2.0, rel=1e-6)
    # Three to one, right nine times of ten: T = 1/2.
    assert temperature.fit(two_classes(*[0.75] * 10), np.array([0] * 9 + [1])) == pytest.approx(0.5, rel=1e-6)


def test_a_calibrated_classifier_is_left_alone_and_a_heated_one_cooled() -> None:
    assert temperature.fit(*drawn(2, 20_000, 4)) == pytest.approx(1.0, abs=0.03)
    assert temperature.fit(*drawn(2, 20_000, 4, sharpness=2.5)) == pytest.approx(2.5, abs=0.08)


@bounded
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(2, 6), st.floats(0.3, 3))
def test_it_is_scipys_minimum_unless_it_claims_too_much(seed: int, photos: int, classes: int, sharpness: float) -> None:
    log_probabilities, actual = drawn(seed, photos, classes, sharpness)
    found = temperature.fit(log_probabilities, actual)
    best = minimize_scalar(
        lambda value: cross_entropy(log_probabilities, actual, value),
        bounds=(LOWEST, HIGHEST),
        method="bounded",
        options={"xatol": 1e-7},
    )
    confidence = np.exp(temperature.scale(log_probabilities, found).max(axis=1)).mean()
    assert LOWEST <= found <= HIGHEST
    assert cross_entropy(log_probabilities, actual, found) <= cross_entropy(log_probabilities, actual, 1.0) + 1e-12
    vouched = (photos + 1) / (photos + 2)
    if found > 1 or confidence < vouched - 1e-6:
        assert cross_entropy(log_probabilities, actual, found) <= best.fun + 1e-9
    else:
        assert best.x < found + 1e-6
        assert confidence == pytest.approx(vouched) or found == 1.0


@pytest.mark.parametrize(
    ("log_probabilities", "actual", "expected"),
    [
        (two_classes(0.5, 0.5), [0, 1], 1.0),  # uniform: every temperature is as good
        (two_classes(0.6, 0.7), [1, 1], HIGHEST),  # always wrong: the less confident the better
        (np.array([[0.0, -np.inf], [0.0, -np.inf]]), [0, 0], 1.0),  # nothing to gain
        (np.array([[0.0, -np.inf], [0.0, -np.inf]]), [0, 1], HIGHEST),  # certain, right half of the time
        # Always right. Two photos vouch for 3/4, to which three to two is brought by T = ln 1.5 / ln 3; what is surer
        # than that already is not made surer still.
        (two_classes(0.6, 0.6), [0, 0], math.log(1.5) / math.log(3)),
        (two_classes(0.8, 0.8), [0, 0], 1.0),
        # A hair's lead, a hundred thousand times right: ln(1.002) / 0.05 falls short of what they would vouch for.
        (two_classes(*[0.5005] * 100_000), [0] * 100_000, LOWEST),
    ],
)
def test_extreme_cases(log_probabilities: NDArray[np.float64], actual: list[int], expected: float) -> None:
    assert temperature.fit(log_probabilities, np.array(actual)) == pytest.approx(expected, rel=1e-6)


def test_a_few_photos_that_are_all_right_do_not_make_the_classifier_certain() -> None:
    log_probabilities, actual = two_classes(*np.linspace(0.6, 0.99, 20)), np.zeros(20, int)
    found = temperature.fit(log_probabilities, actual)
    assert found < 1
    scaled = temperature.scale(log_probabilities, found)
    assert np.exp(scaled.max(axis=1)).mean() == pytest.approx(21 / 22)


@bounded
@given(st.integers(0, 10_000), st.floats(LOWEST, HIGHEST))
def test_scaling_keeps_every_rank_and_can_be_undone(seed: int, value: float) -> None:
    log_probabilities, actual = drawn(seed, 50, 5)
    scaled = temperature.scale(log_probabilities, value)
    assert np.exp(scaled).sum(axis=1) == pytest.approx(np.ones(50))
    assert ranks(scaled, actual).tolist() == ranks(log_probabilities, actual).tolist()
    assert temperature.scale(scaled, 1 / value) == pytest.approx(log_probabilities, abs=1e-9)


def test_the_gain_is_measured_on_photos_that_the_temperature_was_not_fitted_to() -> None:
    log_probabilities, actual = drawn(4, 9, 3, sharpness=2.0)  # fewer photos than folds: each is a fold
    gains = []
    for photo in range(9):
        others = np.arange(9) != photo
        value = temperature.fit(log_probabilities[others], actual[others])
        own = log_probabilities[[photo]], actual[[photo]]
        gains.append(cross_entropy(*own, 1.0) - cross_entropy(*own, value))
    found = temperature.choose(log_probabilities, actual)
    assert found.fitted == temperature.fit(log_probabilities, actual)
    assert found.gain == pytest.approx(np.mean(gains))
    assert found.standard_error == pytest.approx(np.std(gains, ddof=1) / 3)


def test_a_temperature_is_kept_where_its_gain_exceeds_the_standard_error() -> None:
    kept = temperature.choose(*drawn(2, 300, 4, sharpness=2.5))
    assert kept.gain > kept.standard_error
    assert kept.temperature == kept.fitted > 1.5
    declined = temperature.choose(*drawn(2, 300, 4))
    assert declined.gain < declined.standard_error
    assert declined.temperature == 1
    assert declined.fitted != 1


def test_calibrated_classifiers_mostly_keep_temperature_1() -> None:
    # On its own photos a temperature never seems to lose, on others it does. Seen: 0.98 declined, with a mean gain of
    # −0.005; on the photos that it was fitted to, it would be 0.007.
    cases = [drawn(seed, 80, 4) for seed in range(60)]
    found = [(case, temperature.choose(*case)) for case in cases]
    assert np.mean([choice.temperature == 1 for _, choice in found]) > 0.85
    assert np.mean([choice.gain for _, choice in found]) < 0
    assert all(cross_entropy(*photos, choice.fitted) <= cross_entropy(*photos, 1.0) for photos, choice in found)


def test_a_single_photo_is_not_enough_for_a_temperature() -> None:
    assert temperature.choose(two_classes(0.6), np.array([1])).temperature == 1


def test_the_summary_by_hand() -> None:
    choice = temperature.Choice(2.0, 0.05, 0.01)
    found = temperature.summary(two_classes(0.9, 0.9, 0.9, 0.9), np.array([0, 0, 0, 1]), choice)
    assert list(found) == ["intervals", "temperature", "fitted_temperature", "uncalibrated", "calibrated"]
    assert found["fitted_temperature"] == {"temperature": 2.0, "loss_gain": 0.05, "standard_error": 0.01}
    assert found["intervals"]["validation_top1"] == [*wilson(3, 4)]
    # Confidence 90 %, accuracy 75 %; at temperature 2 the confidence is 75 %.
    intervals = [found[name].pop("intervals") for name in ("uncalibrated", "calibrated")]
    assert found["uncalibrated"] == pytest.approx(
        {"validation_loss": -(3 * math.log(0.9) + math.log(0.1)) / 4, "validation_ece": 0.15}
    )
    assert found["calibrated"] == pytest.approx(
        {"validation_loss": -(3 * math.log(0.75) + math.log(0.25)) / 4, "validation_ece": 0.0}
    )
    assert found["intervals"]["validation_loss"] == intervals[0]["validation_loss"]
    for each in intervals:
        assert list(each) == ["validation_loss", "validation_ece"]


def test_with_a_declined_temperature_both_sides_of_the_summary_are_the_same() -> None:
    log_probabilities, actual = drawn(2, 100, 4)
    found = temperature.summary(log_probabilities, actual, temperature.Choice(1.058, 0.0007, 0.0012))
    assert found["temperature"] == 1
    assert found["calibrated"] == found["uncalibrated"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ((1.85, 0.031, 0.0042), "temperature 1.850: it lowers the validation loss by 0.0310 ± 0.0042"),
        (
            (1.058, 0.0007, 0.0012),
            "temperature 1: 1.058 would lower the validation loss by 0.0007 ± 0.0012, which may be chance",
        ),
        ((0.93, -0.002, 0.003), "temperature 1: 0.930 would raise the validation loss by 0.0020 ± 0.0030"),
        ((1.0, 0.0, 0.0), "temperature 1: no other lowers the validation loss"),
    ],
)
def test_the_verdict_says_what_happened(choice: tuple[float, float, float], expected: str) -> None:
    found = temperature.summary(two_classes(0.9, 0.8), np.array([0, 1]), temperature.Choice(*choice))
    assert temperature.verdict(found) == expected


@pytest.mark.parametrize("wrong", [np.array([[3.0, 1.0]]), np.log([[0.5, np.nan]])])
def test_invalid_log_probabilities_are_an_error(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="add up to"):
        temperature.fit(wrong, np.array([0]))
