"""A classifier's answers to n photos of k classes: what every metric is computed from.

Ties between equally probable classes go to the class that comes first, everywhere: in the predicted class and in the
rank of the right one. A prediction is right exactly where that rank is 0.

Log-probabilities are float [n, k], labels class indices [n]; `checks.check` raises a ValueError if they are not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files
from boatyard.evaluation.checks import Floats, Integers, check
from boatyard.evaluation.predictions import Prediction

# Probabilities in a table are rounded, the smallest ones to 0: half of the last digit is the most they can have been.
_SMALLEST = 0.5 * 10**-files.DIGITS

# The loss of one photo at most, in nats: 36.04.
MOST_LOSS = -math.log(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Answers:
    """A classifier's answers to n photos, arrays [n].

    Attributes:
        actual, predicted: class indices.
        rank: number of classes more probable than the right one. From a table of predictions, which lists the most
            probable classes only: the number of listed classes where the right one is not among them.
        loss: cross entropy in nats.
        confidence: probability of the predicted class.
        top1_gain: 1 for a photo that TTA corrects, −1 for one that it breaks, else 0; all 0 without TTA.
        bins: number of bins of the calibration error.
    """

    actual: Integers
    predicted: Integers
    rank: Integers
    loss: Floats
    confidence: Floats
    top1_gain: Integers
    bins: int

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which photos are classified correctly."""
        return np.asarray(self.rank == 0)

    @property
    def classes(self) -> int:
        """One more than the highest class index."""
        return int(max(self.actual.max(), self.predicted.max())) + 1

    @classmethod
    def from_log_probabilities(cls, log_probabilities: Floats, actual: Integers, *, bins: int) -> "Answers":
        """The answers behind a classifier's output."""
        rank = ranks(log_probabilities, actual)
        confidence = np.exp(log_probabilities.max(axis=1).astype(np.float64))
        return cls(
            actual=actual,
            predicted=log_probabilities.argmax(axis=1),
            rank=rank,
            loss=losses(log_probabilities, actual),
            confidence=np.minimum(confidence, 1.0),  # rounding can lift a certain answer slightly above 1
            top1_gain=np.zeros(actual.size, np.int64),
            bins=bins,
        )

    @classmethod
    def from_predictions(cls, predictions: Sequence[Prediction], classes: Sequence[str], *, bins: int) -> "Answers":
        """The answers in a table of predictions. Losses come from rounded probabilities: at most 14.5 nats.

        `classes` contains every label in them, in any order; there is at least one prediction.
        """
        index = {label: number for number, label in enumerate(classes)}
        plain = [row.predicted if row.plain_predicted is None else row.plain_predicted for row in predictions]
        plain_right = np.array([label == row.actual for label, row in zip(plain, predictions, strict=True)])
        right = np.array([row.right for row in predictions])
        probabilities = np.array([row.actual_probability for row in predictions])
        return cls(
            actual=np.array([index[row.actual] for row in predictions]),
            predicted=np.array([index[row.predicted] for row in predictions]),
            rank=np.array([_rank(row) for row in predictions]),
            loss=-np.log(np.maximum(probabilities, _SMALLEST)),
            confidence=np.array([row.probability for row in predictions]),
            top1_gain=right.astype(np.int64) - plain_right,
            bins=bins,
        )

    def followed_by(self, other: "Answers") -> "Answers":
        """The answers of both, one after the other."""
        names = [field.name for field in fields(self) if field.name != "bins"]
        joined: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        return replace(self, **joined)


def ranks(log_probabilities: Floats, actual: Integers) -> NDArray[np.int64]:
    """Number of classes that come before the right one: int64 [n], 0 where the prediction is right."""
    check(log_probabilities, actual)
    own = np.take_along_axis(log_probabilities, actual[:, None], axis=1)
    higher = (log_probabilities > own).sum(axis=1)
    earlier = np.arange(log_probabilities.shape[1]) < actual[:, None]
    return np.asarray(higher + ((log_probabilities == own) & earlier).sum(axis=1), np.int64)


def losses(log_probabilities: Floats, actual: Integers) -> NDArray[np.float64]:
    """Cross entropy of each photo, in nats: float64 [n].

    A probability below 2.2e-16 counts as that, as in scikit-learn's `log_loss` of float64, so that the mean is finite.
    """
    check(log_probabilities, actual)
    own = log_probabilities[np.arange(actual.size), actual].astype(np.float64)
    return np.asarray(-np.clip(own, -MOST_LOSS, 0.0) + 0.0, np.float64)  # + 0.0: no -0.0


def _rank(row: Prediction) -> int:
    if row.right:
        return 0
    labels = [label for label, _ in row.top]
    return max(1, labels.index(row.actual)) if row.actual in labels else len(labels)
