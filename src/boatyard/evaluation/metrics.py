"""The figures of a classifier on n photos of k classes.

Ties between equally probable classes go to the class that stands first, everywhere: in the predicted class and in
top-k. A photo's predicted class is right exactly when its rank is 0. Accuracies are fractions, losses are in nats.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.evaluation.calibration import expected_calibration_error, reliability
from boatyard.evaluation.checks import Floats, Integers, check
from boatyard.evaluation.intervals import accuracy_interval, wilson


def ranks(log_probabilities: Floats, actual: Integers) -> NDArray[np.int64]:
    """How many classes come before the right one: int64 [n], 0 where the prediction is right.

    Args:
        log_probabilities: [n, k].
        actual: class indices [n].

    Raises:
        ValueError: see `checks.check`.

    """
    check(log_probabilities, actual)
    own = np.take_along_axis(log_probabilities, actual[:, None], axis=1)
    higher = (log_probabilities > own).sum(axis=1)
    earlier = np.arange(log_probabilities.shape[1]) < actual[:, None]
    return np.asarray(higher + ((log_probabilities == own) & earlier).sum(axis=1), np.int64)


def top_k(rank: Integers, k: int) -> float:
    """Share of photos whose right class is among the k most probable; 1 where there are no more than k classes."""
    return float((rank < k).mean())


def losses(log_probabilities: Floats, actual: Integers) -> NDArray[np.float64]:
    """Cross entropy of each photo, in nats: float64 [n].

    A probability below 2.2e-16 counts as that, as in scikit-learn's `log_loss` of float64: one photo costs at most
    36.04 nats, and the mean stays finite.
    """
    check(log_probabilities, actual)
    own = log_probabilities[np.arange(actual.size), actual].astype(np.float64)
    floor = math.log(np.finfo(np.float64).eps)
    return np.asarray(-np.clip(own, floor, 0.0) + 0.0, np.float64)  # + 0.0: no -0.0


def confusion_matrix(actual: Integers, predicted: Integers, classes: int) -> NDArray[np.int64]:
    """Photos by actual class (rows) and predicted class (columns): int64 [k, k]."""
    cells = np.bincount(actual.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def mean_class_accuracy(confusion: Integers) -> float:
    """Mean accuracy of the classes that have a photo (scikit-learn's `balanced_accuracy_score`)."""
    return float(mean_recall(confusion.diagonal(), confusion.sum(axis=1)))


def macro_f1(confusion: Integers) -> float:
    """Mean of the classes' F1, over the classes that have a photo or were predicted for one.

    Scikit-learn's `f1_score(average="macro", zero_division=0)`: a class without a right answer counts as 0.
    """
    return float(mean_f1(confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)))


def mean_recall(right: NDArray[Any], photos: NDArray[Any]) -> NDArray[np.float64]:
    """`mean_class_accuracy` of many test sets at once, from each class's photos and those named right: [..., k]."""
    return _mean_share(right, photos)


def mean_f1(right: NDArray[Any], photos: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """`macro_f1` of many test sets at once; `predicted` counts the photos that each class was named for: [..., k]."""
    return _mean_share(2 * right, photos + predicted)


def _mean_share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of part / whole over the last axis, without the classes of which there is nothing."""
    present = whole > 0
    shares = np.divide(part, whole, out=np.zeros(whole.shape), where=present)
    return np.asarray(shares.sum(axis=-1) / present.sum(axis=-1), np.float64)


def loss_and_error(log_probabilities: Floats, actual: Integers, *, bins: int) -> dict[str, float]:
    """What a temperature changes: the mean cross entropy and the calibration error."""
    return {
        "loss": float(losses(log_probabilities, actual).mean()),
        "ece": expected_calibration_error(reliability(log_probabilities, actual, bins=bins)),
    }


def summary(
    log_probabilities: Floats, actual: Integers, *, resamples: int, seed: int, bins: int
) -> dict[str, int | float]:
    """The figures of metrics/evaluate.json, in order.

    Args:
        log_probabilities: [n, k].
        actual: class indices [n].
        resamples: of the bootstrap that gives top-1 its 95 % interval.
        seed: of the bootstrap.
        bins: of the calibration error.

    Raises:
        ValueError: see `checks.check`.

    """
    rank = ranks(log_probabilities, actual)
    confusion = confusion_matrix(actual, log_probabilities.argmax(axis=1), log_probabilities.shape[1])
    interval = accuracy_interval(rank == 0, resamples=resamples, seed=seed)
    return {
        "images": actual.size,
        "top1": top_k(rank, 1),
        "top1_low": interval.low,
        "top1_high": interval.high,
        "top3": top_k(rank, 3),
        "top5": top_k(rank, 5),
        "loss": float(losses(log_probabilities, actual).mean()),
        "mean_class_accuracy": mean_class_accuracy(confusion),
        "macro_f1": macro_f1(confusion),
        "ece": expected_calibration_error(reliability(log_probabilities, actual, bins=bins)),
    }


@dataclass(frozen=True)
class ClassResult:
    """One class on the test photos: a row of plots/per_class.csv, where None is an empty cell.

    `top1_low` and `top1_high` bound Wilson's 95 % interval. A class without a test photo has counts alone; the
    precision of a class that was never predicted is undefined.
    """

    label: str
    train_images: int
    test_images: int
    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    top3: float | None = None
    top5: float | None = None
    loss: float | None = None
    precision: float | None = None
    f1: float | None = None


def per_class(
    log_probabilities: Floats, actual: Integers, classes: Sequence[str], train_images: Sequence[int]
) -> list[ClassResult]:
    """The figures of every class, in the order of `classes`.

    Args:
        log_probabilities: [n, k].
        actual: class indices [n].
        classes: k names.
        train_images: k counts of training photos.

    Raises:
        ValueError: not k names or not k counts; see `checks.check` too.

    """
    count = log_probabilities.shape[1]
    if not len(classes) == len(train_images) == count:
        raise ValueError(f"{count} classes, but {len(classes)} names and {len(train_images)} counts")
    rank, loss = ranks(log_probabilities, actual), losses(log_probabilities, actual)
    confusion = confusion_matrix(actual, log_probabilities.argmax(axis=1), count)
    return [
        _class_result(label, images, rank[actual == number], loss[actual == number], int(confusion[:, number].sum()))
        for number, (label, images) in enumerate(zip(classes, train_images, strict=True))
    ]


def _class_result(label: str, train_images: int, rank: Integers, loss: Floats, predicted: int) -> ClassResult:
    """From the class's own photos' ranks and losses, and from how many photos of any class it was predicted for."""
    if rank.size == 0:
        return ClassResult(label, train_images, 0)
    right = int((rank == 0).sum())
    interval = wilson(right, rank.size)
    return ClassResult(
        label=label,
        train_images=train_images,
        test_images=rank.size,
        top1=right / rank.size,
        top1_low=interval.low,
        top1_high=interval.high,
        top3=top_k(rank, 3),
        top5=top_k(rank, 5),
        loss=float(loss.mean()),
        precision=right / predicted if predicted else None,
        f1=2 * right / (rank.size + predicted),
    )
