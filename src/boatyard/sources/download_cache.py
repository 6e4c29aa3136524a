"""Fetched archives, cached under their sha256 so that a second run needs no network."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import sha256_of


def cached(downloads: Path, sha256: str, title: str, key: str, download: Callable[[Path], Path]) -> Path:
    """The file with this sha256: from the folder `downloads` if it is intact there, otherwise from `download`.

    Args:
        downloads: where files are cached, each under its sha256.
        sha256: the file's.
        title: what messages call the file.
        key: the key of params.yaml that `sha256` comes from.
        download: fetches the file into a folder, which still contains what an interrupted download left.

    Raises:
        UserError: the fetched file has another sha256, or `downloads` can't be written.
    """
    path = downloads / sha256
    # Hashing takes a third of a second per 100 MB, and a damaged file must never be mistaken for a whole one.
    if _is_file(path) and sha256_of(path) == sha256:
        return path
    partial = downloads / f"{sha256}.part"
    make_folder(partial)
    path.unlink(missing_ok=True)
    fetched = download(partial)
    found = sha256_of(fetched)
    # Cached under its actual sha256: if params.yaml is corrected, a large file need not be fetched again.
    _is_file(downloads / found)
    fetched.replace(downloads / found)
    shutil.rmtree(partial)
    check_sha256(found, sha256, title, key)
    return path


def make_folder(path: Path) -> None:
    """Create a folder and its parents unless it exists; a `UserError` if it can't be, or if a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise not_a_directory(next(place for place in (path, *path.parents) if os.path.lexists(place))) from None
    except OSError as error:
        raise cannot_write(path, error) from error


def not_a_directory(path: Path) -> UserError:
    """The error for something that is where a directory is needed."""
    return UserError(f"{path} is not a directory, and one is needed there: move it away")


def _is_file(path: Path) -> bool:
    if path.is_dir():
        raise UserError(f"{path} is a directory, and a file is needed there: move it away")
    return path.is_file()


def check_sha256(found: str, expected: str, title: str, key: str) -> None:
    """Raise a `UserError` if a file does not have the sha256 that `key` of params.yaml says."""
    if found != expected:
        raise UserError(
            f"{title} has sha256 {found}, but {key} is {expected}: it is not the expected file; "
            f"set {key} to the former if you trust it"
        )
