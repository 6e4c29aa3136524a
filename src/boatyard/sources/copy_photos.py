"""Photos into their class folders, byte for byte."""

import fcntl
import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.files import sha256_of
from boatyard.sources.base import Progress

FICLONE = 0x40049409  # Linux's ioctl for a copy that shares its blocks until one side is written to


def place(
    targets: Mapping[PurePosixPath, PurePosixPath], root: Path, result: Path, movable: bool, progress: Progress
) -> str:
    """Put each photo at its target below `result`, and hash what lies there.

    Args:
        targets: "<class>/<file>" to the photo's path below `root`; a photo with two labels has two targets.
        root: the folder of photos.
        result: the folder to fill.
        movable: photos may be moved. They are copied otherwise, never linked: raw data must not change with its source.
        progress: makes a progress bar.

    Returns:
        A sha256 over the sorted targets and the sha256 of each one's content.
    """
    total = hashlib.sha256()
    uses = Counter(targets.values())
    made: set[str] = set()
    with progress("placing photos", len(targets), "photo") as bar:
        for target in sorted(targets):
            source, path = root / targets[target], result / target
            if path.parent.name not in made:
                path.parent.mkdir()
                made.add(path.parent.name)
            uses[targets[target]] -= 1
            try:
                if movable and not uses[targets[target]] and not source.is_symlink():
                    source.rename(path)
                else:
                    _copy(source, path)
            except OSError as error:
                raise UserError(
                    f"{source} can't be put into {path.parent.name}/ ({error.strerror}): mend its rights, or free space"
                ) from error
            total.update(f"{target}\0{sha256_of(path)}\n".encode())
            bar.update(1)
    return total.hexdigest()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        try:
            fcntl.ioctl(writing, FICLONE, reading.fileno())
        except OSError:  # another file system, or one without shared blocks
            shutil.copyfileobj(reading, writing, 1 << 20)
