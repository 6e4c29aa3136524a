"""Label issues: photos that may be mislabelled, found by a classifier that has seen neither them nor copies of them.

Confident learning (Northcutt, Jiang and Chuang, Journal of Artificial Intelligence Research 2021) on out-of-fold
probabilities gives their number: the photos for which another class is at least as probable as it is, on average, for
the photos labelled with it. That many photos with the lowest probability of their own label are the label issues.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files
from boatyard.core.splits import Sample, labels
from boatyard.evaluation import discriminant_analysis, temperature
from boatyard.evaluation.checks import blocks

FOLDS = 5


@dataclass(frozen=True)
class LabelIssue:
    """A photo that may be mislabelled: a row of data/suspects.csv.

    Attributes:
        path, label, split: of the photo.
        looks_like: the most probable class, which is not its label.
        probability: of that class.
        label_probability: of its label.
    """

    path: str
    label: str
    split: str
    looks_like: str
    probability: float
    label_probability: float


@dataclass(frozen=True)
class Findings:
    """The result of checking the labels.

    Attributes:
        issues: the least probable label first.
        checked: number of photos that could be checked: all but those of a class that is in a single fold.
        confirmed: number of photos for which the most probable class is their label.
    """

    issues: list[LabelIssue]
    checked: int
    confirmed: int


def find(
    rows: Sequence[Sample], features: NDArray[np.float32], groups: Sequence[int], classes: Sequence[str]
) -> Findings:
    """Find likely label errors among the photos of all splits.

    Takes 8 × n × k bytes of memory, and some tens of MB.

    Args:
        rows: n photos.
        features: their embeddings [n, width].
        groups: n numbers; photos of one group (near duplicates) are in the same fold, so that none confirms the label
            of another.
        classes: k names.
    """
    actual = labels(rows, classes)
    answers = discriminant_analysis.out_of_fold(features, actual, folds(rows, groups), len(classes))
    can_check = np.isfinite(answers[np.arange(len(rows)), actual])
    if not can_check.any():
        return Findings([], 0, 0)
    known = [row for row, can in zip(rows, can_check, strict=True) if can]
    if len(known) < len(rows):
        answers, actual = answers[can_check], actual[can_check]
    temperature.scale(answers, temperature.fit(answers, actual), out=answers)
    own = answers[np.arange(len(known)), actual]
    looks_like = answers.argmax(axis=1)
    ranked = sorted(
        np.flatnonzero(looks_like != actual).tolist(),
        # Rounded, so that copies are in the same order on every machine.
        key=lambda number: (round(float(own[number]), files.DIGITS), known[number].path),
    )
    issues = [
        LabelIssue(
            path=known[number].path,
            label=known[number].label,
            split=known[number].split,
            looks_like=classes[looks_like[number]],
            probability=float(np.exp(answers[number, looks_like[number]])),
            label_probability=float(np.exp(own[number])),
        )
        for number in ranked[: issue_count(answers, actual)]
    ]
    return Findings(issues, len(known), int((looks_like == actual).sum()))


def folds(rows: Sequence[Sample], groups: Sequence[int]) -> NDArray[np.int64]:
    """Distribute the photos of each class over `FOLDS` folds in the order of their SHA-256; groups stay together.

    Returns:
        int64 [n]: 0 … `FOLDS` − 1.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place in sorted(range(len(rows)), key=lambda place: rows[place].sha256):
        members[groups[place]].append(place)
    dealt: Counter[str] = Counter()
    found = np.empty(len(rows), np.int64)
    for together in members.values():  # in the order of their first photos
        label = rows[together[0]].label
        found[together] = dealt[label] % FOLDS
        dealt[label] += 1
    return found


def issue_count(log_probabilities: NDArray[np.float64], actual: NDArray[np.int64]) -> int:
    """Number of photos confidently classified as another class: the off-diagonal of the confident joint.

    Confidently: the class is at least as probable as it is, on average, for the photos labelled with it. Of several
    such classes the most probable one counts. Where classes overlap, this is more than the number of wrong labels.

    Args:
        log_probabilities: out-of-fold, [n, k].
        actual: class indices [n].
    """
    count = np.bincount(actual, minlength=log_probabilities.shape[1])
    own = np.exp(log_probabilities[np.arange(len(actual)), actual])
    mean = np.bincount(actual, weights=own, minlength=len(count)) / np.maximum(count, 1)
    threshold, found = np.where(count > 0, mean, np.inf), 0
    for rows in blocks(len(actual)):
        probabilities = np.exp(log_probabilities[rows])
        confident = np.where(probabilities >= threshold, probabilities, -1.0)
        found += int(((confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != actual[rows])).sum())
    return found
