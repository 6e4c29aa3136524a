"""The checks of a classifier's output that every metric relies on."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

# Probabilities from log-probabilities rounded to bfloat16 add up to 1 within 0.02; those from logits do not.
SUM_TOLERANCE = 0.05

_ROWS = 4096


def check(log_probabilities: Floats, actual: Integers) -> None:
    """Check a classifier's log-probabilities for n photos of k classes.

    Args:
        log_probabilities: floating point [n, k], natural logarithms; minus infinity (a probability of 0) is allowed.
        actual: integer [n], each photo's class index.

    Raises:
        ValueError: no photo, shapes that do not match, an index outside the classes, NaN, or rows that are not
            distributions (logits, for instance). Without this check, NaN would count as a right answer.
    """
    if log_probabilities.ndim != 2 or log_probabilities.size == 0:
        raise ValueError(f"log_probabilities have the shape {log_probabilities.shape}; they must be [photos, classes]")
    photos, classes = log_probabilities.shape
    if actual.shape != (photos,):
        raise ValueError(f"actual has the shape {actual.shape}; there are {photos} photos")
    if not np.issubdtype(actual.dtype, np.integer) or actual.min() < 0 or actual.max() >= classes:
        raise ValueError(f"actual must be class indices from 0 to {classes - 1}")
    for rows in blocks(photos):
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.exp(log_probabilities[rows]).sum(axis=1, dtype=np.float64)
        wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)  # "not within", so that NaN is wrong too
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"the probabilities of photo {rows.start + row} add up to {sums[row]:.4g}, not to 1")


def blocks(photos: int) -> Iterator[slice]:
    """Slices of a few thousand photos: an intermediate array takes 32 MB with 1,000 classes."""
    return (slice(start, min(start + _ROWS, photos)) for start in range(0, photos, _ROWS))
