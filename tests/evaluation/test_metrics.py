"""Metrics: by hand, and against scikit-learn on random and on degenerate inputs."""

import json
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from boatyard.core import tables
from boatyard.evaluation import metrics
from boatyard.evaluation.answers import Answers, losses, ranks
from boatyard.evaluation.class_results import ClassResult, confusion_matrix, per_class
from boatyard.evaluation.intervals import draws, percentiles, wilson
from boatyard.evaluation.metrics import METRICS

bounded = examples(60)

# Three classes, five photos. Predicted: a, b, a, c, b; ranks of the right class: 0, 1, 0, 0, 2.
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.25, 0.25], [0.1, 0.3, 0.6], [0.1, 0.7, 0.2]])
ACTUAL = np.array([0, 0, 0, 2, 0])


def log(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(probabilities))


def distributions(seed, photos, classes, ties):
    """Probabilities of random classes; with `ties`, of few distinct values, zeros among them."""
    generator = np.random.default_rng(seed)
    weights = generator.integers(0, 3, (photos, classes)) if ties else generator.exponential(size=(photos, classes))
    weights[np.arange(photos), generator.integers(0, classes, photos)] += 1
    actual = generator.integers(0, classes, photos)
    return weights / weights.sum(axis=1, keepdims=True), actual


cases = st.builds(
    distributions,
    seed=st.integers(0, 10_000),
    photos=st.integers(1, 40),
    classes=st.integers(2, 9),
    ties=st.booleans(),
)


def answers(probabilities, actual, bins=15):
    return Answers.from_log_probabilities(log(probabilities), np.asarray(actual), bins=bins)


def value(key, of):
    return next(metric for metric in METRICS if metric.key == key).value(of)


def top_k(k, of):
    """Top-k accuracy as the metrics of the registry define it, for any k."""
    return metrics.Metric("", "", correct=lambda answers: answers.rank < k).value(of)


