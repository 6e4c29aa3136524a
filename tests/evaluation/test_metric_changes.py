"""Changes between two classifiers: against scikit-learn, against intervals by hand, and by their error rates."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from boatyard.evaluation import metric_changes, metrics
from boatyard.evaluation.answers import Answers
from boatyard.evaluation.intervals import Interval, draws, newcombe, percentiles, wilson
from boatyard.evaluation.metric_changes import MIN_UNPAIRED, proportion_change
from boatyard.evaluation.metrics import METRICS, TOP1_GAIN
from boatyard.evaluation.predictions import Prediction, tabulate

KEYS = [metric.key for metric in METRICS]
CLASSES = ["a", "b", "c", "d", "e", "f", "g"]


def paired(before, after, **options):
    return metric_changes.paired(before, after, [*METRICS, TOP1_GAIN], **options)


def unpaired(before, after, **options):
    return metric_changes.unpaired(before, after, [*METRICS, TOP1_GAIN], **options)


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


def answers(actual, log_probabilities, bins=15):
    table = tabulate([f"{n:06d}.png" for n in range(actual.size)], log_probabilities, actual, CLASSES)
    return Answers.from_predictions(table, CLASSES, bins=bins)


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
    found = Answers.from_predictions(rows, ["cat", "dog", "eel", "fox", "gnu", "hen"], bins=15)
    assert found.actual.tolist() == [0, 3, 5]
    assert found.predicted.tolist() == [0, 0, 0]
    assert found.rank.tolist() == [0, 3, 5]  # the last one is not among the five in the table
    assert found.right.tolist() == [True, False, False]
    # A probability that the table rounds to 0 is at most 5e-7.
    assert found.loss == pytest.approx([0.693147, 2.813411, 14.508658], abs=1e-6)
    assert found.top1_gain.tolist() == [1, 0, -1]
    without = Answers.from_predictions([replace(rows[0], plain_predicted=None)], ["cat"], bins=15)
    assert without.top1_gain.tolist() == [0]


@pytest.mark.parametrize("compare", [paired, unpaired])
def test_values_are_those_of_the_metrics_files(compare):
    actual, *both = drawn(300, seed=0, better=0.5)
    found = compare(*(answers(actual, side) for side in both), resamples=20, seed=0)
    before, after = (
        metrics.summary(Answers.from_log_probabilities(side, actual, bins=15), resamples=20, seed=0) for side in both
    )
    for key in KEYS:
        assert (found[key].before, found[key].after) == pytest.approx((before[key], after[key]), abs=1e-9), key


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_intervals_are_the_textbook_bootstrap_of_scikit_learns_metrics():
    actual, before, after = drawn(90, seed=3, better=0.3)
    found = paired(answers(actual, before), answers(actual, after), resamples=60, seed=5)
    (weights,) = draws(90, resamples=60, seed=5)
    differences = {"loss": [], "mean_class_accuracy": [], "macro_f1": []}
    for row in weights:
        photos = np.repeat(np.arange(90), row.astype(int))
        truth, old, new = actual[photos], before[photos], after[photos]
        own = new[np.arange(90), truth] - old[np.arange(90), truth]
        differences["loss"].append(-own.mean())
        for key, score in (("mean_class_accuracy", balanced_accuracy_score), ("macro_f1", macro_f1)):
            differences[key].append(score(truth, new.argmax(1)) - score(truth, old.argmax(1)))
    for key, values in differences.items():
        assert found[key].interval == pytest.approx(percentiles(np.array(values)), abs=1e-9), key


def macro_f1(truth, predicted):
    return f1_score(truth, predicted, average="macro", zero_division=0)


def test_top1_is_the_comparison_of_tta():
    before, after = pair(200, seed=1, better=0.4)
    gains = after.right.astype(int) - before.right
    found = paired(before, after, resamples=4000, seed=0)["top1"]
    half = 1.96 * gains.std() / 200**0.5
    assert found.interval == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.011)


def test_pairs_give_narrower_intervals_than_two_test_sets():
    before, after = pair(400, seed=2, noise=0.3)
    together, apart = (compare(before, after, resamples=400, seed=0) for compare in (paired, unpaired))
    for key in ("top1", "loss", "mean_class_accuracy", "macro_f1"):
        widths = [np.ptp(found[key].interval) for found in (together, apart)]
        assert widths[0] < 0.7 * widths[1], key


def test_the_same_answers_change_nothing():
    before, _ = pair(80, seed=4)
    found = paired(before, before, resamples=50, seed=0)
    assert not any(change.significant for change in found.values())
    assert {
        key: change.interval for key, change in found.items() if key not in ("top1", "top3", "top5")
    } == dict.fromkeys(("loss", "mean_class_accuracy", "macro_f1", "ece", "top1_gain"))
    most = wilson(0, 80).high  # of 80 photos none was fixed or broken
    assert found["top1"].interval == Interval(-most, most)


def test_a_real_gain_is_significant_in_every_metric():
    found = paired(*pair(600, seed=5, better=1.0), resamples=400, seed=0)
    assert {key for key, change in found.items() if change.significant} == set(KEYS)
    assert found["loss"].after < found["loss"].before
    assert found["top1"].after > found["top1"].before


def test_five_photos_are_no_evidence_however_narrow_the_bootstrap_interval():
    before, after = pair(5, seed=6, better=3.0, noise=0.1)
    found = paired(before, after, resamples=400, seed=0)["loss"]
    assert found.interval.high < 0  # every photo's loss fell, so that every resample's does
    assert found.significant is False  # but five random swaps agree once in 16 times


@pytest.mark.parametrize("photos", [25, 150])
def test_random_differences_are_rarely_called_a_change(photos):
    """Two equally good classifiers: each metric is called changed in at most 5 % of cases."""
    trials = 300
    called = dict.fromkeys(KEYS, 0)
    for seed in range(trials):
        for key, change in paired(*pair(photos, seed=100 + seed), resamples=200, seed=seed).items():
            if key in called:
                called[key] += change.significant
    for key, count in called.items():
        assert count / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5, key


def test_newcombe_by_the_published_example():
    # Newcombe 1998, table II (a), method 10: 56 of 70 and 48 of 80.
    assert newcombe((48, 80), (56, 70)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe((56, 70), (48, 80)) == pytest.approx((-0.3339, -0.0524), abs=5e-5)
    change = proportion_change((48, 80), (56, 70))
    assert (change.before, change.after, change.significant) == (0.6, 0.8, True)
    low, high = newcombe((10, 10), (10, 10))
    assert -0.3 < low < 0 < high < 0.3


def test_two_test_sets_are_resampled_independently():
    before, _ = pair(120, seed=7)
    after, _ = pair(150, seed=8)
    found = unpaired(before, after, resamples=2000, seed=0)
    assert found["top1"] == proportion_change((int(before.right.sum()), 120), (int(after.right.sum()), 150))
    loss = found["loss"]
    half = 1.96 * (before.loss.var() / 120 + after.loss.var() / 150) ** 0.5
    middle = after.loss.mean() - before.loss.mean()
    assert loss.interval == pytest.approx((middle - half, middle + half), abs=0.15 * half)


def test_too_few_unpaired_photos_to_tell():
    before, _ = pair(MIN_UNPAIRED - 1, seed=7)
    after, _ = pair(MIN_UNPAIRED, seed=8, better=2)
    found = unpaired(before, after, resamples=100, seed=0)
    assert {key for key, change in found.items() if change.significant is None} == set(found) - {"top1", "top3", "top5"}
    assert unpaired(after, after, resamples=100, seed=0)["loss"].significant is not None


def test_answers_to_other_photos_cannot_be_paired():
    before, _ = pair(30, seed=9)
    other, _ = pair(30, seed=10)
    with pytest.raises(ValueError, match="not to the same photos"):
        paired(before, other, resamples=10, seed=0)


def test_chunks_do_not_change_the_result(monkeypatch):
    before, after = pair(50, seed=11, better=0.3)
    whole = paired(before, after, resamples=60, seed=1)
    monkeypatch.setattr("boatyard.evaluation.intervals._CELLS", 700)
    for key, change in paired(before, after, resamples=60, seed=1).items():
        assert change.significant == whole[key].significant
        assert (change.interval is None) == (whole[key].interval is None)
        if change.interval is not None:
            assert change.interval == pytest.approx(whole[key].interval, abs=1e-12)


def test_every_resample_has_as_many_photos():
    chunks = np.concatenate(list(draws(40, resamples=25, seed=0)))
    assert chunks.shape == (25, 40)
    assert (chunks.sum(axis=1) == 40).all()
    assert chunks.min() == 0
