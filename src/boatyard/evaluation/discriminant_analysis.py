"""A classifier of embeddings that is fitted in closed form: linear discriminant analysis with a shrunken covariance.

Each class is a Gaussian with its own mean and the covariance of all (Fisher 1936); that one is drawn towards a multiple
of the identity (Friedman, Regularized Discriminant Analysis, JASA 1989), without which it could not be inverted where
there are fewer photos than numbers in an embedding. It needs sums over photos and no epochs, so that leaving a fold
out is a subtraction, and the folds of all photos together cost about as much as one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# How far the covariance is drawn towards the identity: see benchmarks/label_errors.py for what others would do.
SHRINKAGE = 0.3

# Photos in memory at a time, as float64.
_ROWS = 1024


def out_of_fold(
    features: NDArray[np.float32], labels: Integers, folds: Integers, classes: int, *, shrinkage: float = SHRINKAGE
) -> Floats:
    """Each photo's log-probabilities by a classifier that was fitted to the other folds alone.

    They are overconfident, as embeddings are no Gaussians: a temperature is to be fitted to them. Everything is summed
    in float64, so that the order in which a BLAS library adds, which changes with its threads, does not show in six
    decimals.

    Args:
        features: [n, width], may be memory-mapped; a few rows are read at a time.
        labels: class indices [n].
        folds: each photo's fold [n], any numbers.
        classes: k.
        shrinkage: in (0, 1].

    Returns:
        float64 [n, k]; −inf for a class without a photo in the other folds, and in the whole row where there is none.
    """
    centre = features.mean(axis=0, dtype=np.float64)
    everything = _sums(features, labels, np.arange(len(labels)), classes, centre)
    found = np.full((len(labels), classes), -np.inf)
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        others = everything.without(_sums(features, labels, held, classes, centre))
        if not others.images.any():
            continue
        weights, bias = _fit(others, shrinkage)
        for start in range(0, len(held), _ROWS):
            places = held[start : start + _ROWS]
            found[places] = log_softmax((features[places] - centre) @ weights + bias, axis=1)
    return found


class _Sums(NamedTuple):
    """Of some photos: each class's number [k] and sum of embeddings [k, width]; of all, the products [width, width]."""

    images: Floats
    sums: Floats
    products: Floats

    def without(self, other: "_Sums") -> "_Sums":
        return _Sums(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


def _sums(features: NDArray[np.float32], labels: Integers, places: Integers, classes: int, centre: Floats) -> _Sums:
    width = features.shape[1]
    sums, products = np.zeros((classes, width)), np.zeros((width, width))
    for start in range(0, len(places), _ROWS):
        some = places[start : start + _ROWS]
        rows = features[some] - centre
        np.add.at(sums, labels[some], rows)
        products += rows.T @ rows
    return _Sums(np.bincount(labels[places], minlength=classes).astype(np.float64), sums, products)


def _fit(photos: _Sums, shrinkage: float) -> tuple[Floats, Floats]:
    """The weights [width, k] and biases [k] of the classes' discriminants."""
    images, width = photos.images, len(photos.products)
    means = photos.sums / np.maximum(images, 1)[:, None]
    within = photos.products - (means * images[:, None]).T @ means
    within /= images.sum()
    # Where the photos of each class are all alike, or it has one, there is no spread to go by but that of all photos.
    spread, whole = within.trace() / width, photos.products.trace() / images.sum() / width
    within *= 1 - shrinkage
    within.flat[:: width + 1] += max(shrinkage * spread, 1e-6 * whole, np.finfo(np.float64).tiny)
    weights = cho_solve(cho_factor(within, overwrite_a=True), means.T)
    with np.errstate(divide="ignore"):
        prior = np.log(images / images.sum())
    return weights, prior - (means * weights.T).sum(axis=1) / 2