def test_by_hand():
    of = answers(PROBABILITIES, ACTUAL)
    assert of.rank.tolist() == [0, 1, 0, 0, 2]
    assert [top_k(k, of) for k in (1, 2, 3, 5)] == [0.6, 0.8, 1.0, 1.0]
    assert [value(key, of) for key in ("top1", "top3", "top5")] == [0.6, 1.0, 1.0]
    assert value("loss", of) == pytest.approx(-math.log(0.7 * 0.3 * 0.5 * 0.6 * 0.1) / 5)
    assert confusion_matrix(ACTUAL, of.predicted, 3).tolist() == [[2, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert value("mean_class_accuracy", of) == pytest.approx((2 / 4 + 1) / 2)  # class b has no photo
    assert value("macro_f1", of) == pytest.approx((4 / 6 + 0 + 1) / 3)  # class b was predicted


def test_ties_go_to_the_first_class():
    log_probabilities = log([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [1 / 3, 1 / 3, 1 / 3]])
    assert ranks(log_probabilities, np.array([0, 1, 2, 2])).tolist() == [0, 1, 1, 2]


@bounded
@given(cases)
def test_rank_is_the_position_in_a_stable_descending_order(case):
    probabilities, actual = case
    order = np.argsort(-probabilities, axis=1, kind="stable")
    expected = (order == actual[:, None]).argmax(axis=1)
    rank = ranks(log(probabilities), actual)
    assert rank.tolist() == expected.tolist()
    assert ((rank == 0) == (log(probabilities).argmax(axis=1) == actual)).all()
    assert top_k(probabilities.shape[1], answers(probabilities, actual)) == 1.0


@bounded
@given(cases, st.integers(1, 12))
def test_top_k_agrees_with_scikit_learn(case, k):
    probabilities, actual = case
    labels = np.arange(probabilities.shape[1])
    # Scikit-learn breaks a tie in favour of the last class: give the first one a tiny lead.
    leading = probabilities - 1e-9 * labels
    scores = leading[:, 1] - leading[:, 0] if labels.size == 2 else leading
    ours = top_k(k, answers(probabilities, actual))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 'k is not less than the number of classes'
        if labels.size == 2 and k == 1:
            expected = reference.accuracy_score(actual, probabilities.argmax(axis=1))
        else:
            expected = reference.top_k_accuracy_score(actual, scores, k=k, labels=labels)
    assert ours == pytest.approx(expected)


@bounded
@given(cases)
def test_scores_agree_with_scikit_learn(case):
    probabilities, actual = case
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    confusion, of = confusion_matrix(actual, predicted, classes), answers(probabilities, actual)
    assert (confusion == reference.confusion_matrix(actual, predicted, labels=range(classes))).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 'y_pred contains classes not in y_true'
        balanced = reference.balanced_accuracy_score(actual, predicted)
    assert value("mean_class_accuracy", of) == pytest.approx(balanced)
    macro = reference.f1_score(actual, predicted, average="macro", zero_division=0)
    assert value("macro_f1", of) == pytest.approx(macro)
    expected = reference.log_loss(actual, probabilities, labels=range(classes))
    assert value("loss", of) == pytest.approx(expected)


@bounded
@given(cases)
def test_per_class_agrees_with_scikit_learn(case):
    probabilities, actual = case
    classes = probabilities.shape[1]
    # Every class has a test photo.
    probabilities = np.vstack([probabilities, np.full((classes, classes), 1 / classes)])
    actual = np.append(actual, np.arange(classes))
    predicted = probabilities.argmax(axis=1)
    names = [f"class {number}" for number in range(classes)]
    rows = per_class(log(probabilities), actual, names, range(classes))
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        actual, predicted, labels=range(classes), zero_division=np.nan
    )
    assert [(row.label, row.train_images, row.test_images) for row in rows] == list(
        zip(names, range(classes), support, strict=True)
    )
    for number, row in enumerate(rows):
        assert row.top1 == pytest.approx(recall[number])
        assert (row.top1_low, row.top1_high) == wilson(round(recall[number] * support[number]), int(support[number]))
        assert row.f1 == pytest.approx(f1[number])
        if (predicted == number).any():
            assert row.precision == pytest.approx(precision[number])
        else:
            assert row.precision is None


def test_per_class_by_hand(tmp_path):
    actual = np.array([0, 0, 0, 2, 0, 1])
    rows = per_class(log([*PROBABILITIES, [0.2, 0.7, 0.1]]), actual, ["a", "b", "c"], [10, 20, 30])
    assert rows[0].test_images == 4
    assert (rows[0].top1, rows[0].top3, rows[0].top5) == (0.5, 1.0, 1.0)
    assert rows[0].loss == pytest.approx(-math.log(0.7 * 0.3 * 0.5 * 0.1) / 4)
    assert (rows[0].precision, rows[0].f1) == (1.0, pytest.approx(2 / 3))
    assert (rows[1].test_images, rows[1].top1, rows[1].precision) == (1, 1.0, pytest.approx(1 / 3))
    assert (rows[2].top1, rows[2].precision, rows[2].f1) == (1.0, 1.0, 1.0)
    tables.write_rows(tmp_path / "rows.csv", ClassResult, rows)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0] == "label,train_images,test_images,top1,top1_low,top1_high,top3,top5,loss,precision,f1"
    assert lines[1] == "a,10,4,0.5,0.150039,0.849961,1.0,1.0,1.139095,1.0,0.666667"


def test_a_class_without_a_test_photo_is_an_error():
    with pytest.raises(ValueError, match="class 'b' has no test photo"):
        per_class(log(PROBABILITIES), ACTUAL, ["a", "b", "c"], [10, 20, 30])


