"""What every source receives and returns."""

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
    """The folders that a source may use.

    Attributes:
        scratch: an empty folder for unpacked files; it is removed at the end.
        downloads: fetched archives, kept between runs.
        incoming: the user's own photos; read only.
        progress: makes a progress bar.
    """

    scratch: Path
    downloads: Path
    incoming: Path
    progress: Progress


@dataclass(frozen=True)
class SourceFiles:
    """A folder of fetched files and where they came from.

    Attributes:
        folder: the files.
        title: what messages call them.
        name: the source in metrics/download.json, without secrets.
        version: empty if the source has none.
        sha256: the archive's; empty if there is none.
        movable: the files are temporary, so they may be moved instead of copied.
    """

    folder: Path
    title: str
    name: str
    version: str
    sha256: str
    movable: bool


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and its class.

    Attributes:
        path: relative to the listing's root.
        label: the class.
        place: where the label was found, for messages: a folder, or a line of a table.
        relative: the path within the class; its last part is the photo's preferred file name.
        split: "train", "validation" or "test" if the data set is published in splits.
    """

    path: PurePosixPath
    label: str
    place: str
    relative: PurePosixPath
    split: str = ""


@dataclass(frozen=True)
class Listing:
    """The photos of a data set with their classes.

    Attributes:
        files: what was fetched.
        root: the folder that photo paths are relative to.
        photos: one entry per photo and label.
        notes: what was left out, one sentence each.
    """

    files: SourceFiles
    root: Path
    photos: list[LabelledPhoto]
    notes: tuple[str, ...] = ()
