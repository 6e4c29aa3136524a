"""Locks between processes. The system releases them when a process ends, however it ends."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from boatyard.core.errors import UserError, cannot_write

_UNSUPPORTED = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def lock(stage: str, path: Path) -> Iterator[None]:
    """Keep a second process of the same stage out until the block or the process ends.

    DVC keeps its own processes apart. But if `dvc repro` alone is killed, the stage that it started goes on, and the
    next `dvc repro` would start another process that writes the same files.

    The lock file stays, with the id of the process that took the lock last.

    Raises:
        UserError: another process has the lock, or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = take(path)
        if held is None:
            raise UserError(
                f"stage {stage!r} is already running in this folder (process {path.read_text()}): "
                "wait until it has ended, or end it"
            )
        path.write_text(str(os.getpid()))
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        yield
    finally:
        held.release()


def take(path: Path) -> FileLock | None:
    """Lock a file, or return None if another process has locked it.

    On a file system without locks nothing is locked, and DVC's own locks must do: a lock that is a mere file, which
    filelock offers there, would outlive a killed process.
    """
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return lock
