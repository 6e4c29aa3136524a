"""data/features/: the frozen backbone's embeddings of each photo's plain view and of the training photos' random views.

Its files, in the order of data/splits.csv:

    plain.npy   float32 [photos, width]              every photo's plain view
    views.npy   float32 [train photos, views, width] random views 0, 1, … of each training photo
    photos.csv  sha256, split                        the photos, to detect features of another split
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from boatyard.core import files, tables
from boatyard.core.errors import UserError
from boatyard.core.splits import Sample, labels
from boatyard.images.views import PLAIN

_BATCH = 256  # embeddings in memory

# Embeddings of the same views of some photos, float32 [photos, views, width], as `Embeddings.rows` reads them.
ReadRows = Callable[[Sequence[Sample], Sequence[int]], NDArray[np.float32]]


@dataclass(frozen=True)
class Task:
    """A photo, and the numbers of those of its views that are needed."""

    photo: Sample
    numbers: list[int]


def wanted(rows: Sequence[Sample], views: int) -> list[Task]:
    """The views of which there are features: the plain view of every photo, random views of the training photos."""
    return [Task(row, [PLAIN, *range(views)] if row.split == "train" else [PLAIN]) for row in rows]


def write(folder: Path, rows: Sequence[Sample], views: int, width: int, read_rows: ReadRows) -> None:
    """Write data/features/, with so many random `views` of each training photo."""
    # It comes back last, so that the arrays of two runs are not mistaken for those of one.
    (folder / "photos.csv").unlink(missing_ok=True)
    training = [row for row in rows if row.split == "train"]
    _write_array(folder / "plain.npy", (len(rows), width), rows, [PLAIN], read_rows)
    _write_array(folder / "views.npy", (len(training), views, width), training, range(views), read_rows)
    tables.write_csv(folder / "photos.csv", ["sha256", "split"], ((row.sha256, row.split) for row in rows))


def _write_array(
    path: Path, shape: tuple[int, ...], photos: Sequence[Sample], numbers: Sequence[int], read_rows: ReadRows
) -> None:
    """Write the embeddings of these views of the photos as one array.

    Not through a memory map: if the disk is full, that ends the process with a bus error.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    batch = max(1, _BATCH // max(1, len(numbers)))
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header)
        for start in range(0, len(photos), batch):
            file.write(read_rows(photos[start : start + batch], numbers).astype("<f4", copy=False).tobytes())


@dataclass(frozen=True)
class Features:
    """The features of the n photos of data/splits.csv, memory-mapped."""

    rows: list[Sample]
    plain: NDArray[np.float32]  # [n, width]
    views: NDArray[np.float32]  # [train photos, views, width]


def read(folder: Path, rows: list[Sample]) -> Features:
    """Open data/features/; a `UserError` if it is missing, damaged, or of other photos or another split than `rows`."""
    stored = tables.read_csv(folder / "photos.csv")
    if [(row.sha256, row.split) for row in rows] != [(row["sha256"], row["split"]) for row in stored]:
        raise UserError(f"{folder} belongs to other photos than data/splits.csv: run `dvc repro featurize`")
    training = sum(row.split == "train" for row in rows)
    return Features(rows, _opened(folder / "plain.npy", 2, len(rows)), _opened(folder / "views.npy", 3, training))


def _opened(path: Path, dimensions: int, count: int) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}): run `dvc repro featurize`, or `dvc pull`") from None
    if array.dtype != np.float32 or array.ndim != dimensions or len(array) != count:
        raise UserError(f"{path} does not contain features of {count} photos: run `dvc repro featurize`")
    return array


@dataclass(frozen=True)
class Examples:
    """Features and labels of n photos among m; an epoch uses one view of each photo."""

    features: NDArray[np.float32]  # [m, views, width], may be memory-mapped
    labels: NDArray[np.int64]  # [n]
    places: NDArray[np.int64] | None = None  # indices of the n photos among the m, [n]; None: all

    def rows(self, which: NDArray[np.int64] | slice, view: int) -> NDArray[np.float32]:
        """One view of some of the n photos, in memory: float32 [some, width]."""
        return np.array(self.features[which if self.places is None else self.places[which], view])


def examples(features: Features, classes: Sequence[str], split: str) -> Examples:
    """The examples of a split: random views for 'train' if there are any, otherwise plain views."""
    chosen = [place for place, row in enumerate(features.rows) if row.split == split]
    numbers = labels([features.rows[place] for place in chosen], classes)
    if split == "train" and features.views.shape[1]:
        return Examples(features.views, numbers)
    return Examples(features.plain[:, None], numbers, np.array(chosen, np.int64))
