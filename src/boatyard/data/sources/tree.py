"""The files of a folder that can be photos."""

import os
from pathlib import Path, PurePosixPath

from boatyard.errors import UserError

# What file managers, archivers and DVC leave beside the photos. Hidden files are skipped as well.
CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}

# What a file is, decoding it tells; these are for messages, and for what `boatyard predict` looks for in a folder.
PHOTO_SUFFIXES = {
    *(".jpg", ".jpeg", ".mpo", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".jp2", ".avif", ".heic"),  # which are refused, with a reason
}


def files(folder: Path, shown: str) -> list[PurePosixPath]:
    """Every file at any depth below `folder`, relative to it and sorted, without hidden files and clutter.

    A link counts if it leads to a file inside the folder.

    Raises:
        UserError: a link leads elsewhere or to a folder, or a name is not UTF-8.
    """
    inside = folder.resolve()
    found = []
    for parent, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        here = Path(parent)
        for name in folders:
            if (here / name).is_symlink():
                raise _link(here / name, folder, shown)
        for name in names:
            if is_clutter(name):
                continue
            path = here / name
            if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(inside)):
                raise _link(path, folder, shown)
            if path.is_file():
                found.append(_utf8(PurePosixPath(path.relative_to(folder).as_posix()), shown))
    return sorted(found)


def looks_like_photo(path: PurePosixPath) -> bool:
    """Whether the name says so."""
    return path.suffix.lower() in PHOTO_SUFFIXES


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's: hidden, or left by a system or by DVC."""
    return name.startswith(".") or name.lower() in CLUTTER or name.endswith(".dvc")


def _utf8(path: PurePosixPath, shown: str) -> PurePosixPath:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = str(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(f"{shown}: the file name {name} is not UTF-8: rename the file") from None
    return path


def _link(path: Path, folder: Path, shown: str) -> UserError:
    return UserError(
        f"{shown}: {path.relative_to(folder).as_posix()} is a link to a folder, or out of {shown}; "
        "put the files themselves there (`dvc unprotect` does it for a folder that DVC tracks)"
    )


def _fail(error: OSError) -> None:
    raise UserError(f"{error.filename} can't be read ({error.strerror}): mend its rights") from error
