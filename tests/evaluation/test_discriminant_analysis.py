"""Linear discriminant analysis: scikit-learn's, fold by fold, and what it makes of classes with next to no photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from properties import examples
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from boatyard.evaluation import discriminant_analysis
from boatyard.evaluation.discriminant_analysis import out_of_fold


def clouds(seed: int, photos: int, width: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings in a cloud for each class, every class at least twice in each of five folds."""
    generator = np.random.default_rng(seed)
    labels = np.arange(photos) // 5 % classes
    stretch = generator.normal(0, 1, (width, width)) / width**0.5
    embeddings = generator.normal(0, 2, (classes, width))[labels] + generator.normal(0, 3, (photos, width)) @ stretch
    return (embeddings + 5).astype(np.float32), labels.astype(np.int64)


@examples(25)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 60), st.floats(0.05, 1))
def test_it_is_scikit_learns_fitted_to_the_other_folds(seed: int, classes: int, width: int, shrinkage: float) -> None:
    features, labels = clouds(seed, 75, width, classes)
    folds = np.arange(75) % 5
    found = out_of_fold(features, labels, folds, classes, shrinkage=shrinkage)
    for fold in range(5):
        held = folds == fold
        reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        reference.fit(features[~held].astype(np.float64), labels[~held])
        # Of two classes, scikit-learn computes one probability as 1 less the other, which leaves few digits far down.
        expected = np.maximum(reference.predict_log_proba(features[held].astype(np.float64)), -18)
        assert np.maximum(found[held], -18) == pytest.approx(expected, abs=1e-6)


def test_a_photo_has_no_say_in_its_own_fold() -> None:
    features, labels = clouds(1, 60, 12, 3)
    folds = np.arange(60) % 5
    before = out_of_fold(features, labels, folds, 3)
    other = labels.copy()
    other[folds == 2] = (other[folds == 2] + 1) % 3
    after = out_of_fold(features, other, folds, 3)
    assert after[folds == 2] == pytest.approx(before[folds == 2], abs=1e-9)
    assert np.abs(after[folds != 2] - before[folds != 2]).max() > 0.1


def test_a_few_rows_at_a_time_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clouds(2, 60, 20, 3)
    folds = np.arange(60) % 4
    before = out_of_fold(features, labels, folds, 3)
    monkeypatch.setattr(discriminant_analysis, "_ROWS", 7)
    assert out_of_fold(features, labels, folds, 3) == pytest.approx(before, abs=1e-9)


def test_a_class_without_a_photo_in_the_other_folds_is_impossible() -> None:
    features, labels = clouds(3, 30, 4, 2)
    labels[labels == 1] = 2  # no photo of class 1
    folds = np.arange(30) % 5
    folds[labels == 2] = 4
    found = out_of_fold(features, labels, folds, 3)
    assert (found[:, 1] == -np.inf).all()
    assert (found[folds == 4, 2] == -np.inf).all()
    assert (found[folds == 4, 0] == 0).all()
    assert np.isfinite(found[folds != 4][:, [0, 2]]).all()
    assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(30))
    # In one fold alone nobody is left to learn from.
    assert (out_of_fold(features, labels, np.zeros(30, np.int64), 3) == -np.inf).all()


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_photos_that_are_all_alike_are_told_apart_or_taken_for_the_more_frequent(spread: float) -> None:
    labels = np.array([0, 1, 0] * 5)
    features = (labels[:, None] * spread * np.ones(3)).astype(np.float32)
    found = out_of_fold(features, labels, np.arange(15) // 3, 2)
    assert np.isfinite(found[np.arange(15), labels]).all()
    assert found.argmax(axis=1).tolist() == (labels.tolist() if spread else [0] * 15)
