"""The files of a folder that can be photos."""

import os
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter

# Folders within folders. No data set has as many, and Python's own walks end at some hundreds.
MOST_LEVELS = 100

# What a file is, decoding it tells; these are for messages, and for what `boatyard predict` looks for in a folder.
PHOTO_SUFFIXES = {
    *(".jpg", ".jpeg", ".mpo", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".jp2", ".avif", ".heic"),  # which are refused, with a reason
}


def files(folder: Path, shown: str) -> list[PurePosixPath]:
    """Every file at any depth below `folder`, relative to it and sorted, without hidden files and clutter.

    A link counts if it leads to a file inside the folder.

    Raises:
        UserError: a link leads elsewhere or to a folder, a name is not UTF-8, something is a pipe or a device, or the
            folders are too deep.
    """
    inside = folder.resolve()
    found = []
    for parent, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        here = Path(parent)
        if len(here.parts) - len(folder.parts) > MOST_LEVELS:
            raise UserError(f"{shown}: folders lie more than {MOST_LEVELS} deep in one another: flatten them")
        for name in folders:
            if (here / name).is_symlink():
                raise _link(here / name, folder, shown)
        for name in names:
            if is_clutter(name):
                continue
            path = here / name
            if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(inside)):
                raise _link(path, folder, shown)
            below = _utf8(PurePosixPath(path.relative_to(folder).as_posix()), shown)
            if not path.is_file():  # reading a pipe might never end
                raise UserError(f"{shown}: {below} is a pipe or a device, and no file: take it out")
            found.append(below)
    return sorted(found)


def looks_like_photo(path: PurePosixPath) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() in PHOTO_SUFFIXES


def _utf8(path: PurePosixPath, shown: str) -> PurePosixPath:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = str(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(f"{shown}: the file name {name} is not UTF-8: rename the file") from None
    return path


def _link(path: Path, folder: Path, shown: str) -> UserError:
    return UserError(
        f"{shown}: {path.relative_to(folder).as_posix()} is a link to a folder, to nothing, or out of {shown}; "
        "put the files themselves there (`dvc unprotect` does it for a folder that DVC tracks)"
    )


def _fail(error: OSError) -> None:
    raise UserError(f"{error.filename} can't be read ({error.strerror}): mend its rights") from error