def test_a_class_that_is_never_predicted_has_no_precision_and_an_f1_of_zero():
    rows = per_class(log([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ["a", "b"], [1, 1])
    assert (rows[1].top1, rows[1].precision, rows[1].f1) == (0.0, None, 0.0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_probability_of_zero_has_a_finite_loss(kind):
    log_probabilities = log(np.array([[1, 0], [0.5, 0.5]], kind))
    expected = reference.log_loss([1, 0], np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert losses(log_probabilities, np.array([1, 0])).mean() == pytest.approx(expected)
    assert losses(log_probabilities, np.array([1, 0])).max() == pytest.approx(36.0437, abs=1e-4)
    assert math.copysign(1, losses(log_probabilities, np.array([0, 0]))[0]) == 1  # 0.0, not -0.0


def test_summary_has_the_keys_of_evaluate_json_in_order():
    found = metrics.summary(
        Answers.from_log_probabilities(log(PROBABILITIES).astype(np.float32), ACTUAL, bins=2), resamples=200, seed=3
    )
    keys = "images top1 top1_low top1_high top3 top5 loss mean_class_accuracy macro_f1 ece intervals"
    assert " ".join(found) == keys
    assert (found["images"], found["top1"], found["top3"], found["top5"]) == (5, 0.6, 1.0, 1.0)
    assert (found["top1_low"], found["top1_high"]) == wilson(3, 5)
    assert list(found["intervals"]) == [metric.key for metric in METRICS]
    assert found["intervals"]["top1"] == [*wilson(3, 5)]
    assert found["intervals"]["top5"] == [*wilson(5, 5)]
    for key, (low, high) in found["intervals"].items():
        assert 0 <= low <= found[key] <= high, key
        assert low < high, key
    assert found["loss"] == pytest.approx(-math.log(0.7 * 0.3 * 0.5 * 0.6 * 0.1) / 5)
    assert (found["mean_class_accuracy"], found["macro_f1"]) == pytest.approx((0.75, 5 / 9))
    # Bin (0, 0.5]: one photo, 0.5, right. Bin (0.5, 1]: 0.7, 0.6, 0.6, 0.7; two of four right.
    assert found["ece"] == pytest.approx(1 / 5 * 0.5 + 4 / 5 * (0.65 - 0.5), abs=1e-6)
    json.dumps(found)


def test_summary_of_a_single_photo():
    found = metrics.summary(answers([[0.8, 0.2]], [0]), resamples=100, seed=0)
    assert (found["images"], found["top1"], found["mean_class_accuracy"], found["macro_f1"]) == (1, 1.0, 1.0, 1.0)
    assert (found["top1_low"], found["top1_high"]) == wilson(1, 1)
    assert found["ece"] == pytest.approx(0.2)
    # One right answer shows next to nothing about any of them.
    low, _ = wilson(1, 1)
    for key in ("top1", "top3", "mean_class_accuracy", "macro_f1"):
        assert found["intervals"][key] == pytest.approx([low, 1.0])
    assert found["intervals"]["loss"] == pytest.approx([0.0, 36.0437], abs=1e-4)
    assert found["intervals"]["ece"][1] > 0.5


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.correct], ids=lambda metric: metric.key)
@pytest.mark.parametrize("photos", [1, 36, 200])
def test_one_more_right_photo_never_lowers_the_interval_of_a_fraction(metric, photos):
    bounds = []
    for right in range(photos + 1):
        table = [[0.9] + [0.1 / 6] * 6] * right + [[0.01] + [0.165] * 6] * (photos - right)
        bounds.append(metric.interval(answers(table, [0] * photos), resamples=50, seed=0))
    low, high = np.array(bounds).T
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) >= 0).all()


@pytest.mark.parametrize("key", ["mean_class_accuracy", "macro_f1", "loss", "ece"])
def test_photos_that_are_all_right_do_not_make_any_metric_certain(key):
    (metric,) = (metric for metric in METRICS if metric.key == key)
    certain = answers([[1.0, 0.0], [0.0, 1.0]] * 18, [0, 1] * 18)
    low, high = metric.interval(certain, resamples=200, seed=0)
    missed = 1 - wilson(36, 36).low  # 9.6 %
    expected = {"loss": (0.0, missed * math.log(2)), "ece": (0.0, missed)}.get(key, (1 - missed, 1.0))
    assert (low, high) == pytest.approx(expected)


