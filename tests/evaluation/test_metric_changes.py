"""Changes between two classifiers: against scikit-learn, against intervals by hand, and by how often they are wrong."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from boatyard.evaluation import metrics
from boatyard.evaluation.intervals import Interval, draws, newcombe, percentiles, wilson
from boatyard.evaluation.metric_changes import FEWEST_UNPAIRED, Answers, paired, proportion, unpaired
from boatyard.evaluation.predictions import Prediction, tabulate

FIGURES = ("top1", "top3", "top5", "loss", "mean_class_accuracy", "macro_f1", "ece")
CLASSES = ["a", "b", "c", "d", "e", "f", "g"]


def drawn(photos, seed, better=0.0, noise=0.7, classes=7):
    """Two classifiers' answers to the same photos, the second one's with `better` added to the right class's score."""
    generator = np.random.default_rng(seed)
    actual = generator.choice(classes, photos, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    scores = generator.gumbel(0, 1, (photos, classes))
    scores[np.arange(photos), actual] += 1.8
    both = []
    for gain in (0.0, better):
        own = scores + generator.normal(0, noise, scores.shape)
        own[np.arange(photos), actual] += gain
        both.append(own - np.logaddexp.reduce(own, axis=1, keepdims=True))
    return actual, *both


def answers(actual, log_probabilities):
    table = tabulate([f"{n:06d}.png" for n in range(actual.size)], log_probabilities, actual, CLASSES)
    return Answers.of(table, CLASSES)


def pair(photos, seed, **how):
    actual, before, after = drawn(photos, seed, **how)
    return answers(actual, before), answers(actual, after)


def test_answers_by_hand():
    top = (("cat", 0.5), ("dog", 0.3), ("eel", 0.1), ("fox", 0.06), ("gnu", 0.04))
    rows = [
        Prediction("1", "cat", "cat", 0.5, 0.5, top, "dog"),
        Prediction("2", "fox", "cat", 0.5, 0.06, top, "cat"),
        Prediction("3", "hen", "cat", 0.5, 0.0, top, "hen"),
    ]
    found = Answers.of(rows, ["cat", "dog", "eel", "fox", "gnu", "hen"])
    assert found.actual.tolist() == [0, 3, 5]
    assert found.predicted.tolist() == [0, 0, 0]
    assert (found.top1.tolist(), found.top3.tolist()) == ([True, False, False], [True, False, False])
    assert found.top5.tolist() == [True, True, False]
    # A probability that the table rounds to 0 is 5e-7 at the most.
    assert found.loss == pytest.approx([0.693147, 2.813411, 14.508658], abs=1e-6)
    assert found.top1_gain.tolist() == [1, 0, -1]
    assert Answers.of([replace(rows[0], plain_predicted=None)], ["cat"]).top1_gain.tolist() == [0]


@pytest.mark.parametrize("compare", [paired, unpaired])
def test_figures_are_those_of_the_metrics_files(compare):
    actual, *both = drawn(300, seed=0, better=0.5)
    found = compare(*(answers(actual, side) for side in both), bins=15, resamples=20, seed=0)
    before, after = (metrics.summary(side, actual, resamples=20, seed=0, bins=15) for side in both)
    for key in FIGURES:
        assert (found[key].before, found[key].after) == pytest.approx((before[key], after[key]), abs=1e-9), key


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_intervals_are_the_textbook_bootstrap_of_scikit_learns_figures():
    actual, before, after = drawn(90, seed=3, better=0.3)
    found = paired(answers(actual, before), answers(actual, after), bins=10, resamples=60, seed=5)
    (weights,) = draws(90, resamples=60, seed=5)
    differences = {"loss": [], "mean_class_accuracy": [], "macro_f1": []}
    for row in weights:
        photos = np.repeat(np.arange(90), row.astype(int))
        truth, old, new = actual[photos], before[photos], after[photos]
        own = new[np.arange(90), truth] - old[np.arange(90), truth]
        differences["loss"].append(-own.mean())
        for key, figure in (("mean_class_accuracy", balanced_accuracy_score), ("macro_f1", macro_f1)):
            differences[key].append(figure(truth, new.argmax(1)) - figure(truth, old.argmax(1)))
    for key, values in differences.items():
        assert found[key].interval == pytest.approx(percentiles(np.array(values)), abs=1e-9), key


def macro_f1(truth, predicted):
    return f1_score(truth, predicted, average="macro", zero_division=0)


def test_top1_is_the_comparison_of_tta():
    before, after = pair(200, seed=1, better=0.4)
    gains = after.top1.astype(int) - before.top1
    found = paired(before, after, bins=15, resamples=4000, seed=0)["top1"]
    half = 1.96 * gains.std() / 200**0.5
    assert found.interval == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.011)


def test_pairs_tell_more_than_two_test_sets():
    before, after = pair(400, seed=2, noise=0.3)
    together, apart = (compare(before, after, bins=15, resamples=400, seed=0) for compare in (paired, unpaired))
    for key in ("top1", "loss", "mean_class_accuracy", "macro_f1"):
        widths = [np.ptp(found[key].interval) for found in (together, apart)]
        assert widths[0] < 0.7 * widths[1], key


