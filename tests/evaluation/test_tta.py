"""Test-time augmentation: the mean over views, the views of each policy, the choice of a policy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from boatyard.evaluation.tta import choose, mean_probabilities, plan
from boatyard.images.views import BOTH, FIRST_TTA_VIEW, HORIZONTAL, PLAIN, VERTICAL
from boatyard.params.schema import Augment

bounded = examples(40)

VIEWS = {"random": 5, "flips": 4}


def test_mean_by_hand():
    # One photo, two views: the mean of (0.9, 0.1) and (0.2, 0.8) is (0.55, 0.45). Means of logarithms would predict b.
    views = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]]], np.float32))
    mean = mean_probabilities(views)
    assert mean.dtype == np.float64
    assert np.exp(mean) == pytest.approx(np.array([[0.55, 0.45]]), abs=1e-7)


@bounded
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
def test_mean_is_the_mean_of_probabilities_in_any_order_of_views(seed, photos, views, classes):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=(photos, views))
    mean = np.exp(mean_probabilities(np.log(probabilities)))
    assert mean == pytest.approx(probabilities.mean(axis=1))
    assert mean.sum(axis=1) == pytest.approx(np.ones(photos))
    assert np.exp(mean_probabilities(np.log(probabilities[:, ::-1]))) == pytest.approx(mean)


def test_mean_of_tiny_and_of_impossible_probabilities():
    # e^-2000 underflows, yet ratios must be kept; impossible in one view lowers the mean.
    tiny = np.array([[[-2000.0, 0.0, -np.inf], [-2000.0, 0.0, -np.inf], [-np.inf, 0.0, -np.inf]]])
    with np.errstate(all="raise"):
        mean = mean_probabilities(tiny)
    assert mean[0].tolist() == pytest.approx([-2000 + np.log(2 / 3), 0.0, -np.inf])


def test_the_mean_of_a_single_view_is_the_view():
    view = np.log(np.array([[[0.25, 0.75]]]))
    assert (mean_probabilities(view) == view[:, 0]).all()


@pytest.mark.parametrize("shape", [(2, 3), (2, 0, 3)])
def test_no_views_are_an_error(shape):
    with pytest.raises(ValueError, match="photos, views, classes"):
        mean_probabilities(np.zeros(shape))


def augment(horizontal: bool, vertical: bool) -> Augment:
    flips = {"horizontal_flip": horizontal, "vertical_flip": vertical}
    colours = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    return Augment(scale=[0.8, 1.0], aspect=[0.75, 1.3333], rotation=15, **flips, **colours)


def test_a_plan_draws_each_view_once_and_lists_those_of_each_policy():
    both = plan(["flips", "random"], 4, augment(True, False))
    assert both.numbers == [PLAIN, HORIZONTAL, *range(FIRST_TTA_VIEW, FIRST_TTA_VIEW + 3)]
    assert both.policies == {"flips": [0, 1], "random": [0, 2, 3, 4]}
    assert plan(["flips"], 4, augment(True, True)).numbers == [PLAIN, HORIZONTAL, VERTICAL, BOTH]
    assert plan(["flips"], 4, augment(False, True)).numbers == [PLAIN, VERTICAL]
    assert plan(["random"], 1, augment(True, True)).numbers == [PLAIN]


def test_the_lowest_validation_loss_is_chosen():
    assert choose({"flips": 0.51, "random": 0.50}, VIEWS) == "random"
    assert choose({"flips": 0.50, "random": 0.51}, VIEWS) == "flips"


def test_of_equal_losses_the_fewest_views_are_chosen():
    equal = {"random": 0.5, "flips": 0.5}
    assert choose(equal, VIEWS) == "flips"
    assert choose(equal, {"random": 3, "flips": 4}) == "random"
    assert choose({"random": 0.5, "flips": 0.5 + 1e-9}, VIEWS) == "flips"
    assert choose(equal, {"random": 4, "flips": 4}) == "random"


@pytest.mark.parametrize("losses", [{}, {"flips": float("nan"), "random": 0.5}])
def test_without_a_finite_loss_nothing_can_be_chosen(losses):
    with pytest.raises(ValueError, match="no policy"):
        choose(losses, VIEWS)
