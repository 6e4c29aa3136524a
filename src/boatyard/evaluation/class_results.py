"""The metrics of each class: plots/per_class.csv."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.answers import losses, ranks
from boatyard.evaluation.checks import Floats, Integers
from boatyard.evaluation.intervals import wilson


@dataclass(frozen=True)
class ClassResult:
    """One class on the test photos: a row of plots/per_class.csv, where None is an empty cell.

    `top1_low` and `top1_high` bound Wilson's 95 % interval. The precision of a class that was never predicted is
    undefined.
    """

    label: str
    train_images: int
    test_images: int
    top1: float
    top1_low: float
    top1_high: float
    top3: float
    top5: float
    loss: float
    precision: float | None
    f1: float


def per_class(
    log_probabilities: Floats, actual: Integers, classes: Sequence[str], train_images: Sequence[int]
) -> list[ClassResult]:
    """The metrics of every class, in the order of `classes`.

    Args:
        log_probabilities: [n, k].
        actual: class indices [n].
        classes: k names.
        train_images: k counts of training photos.

    Raises:
        ValueError: not k names or not k counts; a class without a photo, which the split stage rules out; those of
            `checks.check`.
    """
    count = log_probabilities.shape[1]
    if not len(classes) == len(train_images) == count:
        raise ValueError(f"{count} classes, but {len(classes)} names and {len(train_images)} counts")
    rank, loss = ranks(log_probabilities, actual), losses(log_probabilities, actual)
    tests = np.bincount(actual, minlength=count)
    if not tests.all():
        raise ValueError(f"class {classes[int(tests.argmin())]!r} has no test photo")
    predicted = np.bincount(log_probabilities.argmax(axis=1), minlength=count)
    results = []
    for number, label in enumerate(classes):
        own, images, answers = rank[actual == number], int(tests[number]), int(predicted[number])
        right = int((own == 0).sum())
        interval = wilson(right, images)
        result = ClassResult(
            label=label,
            train_images=train_images[number],
            test_images=images,
            top1=right / images,
            top1_low=interval.low,
            top1_high=interval.high,
            top3=float((own < 3).mean()),
            top5=float((own < 5).mean()),
            loss=float(loss[actual == number].mean()),
            precision=right / answers if answers else None,
            f1=2 * right / (images + answers),
        )
        results.append(result)
    return results


def confusion_matrix(actual: Integers, predicted: Integers, classes: int) -> NDArray[np.int64]:
    """Photos by actual class (rows) and predicted class (columns): int64 [k, k]."""
    cells = np.bincount(actual.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)
