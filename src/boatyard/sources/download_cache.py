"""Fetched archives, kept under their sha256 so that a second run needs no network."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import sha256_of


def kept(downloads: Path, sha256: str, what: str, key: str, download: Callable[[Path], Path]) -> Path:
    """The file with this sha256: the kept one if it is still sound, or what `download` fetches.

    Args:
        downloads: where archives are kept.
        sha256: the file's, and its name there.
        what: what the file is called in a message.
        key: of params.yaml, where `sha256` stands.
        download: fetches the file into the folder that it is given, and returns where it put it. What a stopped
            download left is still in the folder.

    Raises:
        UserError: what was fetched has another sha256, or `downloads` can't be written.
    """
    path = downloads / sha256
    # Hashing costs a third of a second per 100 MB, and a damaged file must never be taken for a whole one.
    if _file(path) and sha256_of(path) == sha256:
        return path
    partial = downloads / f"{sha256}.part"
    make_folder(partial)
    path.unlink(missing_ok=True)
    fetched = download(partial)
    found = sha256_of(fetched)
    # Under its own sum: a large file need not be fetched again once params.yaml names it.
    _file(downloads / found)
    fetched.replace(downloads / found)
    shutil.rmtree(partial)
    check(found, sha256, what, key)
    return path


def make_folder(path: Path) -> None:
    """Make a folder below the work folder, and its parents, unless it is there.

    Raises:
        UserError: a file is where a folder belongs, or nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise no_folder(next(place for place in (path, *path.parents) if os.path.lexists(place))) from None
    except OSError as error:
        raise cannot_write(path, error) from error


def no_folder(path: Path) -> UserError:
    """What to say of something that is where a folder belongs."""
    return UserError(f"{path} is no folder, and one is needed there: move it away")


def _file(path: Path) -> bool:
    """Whether there is a file; a folder in its place is the user's to move."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, and a file is needed there: move it away")
    return path.is_file()


def check(found: str, sha256: str, what: str, key: str) -> None:
    """Stop unless a file has the sha256 that params.yaml names under `key`."""
    if found != sha256:
        raise UserError(
            f"{what} has sha256 {found}, and {key} is {sha256}: it is another file than the one meant; "
            f"set {key} to the first if you trust it"
        )
