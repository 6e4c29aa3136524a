"""Which files of a data set are photos of which class: folders, a table, or folders that are already split."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter
from boatyard.images.formats import has_photo_suffix
from boatyard.params.dataset import FoldersLayout, Layout, SplitFoldersLayout, TableLayout
from boatyard.sources import naming, table
from boatyard.sources.interface import LabelledPhoto, Listing, SourceFiles, counted
from boatyard.sources.walk import list_files

# The names that data sets give their splits, in lower case, and the names used here.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def read(layout: Layout, files: SourceFiles) -> Listing:
    """Find the photos and their classes.

    Raises:
        UserError: the layout does not match the files; the message says what was found instead.
    """
    root = files.folder / layout.root
    if not root.is_dir():
        raise UserError(
            f"dataset.layout.root: {files.title} has no folder {layout.root!r}; it has {_content(files.folder)}"
        )
    title = files.title if root == files.folder else f"{files.title}, folder {layout.root}"
    found = list_files(root, title)
    match layout:
        case FoldersLayout():
            photos, notes = _folders(found, title)
            notes += _empty_folders(root, "*", found)
        case SplitFoldersLayout():
            photos, notes = _split_folders(found, title)
            notes += _empty_folders(root, "*/*", found)
        case TableLayout():
            photos, notes = table.read(layout, root, found, title)
    if not photos:
        raise UserError(f"{title} has no photos in class folders; it has {_content(root)}: correct dataset.layout")
    if not isinstance(layout, TableLayout):  # which renames values before it joins them
        photos = naming.rename(photos, layout.rename, title)
    return Listing(files, root, photos, tuple(notes))


def _folders(found: Sequence[PurePosixPath], title: str) -> tuple[list[LabelledPhoto], list[str]]:
    photos = [_in_folder(path, 0) for path in found if len(path.parts) > 1]
    if photos and all(photo.label.lower() in SPLIT_NAMES and len(photo.relative.parts) > 1 for photo in photos):
        raise UserError(
            f"{title} is already split, into {', '.join(sorted({photo.label for photo in photos}))}: "
            "set dataset.layout.kind to split_folders"
        )
    if len({photo.label for photo in photos}) == 1:
        # Many archives contain a single folder with the class folders inside.
        label = photos[0].label
        deeper = {photo.relative.parts[0] for photo in photos if len(photo.relative.parts) > 1}
        if len(deeper) > 1:
            raise UserError(
                f"{title} has a single class folder, {label!r}, and {len(deeper)} folders in it: "
                f"if those are the classes, set dataset.layout.root to the path of {label!r}"
            )
    return photos, _outside([path for path in found if len(path.parts) == 1])


def _split_folders(found: Sequence[PurePosixPath], title: str) -> tuple[list[LabelledPhoto], list[str]]:
    tops = sorted({path.parts[0] for path in found if len(path.parts) > 1})
    splits = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    for top, split in splits.items():
        first = next(name for name, other in splits.items() if other == split)
        if first != top:
            raise UserError(f"{title}: {first!r} and {top!r} are both the {split} folder: merge them")
    if not splits:
        raise UserError(
            f"{title} has no train, val or test folder; it has {', '.join(tops[:8]) or 'no folder'}: "
            "correct dataset.layout.root, or set dataset.layout.kind: folders"
        )
    inside = [path for path in found if path.parts[0] in splits and len(path.parts) > 1]
    photos = [_in_folder(path, 1, splits[path.parts[0]]) for path in inside if len(path.parts) > 2]
    others = [top for top in tops if top not in splits]
    notes = [f"folders that are not a split, left out: {', '.join(others)}"] if others else []
    return photos, notes + _outside([path for path in inside if len(path.parts) == 2])


def _in_folder(path: PurePosixPath, depth: int, split: str = "") -> LabelledPhoto:
    """A photo whose class is the folder at `depth` of its path."""
    folder = PurePosixPath(*path.parts[: depth + 1])
    return LabelledPhoto(path, path.parts[depth], f"folder {folder}", path.relative_to(folder), split)


def _outside(paths: Sequence[PurePosixPath]) -> list[str]:
    """A note about photos outside of class folders. Other files there, such as a README, are expected."""
    return counted("photos outside of class folders, left out", [path for path in paths if has_photo_suffix(path)])


def _empty_folders(root: Path, classes: str, found: Sequence[PurePosixPath]) -> list[str]:
    """A note about class folders without a photo, which are absent from data/raw; `classes` is their glob pattern."""
    folders = sorted(PurePosixPath(path.relative_to(root)) for path in root.glob(classes) if path.is_dir())
    used = {parent for path in found for parent in path.parents}
    empty = [folder for folder in folders if folder not in used and not any(map(is_clutter, folder.parts))]
    return counted("folders without a photo", empty)


def _content(folder: Path) -> str:
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    names = [name for name in names if not name.startswith(".")]
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "nothing"
