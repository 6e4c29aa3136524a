"""Photos whose label may be wrong: each is judged by a classifier that has not seen it, nor a copy of it.

Confident learning (Northcutt, Jiang and Chuang, Journal of Artificial Intelligence Research 2021) on out-of-fold
probabilities says how many labels are in doubt: of so many photos another class is at least as probable as that class
is, on average, for the photos filed under it. Which ones they are is told by the probability of the label that a photo
has, where it is lowest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files, tables
from boatyard.core.splits import Sample, labels
from boatyard.evaluation import discriminant_analysis, temperature
from boatyard.evaluation.checks import blocks

FOLDS = 5


@dataclass(frozen=True)
class LabelIssue:
    """A photo whose label is in doubt: a row of data/suspects.csv.

    Attributes:
        path, label, split: the photo's.
        looks_like: the most probable class, another one.
        probability: of that class.
        label_probability: of its own.
    """

    path: str
    label: str
    split: str
    looks_like: str
    probability: float
    label_probability: float


@dataclass(frozen=True)
class Findings:
    """What the photos' labels look like from outside.

    Attributes:
        suspects: the least probable label first.
        judged: how many photos could be judged: all but those of a class that stands in one fold alone.
        right: how many of them are most probably what their label says.
    """

    suspects: list[LabelIssue]
    judged: int
    right: int


def find(
    rows: Sequence[Sample], features: NDArray[np.float32], groups: Sequence[int], classes: Sequence[str]
) -> Findings:
    """Look for wrong labels among all photos, whatever their split.

    8 × n × k bytes of memory, and some tens of MB.

    Args:
        rows: n photos.
        features: their embeddings [n, width].
        groups: n numbers; photos of one group, near duplicates, are judged by the same classifier and vouch for each
            other's label no more than for their own.
        classes: k names.
    """
    actual = labels(rows, classes)
    answers = discriminant_analysis.out_of_fold(features, actual, folds(rows, groups), len(classes))
    judged = np.isfinite(answers[np.arange(len(rows)), actual])
    if not judged.any():
        return Findings([], 0, 0)
    known = [row for row, can in zip(rows, judged, strict=True) if can]
    if len(known) < len(rows):
        answers, actual = answers[judged], actual[judged]
    temperature.scale(answers, temperature.fit(answers, actual), out=answers)
    own = answers[np.arange(len(known)), actual]
    looks = answers.argmax(axis=1)
    ranked = sorted(
        np.flatnonzero(looks != actual).tolist(),
        # Rounded, so that copies stand in one order everywhere.
        key=lambda number: (round(float(own[number]), files.DIGITS), known[number].path),
    )
    suspects = [
        LabelIssue(
            path=known[number].path,
            label=known[number].label,
            split=known[number].split,
            looks_like=classes[looks[number]],
            probability=float(np.exp(answers[number, looks[number]])),
            label_probability=float(np.exp(own[number])),
        )
        for number in ranked[: doubtful(answers, actual)]
    ]
    return Findings(suspects, len(known), int((looks == actual).sum()))


def folds(rows: Sequence[Sample], groups: Sequence[int]) -> NDArray[np.int64]:
    """Deal the photos of each class out to `FOLDS` folds in the order of their SHA-256; groups stay together.

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


def doubtful(log_probabilities: NDArray[np.float64], actual: NDArray[np.int64]) -> int:
    """How many photos are confidently taken for another class: those beside the diagonal of the confident joint.

    Confidently: the class is no less probable than it is, on average, for the photos filed under it. Of several such
    classes the most probable one counts. Where classes overlap, that is more than are filed wrongly.

    Args:
        log_probabilities: out-of-fold, [n, k].
        actual: class indices [n].
    """
    count = np.bincount(actual, minlength=log_probabilities.shape[1])
    own = np.exp(log_probabilities[np.arange(len(actual)), actual])
    mean = np.bincount(actual, weights=own, minlength=len(count)) / np.maximum(count, 1)
    enough, found = np.where(count > 0, mean, np.inf), 0
    for rows in blocks(len(actual)):
        probabilities = np.exp(log_probabilities[rows])
        reached = np.where(probabilities >= enough, probabilities, -1.0)
        found += int(((reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != actual[rows])).sum())
    return found


def write_suspects(path: Path, suspects: Iterable[LabelIssue]) -> None:
    """Write data/suspects.csv."""
    tables.write_rows(path, LabelIssue, suspects)


def read_suspects(path: Path) -> list[LabelIssue]:
    """Read data/suspects.csv."""
    return tables.read_rows(path, LabelIssue)
