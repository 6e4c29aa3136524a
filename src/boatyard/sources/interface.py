"""What every source receives and returns."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol


class Bar(Protocol):
    """A progress bar, such as tqdm's."""

    def update(self, n: int, /) -> Any: ...


class Progress(Protocol):
    """Makes a progress bar from a description, the total (None if unknown) and the unit."""

    def __call__(self, description: str, total: int | None, unit: str, /) -> AbstractContextManager[Bar]: ...


@dataclass(frozen=True)
class Workspace:
    """The folders that a source may use."""

    scratch: Path  # empty, for unpacked files; it is removed at the end
    downloads: Path  # fetched archives, kept between runs
    incoming: Path  # the user's own photos; read only
    progress: Progress


@dataclass(frozen=True)
class SourceFiles:
    """A folder of fetched files and where they came from."""

    folder: Path
    title: str  # what messages call the files
    name: str  # the source in metrics/download.json, without secrets
    version: str  # empty if the source has none
    sha256: str  # of the archive; empty if there is none
    movable: bool  # the files are temporary, so they may be moved instead of copied


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and its class."""

    path: PurePosixPath  # relative to the listing's root
    label: str
    place: str  # where the label was found, for messages: a folder, or a line of a table
    relative: PurePosixPath  # the path within the class; its last part is the photo's preferred file name
    split: str = ""  # "train", "validation" or "test" if the data set is published in splits


@dataclass(frozen=True)
class Listing:
    """The photos of a data set with their classes."""

    files: SourceFiles
    root: Path  # the folder that photo paths are relative to
    photos: list[LabelledPhoto]  # one entry per photo and label
    notes: tuple[str, ...] = ()  # what was left out, one sentence each


def counted(what: str, found: Sequence[object]) -> list[str]:
    """A note about what was left out; none if nothing was `found`."""
    return [f"{what}: {len(found):,} (the first: {found[0]})"] if found else []
