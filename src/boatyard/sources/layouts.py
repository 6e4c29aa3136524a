"""Which files of a data set are photos of which class: folders, a table, or folders that are already split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter
from boatyard.params.dataset import FoldersLayout, Layout, SplitFoldersLayout, TableLayout
from boatyard.sources import table
from boatyard.sources.base import SourceFiles
from boatyard.sources.naming import Labelled
from boatyard.sources.walk import files, looks_like_photo

# What data sets call their splits, in lower case, and what they are called here.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Listing:
    """A data set's photos with their classes, and what was left out."""

    root: Path  # the photos' paths start here
    photos: list[Labelled]
    notes: tuple[str, ...]


def read(layout: Layout, origin: SourceFiles) -> Listing:
    """Find the photos and their classes.

    Raises:
        UserError: the layout does not fit the files; the message says what is there instead.
    """
    root = _root(layout, origin)
    shown = origin.shown if root == origin.folder else f"{origin.shown}, folder {layout.root}"
    found = files(root, shown)
    match layout:
        case FoldersLayout():
            photos, notes = _folders(found, shown)
            notes += _empty(root, "*", found)
        case SplitFoldersLayout():
            photos, notes = _split_folders(found, shown)
            notes += _empty(root, "*/*", found)
        case TableLayout():
            photos, notes = table.read(layout, root, found, shown)
    if not photos:
        raise UserError(f"{shown} holds no photos in class folders; it has {_listed(root)}: mend dataset.layout")
    return Listing(root, photos, tuple(notes))


def _root(layout: Layout, origin: SourceFiles) -> Path:
    root = origin.folder / layout.root
    if not root.is_dir():
        raise UserError(
            f"dataset.layout.root: {origin.shown} has no folder {layout.root!r}; it has {_listed(origin.folder)}"
        )
    return root


def _folders(found: Sequence[PurePosixPath], shown: str) -> tuple[list[Labelled], list[str]]:
    photos = [_in_folder(path, 0) for path in found if len(path.parts) > 1]
    if photos and all(photo.label.lower() in SPLIT_NAMES and len(photo.below.parts) > 1 for photo in photos):
        raise UserError(
            f"{shown} is already split, into {', '.join(sorted({photo.label for photo in photos}))}: "
            "set dataset.layout.kind to split_folders"
        )
    if len({photo.label for photo in photos}) == 1:
        # An archive often holds one folder that holds the classes.
        label = photos[0].label
        deeper = {photo.below.parts[0] for photo in photos if len(photo.below.parts) > 1}
        if len(deeper) > 1:
            raise UserError(
                f"{shown} has a single class folder, {label!r}, and {len(deeper)} folders in it: "
                f"if those are the classes, set dataset.layout.root to the path of {label!r}"
            )
    return photos, _outside([path for path in found if len(path.parts) == 1])


def _split_folders(found: Sequence[PurePosixPath], shown: str) -> tuple[list[Labelled], list[str]]:
    tops = sorted({path.parts[0] for path in found if len(path.parts) > 1})
    splits: dict[str, str] = {}
    for top in tops:
        split = SPLIT_NAMES.get(top.lower())
        if split in splits.values():
            both = [name for name, other in splits.items() if other == split]
            raise UserError(f"{shown}: {both[0]!r} and {top!r} both are the {split} folder: join them")
        if split:
            splits[top] = split
    if not splits:
        raise UserError(
            f"{shown} has no train, val or test folder; it has {', '.join(tops[:8]) or 'no folder'}: "
            "mend dataset.layout.root, or set dataset.layout.kind: folders"
        )
    inside = [path for path in found if path.parts[0] in splits and len(path.parts) > 1]
    photos = [_in_folder(path, 1, splits[path.parts[0]]) for path in inside if len(path.parts) > 2]
    others = [top for top in tops if top not in splits]
    notes = [f"{', '.join(others)}: no split's folder, left out"] if others else []
    return photos, notes + _outside([path for path in inside if len(path.parts) == 2])


def _in_folder(path: PurePosixPath, depth: int, split: str = "") -> Labelled:
    """A photo whose class is the folder at `depth` of its path."""
    folder = PurePosixPath(*path.parts[: depth + 1])
    return Labelled(path, path.parts[depth], f"folder {folder}", path.relative_to(folder), split)


def _outside(paths: Sequence[PurePosixPath]) -> list[str]:
    """A note about photos that no class folder holds; a README or a licence there is no mistake."""
    photos = [path for path in paths if looks_like_photo(path)]
    if not photos:
        return []
    return [f"photos outside of class folders, left out: {len(photos):,} (the first: {photos[0]})"]


def _empty(root: Path, classes: str, found: Sequence[PurePosixPath]) -> list[str]:
    """A note about class folders without a photo, which leave no trace in data/raw; `classes` is their pattern."""
    folders = sorted(PurePosixPath(path.relative_to(root)) for path in root.glob(classes) if path.is_dir())
    held = {parent for path in found for parent in path.parents}
    empty = [folder for folder in folders if folder not in held and not any(map(is_clutter, folder.parts))]
    return [f"folders without a photo: {len(empty):,} (the first: {empty[0]})"] if empty else []


def _listed(folder: Path) -> str:
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    names = [name for name in names if not name.startswith(".")]
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "nothing"