def test_the_same_answers_are_no_change():
    before, _ = pair(80, seed=4)
    found = paired(before, before, bins=15, resamples=50, seed=0)
    assert not any(change.evident for change in found.values())
    assert {
        key: change.interval for key, change in found.items() if key not in ("top1", "top3", "top5")
    } == dict.fromkeys(("loss", "mean_class_accuracy", "macro_f1", "ece", "top1_gain"))
    most = wilson(0, 80).high  # of 80 photos none was put right or wrong
    assert found["top1"].interval == Interval(-most, most)


def test_a_real_gain_is_evident_in_every_figure():
    found = paired(*pair(600, seed=5, better=1.0), bins=15, resamples=400, seed=0)
    assert {key for key, change in found.items() if change.evident} == set(FIGURES)
    assert found["loss"].after < found["loss"].before
    assert found["top1"].after > found["top1"].before


def test_five_photos_are_no_evidence_however_sure_the_bootstrap_is():
    before, after = pair(5, seed=6, better=3.0, noise=0.1)
    found = paired(before, after, bins=15, resamples=400, seed=0)["loss"]
    assert found.interval.high < 0  # every photo's loss fell, so that every resample's does
    assert found.evident is False  # but five coins fall alike once in 16 times


@pytest.mark.parametrize("photos", [25, 150])
def test_a_coins_throws_are_seldom_called_a_change(photos):
    """Two classifiers of equal worth: each figure is called changed in no more than 5 % of the cases."""
    trials = 300
    called = dict.fromkeys(FIGURES, 0)
    for seed in range(trials):
        for key, change in paired(*pair(photos, seed=100 + seed), bins=15, resamples=200, seed=seed).items():
            if key in called:
                called[key] += change.evident
    for key, count in called.items():
        assert count / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5, key


def test_newcombe_by_the_published_example():
    # Newcombe 1998, table II (a), method 10: 56 of 70 and 48 of 80.
    assert newcombe((48, 80), (56, 70)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe((56, 70), (48, 80)) == pytest.approx((-0.3339, -0.0524), abs=5e-5)
    change = proportion((48, 80), (56, 70))
    assert (change.before, change.after, change.evident) == (0.6, 0.8, True)
    low, high = newcombe((10, 10), (10, 10))
    assert -0.3 < low < 0 < high < 0.3


def test_other_photos_have_other_draws():
    before, _ = pair(120, seed=7)
    after, _ = pair(150, seed=8)
    found = unpaired(before, after, bins=15, resamples=2000, seed=0)
    assert found["top1"] == proportion((int(before.top1.sum()), 120), (int(after.top1.sum()), 150))
    loss = found["loss"]
    half = 1.96 * (before.loss.var() / 120 + after.loss.var() / 150) ** 0.5
    middle = after.loss.mean() - before.loss.mean()
    assert loss.interval == pytest.approx((middle - half, middle + half), abs=0.15 * half)


def test_too_few_other_photos_to_tell():
    before, _ = pair(FEWEST_UNPAIRED - 1, seed=7)
    after, _ = pair(FEWEST_UNPAIRED, seed=8, better=2)
    found = unpaired(before, after, bins=15, resamples=100, seed=0)
    assert {key for key, change in found.items() if change.evident is None} == set(found) - {"top1", "top3", "top5"}
    assert unpaired(after, after, bins=15, resamples=100, seed=0)["loss"].evident is not None


def test_without_bins_there_is_no_calibration_error():
    before, after = pair(30, seed=9)
    assert "ece" not in paired(before, after, bins=None, resamples=10, seed=0)
    assert "ece" not in unpaired(before, after, bins=None, resamples=10, seed=0)


def test_answers_to_other_photos_are_no_pairs():
    before, _ = pair(30, seed=9)
    other, _ = pair(30, seed=10)
    with pytest.raises(ValueError, match="not to the same photos"):
        paired(before, other, bins=15, resamples=10, seed=0)


def test_memory_does_not_decide_the_figures(monkeypatch):
    before, after = pair(50, seed=11, better=0.3)
    whole = paired(before, after, bins=15, resamples=60, seed=1)
    for module in ("intervals", "metric_changes"):
        monkeypatch.setattr(f"boatyard.evaluation.{module}.CELLS", 700)
    for key, change in paired(before, after, bins=15, resamples=60, seed=1).items():
        assert change.evident == whole[key].evident
        assert (change.interval is None) == (whole[key].interval is None)
        if change.interval is not None:
            assert change.interval == pytest.approx(whole[key].interval, abs=1e-12)


def test_every_resample_has_as_many_photos():
    chunks = np.concatenate(list(draws(40, resamples=25, seed=0)))
    assert chunks.shape == (25, 40)
    assert (chunks.sum(axis=1) == 40).all()
    assert chunks.min() == 0