def test_a_metric_in_other_units_has_a_percentile_bootstrap():
    metric = metrics.Metric("seconds", "seconds", compute=lambda each, weights: weights @ each.loss, fraction=False)
    some = answers([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [0, 0, 1])
    chunks = [metric.values(some, weights) for weights in draws(3, resamples=100, seed=1)]
    assert metric.interval(some, resamples=100, seed=1) == percentiles(np.concatenate(chunks))


def test_an_interval_is_read_from_old_metrics_files_too():
    assert metrics.recorded_interval("loss", {"loss": 0.5, "intervals": {"loss": [0.4, 0.7]}}) == (0.4, 0.7)
    assert metrics.recorded_interval("top1", {"top1": 0.5, "top1_low": 0.4, "top1_high": 0.6}) == (0.4, 0.6)
    assert metrics.recorded_interval("loss", {"loss": 0.5}) is None


@pytest.mark.parametrize(
    ("log_probabilities", "actual", "message"),
    [
        (log([[0.5, 0.5], [np.nan, 0.5]]), [0, 0], "photo 1 add up to nan"),
        (np.array([[3.0, 1.0]]), [0], "add up to 22.8, not to 1"),
        (np.array([[1000.0, 1.0]]), [0], "add up to inf"),
        (log([[0.5, 0.5]]), [2], "indices from 0 to 1"),
        (log([[0.5, 0.5]]), [-1], "indices from 0 to 1"),
        (log([[0.5, 0.5]]), [0.0], "indices from 0 to 1"),
        (log([[0.5, 0.5]]), [0, 1], "there are 1 photos"),
        (np.empty((0, 2)), np.empty(0, int), r"\[photos, classes\]"),
        (log([0.5, 0.5]), [0, 1], r"\[photos, classes\]"),
    ],
)
def test_invalid_log_probabilities_are_an_error(log_probabilities, actual, message):
    with pytest.raises(ValueError, match=message):
        Answers.from_log_probabilities(log_probabilities, np.array(actual), bins=15)


def test_half_precision_is_accepted():
    exact = log(distributions(0, 200, 1000, ties=False)[0])
    rounded = (exact.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)  # bfloat16, cut off
    assert ranks(rounded, np.zeros(200, int)).shape == (200,)


def test_names_and_counts_must_fit_the_classes():
    with pytest.raises(ValueError, match="3 classes, but 2 names and 3 counts"):
        per_class(log(PROBABILITIES), ACTUAL, ["a", "b"], [1, 2, 3])


def test_a_metric_needs_a_definition():
    with pytest.raises(ValueError, match="metric 'nothing' needs `correct` or `compute`"):
        metrics.Metric("nothing", "nothing").value(answers(PROBABILITIES, ACTUAL))


def test_the_interval_of_a_mean_over_classes_is_sound_near_1():
    # Three classes, of 8, 17 and 25 photos, each with an accuracy of 0.98. Seen: 0.97, and 0.63 by percentiles.
    (metric,) = (metric for metric in METRICS if metric.key == "mean_class_accuracy")
    generator, actual = np.random.default_rng(7), np.repeat([0, 1, 2], [8, 17, 25])
    covered = by_percentiles = 0
    for number in range(200):
        predicted = np.where(generator.random(50) < 0.98, actual, (actual + 1) % 3)
        some = answers(np.eye(3)[predicted], actual)
        low, high = metric.interval(some, resamples=300, seed=number)
        covered += low <= 0.98 <= high
        chunks = [metric.values(some, weights) for weights in draws(50, resamples=300, seed=number)]
        low, high = percentiles(np.concatenate(chunks))
        by_percentiles += low <= 0.98 <= high
    assert covered / 200 > 0.9
    assert by_percentiles / 200 < 0.75
