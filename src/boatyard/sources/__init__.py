"""Where photos come from. Every kind of source ends in the same folder: data/raw/<class>/<file>, original bytes.

A kind is a module with one function that makes a folder of files available (`SourceFiles`); `layouts` says which of
those files are photos of which class, `naming` what they are called, `copy_photos` copies them. A new kind is a new
module, a section in `params/dataset.py` and a case in `_open`.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boatyard.params.dataset import Dataset, FolderDataset, KaggleDataset, PypiDataset, TorchvisionDataset, UrlDataset
from boatyard.sources import copy_photos, folder, kaggle, layouts, naming, pypi, torchvision_datasets, url
from boatyard.sources.base import Progress, SourceFiles

__all__ = ["Fetched", "fetch"]


@dataclass(frozen=True)
class Fetched:
    """What lies in data/raw now, and where it came from."""

    source: str  # a package, a folder, an address: without secrets
    version: str  # "" where the source has none
    sha256: str  # of the archive, or over the photos' paths and contents where there is none
    licence: str
    images: int
    classes: int
    notes: tuple[str, ...]  # what was left out, one sentence each


def fetch(dataset: Dataset, raw: Path, downloads: Path, incoming: Path, progress: Progress) -> Fetched:
    """Make `raw` hold the data set's photos, in a folder per class, whole or not at all.

    Args:
        dataset: the `dataset` section of params.yaml.
        raw: the folder to make or to replace.
        downloads: a folder of fetched archives, named by their sha256, that may be kept between runs.
        incoming: the folder of one's own photos.
        progress: makes a progress bar.

    Raises:
        UserError: the source can't be reached or is not what params.yaml says, or the layout does not fit it.
    """
    with _whole_folder(raw) as (scratch, result):
        origin, listing = _open(dataset, scratch, downloads, incoming, progress)
        targets = naming.assign(listing.photos)
        sha256 = copy_photos.place(targets, listing.root, result, origin.movable, progress)
    return Fetched(
        source=origin.name,
        version=origin.version,
        sha256=origin.sha256 or sha256,
        licence=dataset.licence,
        images=len(targets),
        classes=len({photo.label for photo in listing.photos}),
        notes=listing.notes,
    )


def _open(
    dataset: Dataset, scratch: Path, downloads: Path, incoming: Path, progress: Progress
) -> tuple[SourceFiles, layouts.Listing]:
    match dataset:
        case TorchvisionDataset():  # knows the classes itself
            return torchvision_datasets.fetch(dataset, scratch, downloads, incoming, progress)
        case PypiDataset():
            origin = pypi.fetch(dataset, scratch, downloads, progress)
        case UrlDataset():
            origin = url.fetch(dataset, scratch, downloads, progress)
        case KaggleDataset():
            origin = kaggle.fetch(dataset)
        case FolderDataset():
            origin = folder.fetch(incoming)
    return origin, layouts.read(dataset.layout, origin)


@contextmanager
def _whole_folder(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a scratch folder and an empty one beside `path`; the latter takes `path`'s place if the block ends well.

    The work folder's name is fixed, so that what a killed run left is removed by the next one.
    """
    work = path.with_name(f".{path.name}.part")
    _remove(work)
    scratch, result, old = work / "scratch", work / "result", work / "old"
    scratch.mkdir(parents=True)
    result.mkdir()
    try:
        yield scratch, result
        if path.exists():
            path.replace(old)
        result.replace(path)
    finally:
        _remove(work)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
