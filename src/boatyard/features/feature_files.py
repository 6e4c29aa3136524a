"""The feature cache: the frozen backbone's embeddings of each photo's plain view and of its random views.

data/features/ holds, in the order of data/splits.csv:

    plain.npy   float32 [photos, width]              every photo's plain view
    views.npy   float32 [train photos, views, width] random views 0, 1, … of each training photo
    photos.csv  sha256, split                        the photos, so that features and splits can't be mixed up
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from boatyard.core import files, tables
from boatyard.core.errors import UserError
from boatyard.core.splits import Sample, labels
from boatyard.features.store import FeatureStore
from boatyard.images.views import PLAIN, Recipe

_BATCH = 256


@dataclass(frozen=True)
class Task:
    """A photo and the numbers of views of it."""

    photo: Sample
    numbers: list[int]


def wanted(rows: Sequence[Sample], views: int) -> list[Task]:
    """The views that the features are made of: the plain one of every photo, random ones of the training photos."""
    return [Task(row, [PLAIN, *range(views)] if row.split == "train" else [PLAIN]) for row in rows]


def write(folder: Path, rows: Sequence[Sample], views: int, recipe: Recipe, store: FeatureStore) -> None:
    """Write data/features/ from the store, a batch of photos in memory at a time."""
    # It comes back last, so that the arrays of two runs are not taken for those of one.
    (folder / "photos.csv").unlink(missing_ok=True)
    training = [row for row in rows if row.split == "train"]
    plain_keys = [recipe.name(row.sha256, PLAIN) for row in rows]
    _write_array(folder / "plain.npy", (len(rows), store.width), plain_keys, store)
    view_keys = [recipe.name(row.sha256, number) for row in training for number in range(views)]
    _write_array(folder / "views.npy", (len(training), views, store.width), view_keys, store)
    tables.write_csv(folder / "photos.csv", ["sha256", "split"], ((row.sha256, row.split) for row in rows))


def _write_array(path: Path, shape: tuple[int, ...], keys: Sequence[str], store: FeatureStore) -> None:
    """Write the rows of `keys` as one array of this shape.

    Not through a memory map: where the disk is full, that ends the process with a bus error.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header)
        for start in range(0, len(keys), _BATCH):
            file.write(store.read(keys[start : start + _BATCH]).astype("<f4", copy=False).tobytes())


@dataclass(frozen=True)
class Features:
    """Cached features of the photos of data/splits.csv, memory-mapped.

    Attributes:
        rows: the n photos.
        plain: float32 [n, width].
        views: float32 [train photos, views, width].
    """

    rows: list[Sample]
    plain: NDArray[np.float32]
    views: NDArray[np.float32]


def read(folder: Path, rows: list[Sample]) -> Features:
    """Open data/features/.

    Raises:
        UserError: it is missing or damaged, or was made for other photos or another split.
    """
    stored = tables.read_csv(folder / "photos.csv")
    if [(row.sha256, row.split) for row in rows] != [(row["sha256"], row["split"]) for row in stored]:
        raise UserError(f"{folder} was made for other photos than data/splits.csv lists: run `dvc repro featurize`")
    training = sum(row.split == "train" for row in rows)
    return Features(rows, _opened(folder / "plain.npy", 2, len(rows)), _opened(folder / "views.npy", 3, training))


def _opened(path: Path, dimensions: int, count: int) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}): run `dvc repro featurize`, or `dvc pull`") from None
    if array.dtype != np.float32 or array.ndim != dimensions or len(array) != count:
        raise UserError(f"{path} holds something else than features of {count} photos: run `dvc repro featurize`")
    return array


@dataclass(frozen=True)
class Examples:
    """Features and what they show.

    Attributes:
        features: float32 [m, views, width], may be memory-mapped; an epoch uses one view of each photo.
        labels: int64 [n].
        places: of the n photos among the m, int64 [n]; None: they are all of them.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    places: NDArray[np.int64] | None = None

    def rows(self, which: NDArray[np.int64] | slice, view: int) -> NDArray[np.float32]:
        """A view of some of the n photos, in memory: float32 [some, width]."""
        return np.array(self.features[which if self.places is None else self.places[which], view])


def examples(features: Features, classes: Sequence[str], split: str) -> Examples:
    """What the head trains on (split 'train': random views where there are any) or is judged by (plain views)."""
    chosen = [place for place, row in enumerate(features.rows) if row.split == split]
    numbers = labels([features.rows[place] for place in chosen], classes)
    if split == "train" and features.views.shape[1]:
        return Examples(features.views, numbers)
    return Examples(features.plain[:, None], numbers, np.array(chosen, np.int64))
