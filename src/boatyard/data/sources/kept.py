"""Fetched archives, kept under their sha256 so that a second run needs no network."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from boatyard.errors import UserError


def sha256_of(path: Path) -> str:
    """A file's sha256, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def kept(downloads: Path, sha256: str, what: str, download: Callable[[Path], Path]) -> Path:
    """The file with this sha256: the kept one if it is still sound, or what `download` puts into an empty folder.

    Args:
        downloads: where archives are kept.
        sha256: the file's, and its name there.
        what: what the file is called in a message.
        download: fetches the file into the folder that it is given, and returns where it put it.

    Raises:
        UserError: what was fetched has another sha256.
    """
    path = downloads / sha256
    # Hashing costs a third of a second per 100 MB, and a damaged file must never be taken for a whole one.
    if path.is_file() and sha256_of(path) == sha256:
        return path
    path.unlink(missing_ok=True)
    partial = downloads / f"{sha256}.part"
    partial.mkdir(parents=True, exist_ok=True)
    fetched = download(partial)
    found = sha256_of(fetched)
    if found != sha256:
        fetched.unlink()
        raise UserError(
            f"{what} has sha256 {found}, and params.yaml says {sha256}: "
            "it is another file than the one meant; mend dataset.sha256 if you trust this one"
        )
    fetched.replace(path)
    shutil.rmtree(partial)
    return path
