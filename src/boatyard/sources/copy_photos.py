"""Copying photos into their class folders, byte for byte."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.files import sha256_of
from boatyard.sources.interface import Progress

FICLONE = 0x40049409  # Linux's ioctl for a copy-on-write clone


def copy_photos(
    targets: Mapping[PurePosixPath, PurePosixPath], root: Path, result: Path, movable: bool, progress: Progress
) -> str:
    """Copy photos, and return a sha256 over the sorted targets and the sha256 of each one's content.

    Args:
        targets: from "<class>/<file>" below `result` to the photo's path below `root`; a photo with two labels has two.
        root: the folder of photos.
        result: the folder to fill.
        movable: photos may be moved. Otherwise they are copied, never linked: raw data must not change with its source.
        progress: makes a progress bar.
    """
    total = hashlib.sha256()
    remaining = Counter(targets.values())
    for label in {target.parent for target in targets}:
        (result / label).mkdir()
    with progress("copying photos", len(targets), "photo") as bar:
        for target in sorted(targets):
            source, path = root / targets[target], result / target
            remaining[targets[target]] -= 1
            try:
                if movable and not remaining[targets[target]] and not source.is_symlink():
                    source.rename(path)
                else:
                    _copy(source, path)
            except OSError as error:
                raise UserError(
                    f"{source} can't be copied into {path.parent.name}/ ({error.strerror}): "
                    "fix its permissions, or free disk space"
                ) from error
            total.update(f"{target}\0{sha256_of(path)}\n".encode())
            bar.update(1)
    return total.hexdigest()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        try:
            import fcntl

            fcntl.ioctl(writing, FICLONE, reading.fileno())
        except (ImportError, OSError):  # Windows; another file system, or one without clones
            shutil.copyfileobj(reading, writing, 1 << 20)
