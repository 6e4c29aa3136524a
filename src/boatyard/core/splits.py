"""The splits: data/splits.csv, and the split that a data set was published with.

A published split is a prefix of the file names in data/raw: `train__a.jpg`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boatyard.core import files, tables
from boatyard.core.errors import UserError

SPLITS = ("train", "validation", "test")
SEPARATOR = "__"


@dataclass(frozen=True)
class Sample:
    """A photo and its split: a row of data/splits.csv. `path` is relative to data/raw."""

    path: str
    label: str
    split: str
    sha256: str


def read_splits(path: files.Source) -> list[Sample]:
    """Read data/splits.csv."""
    return tables.read_rows(path, Sample)


def class_names(samples: Iterable[Sample]) -> list[str]:
    """The classes in the order that models, metrics and reports use."""
    return sorted({sample.label for sample in samples})


def labels(samples: Iterable[Sample], classes: Sequence[str]) -> NDArray[np.int64]:
    """Each photo's index in `classes`, int64 [n].

    Raises:
        UserError: a label is not in `classes`.
    """
    index = {label: number for number, label in enumerate(classes)}
    try:
        return np.array([index[sample.label] for sample in samples], np.int64)
    except KeyError as error:
        raise UserError(f"the model has no class {error}: run `dvc repro` to train it on these photos") from None


def mark(split: str, name: str) -> str:
    """A photo's file name with its published split as a prefix; `split` is one of `SPLITS`, or empty for none."""
    return f"{split}{SEPARATOR}{name}" if split else name


def split_of(name: str) -> str:
    """The published split in a file name's prefix, or the empty string."""
    split, found, _ = name.partition(SEPARATOR)
    return split if found and split in SPLITS else ""
