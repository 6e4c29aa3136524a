"""Fetching data sets. Every source ends in the same folder: data/raw/<class>/<file>, original bytes.

A source is a module with one function, `fetch`, that makes files available and lists the photos among them, most with
the help of `layouts`; `boatyard.params.dataset.SOURCES` is their registry. `naming` then chooses file names, and
`copy_photos` copies the photos.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from boatyard.params.dataset import SOURCES, DatasetSection
from boatyard.sources import naming
from boatyard.sources.copy_photos import copy_photos
from boatyard.sources.interface import Listing, Progress, Workspace

__all__ = ["Fetched", "fetch"]


@dataclass(frozen=True)
class Fetched:
    """The content of data/raw and where it came from."""

    source: str  # a package, a folder or an address, without secrets
    version: str  # empty if the source has none
    sha256: str  # of the archive, or over the photos' paths and contents if there is no archive
    licence: str
    images: int  # number of photos
    classes: int
    notes: tuple[str, ...]  # what was left out, one sentence each


def fetch(dataset: DatasetSection, raw: Path, downloads: Path, incoming: Path, progress: Progress) -> Fetched:
    """Fetch the data set's photos into `raw`, one folder per class. On failure `raw` stays as it was.

    The other folders are as in `Workspace`.

    Raises:
        UserError: the source can't be reached or is not what params.yaml says, or the layout does not match it.
    """
    with _replacing_folder(raw) as (scratch, result):
        source = import_module(f"boatyard.sources.{SOURCES[type(dataset)]}")
        listing: Listing = source.fetch(dataset, Workspace(scratch, downloads, incoming, progress))
        targets = naming.assign(listing.photos)
        sha256 = copy_photos(targets, listing.root, result, listing.files.movable, progress)
    return Fetched(
        source=listing.files.name,
        version=listing.files.version,
        sha256=listing.files.sha256 or sha256,
        licence=dataset.licence,
        images=len(targets),
        classes=len({photo.label for photo in listing.photos}),
        notes=listing.notes,
    )


@contextmanager
def _replacing_folder(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a scratch folder and an empty folder next to `path`; the latter replaces `path` if the block succeeds.

    Both have fixed names, so that the next run removes what a killed run left.
    """
    work = path.with_name(f".{path.name}.part")
    if work.exists():
        shutil.rmtree(work)
    scratch, result, old = work / "scratch", work / "result", work / "old"
    scratch.mkdir(parents=True)
    result.mkdir()
    try:
        yield scratch, result
        if path.exists():
            path.replace(old)
        result.replace(path)
    finally:
        shutil.rmtree(work)
