"""The files of a data set's folder."""

import os
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter

# Nested folders. No data set has as many, and Python's recursive functions fail at some hundreds.
MAX_DEPTH = 100


def list_files(folder: Path, title: str) -> list[PurePosixPath]:
    """Every file at any depth below `folder`, relative to it and sorted, without hidden files and clutter.

    A link counts if it leads to a file inside the folder. Messages call the folder `title`.

    Raises:
        UserError: a link leads elsewhere or to a folder, a name is not UTF-8, something is a pipe or a device, or the
            folders are nested too deep.
    """
    inside = folder.resolve()
    found = []
    for parent, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        here = Path(parent)
        if len(here.parts) - len(folder.parts) > MAX_DEPTH:
            raise UserError(f"{title}: folders are nested more than {MAX_DEPTH} deep: flatten them")
        for name in folders:
            if (here / name).is_symlink():
                raise _bad_link(here / name, folder, title)
        for path in (here / name for name in names if not is_clutter(name)):
            if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(inside)):
                raise _bad_link(path, folder, title)
            relative = _utf8(PurePosixPath(path.relative_to(folder).as_posix()), title)
            if not path.is_file():  # reading a pipe might block forever
                raise UserError(f"{title}: {relative} is a pipe or a device, not a file: remove it")
            found.append(relative)
    return sorted(found)


def _utf8(path: PurePosixPath, title: str) -> PurePosixPath:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = str(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(f"{title}: the file name {name} is not UTF-8: rename the file") from None
    return path


def _bad_link(path: Path, folder: Path, title: str) -> UserError:
    return UserError(
        f"{title}: {path.relative_to(folder).as_posix()} is a link to a folder, to nothing or out of {title}: "
        "replace it with the files themselves (`dvc unprotect` does this for a folder that DVC tracks)"
    )


def _fail(error: OSError) -> None:
    raise UserError(f"{error.filename} can't be read ({error.strerror}): fix its permissions") from error
