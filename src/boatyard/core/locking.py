"""One process at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO, Any

from boatyard.core import errors
from boatyard.core.errors import UserError


def lock(stage: str, path: Path) -> IO[str]:
    """Take the lock that two processes of one stage can't both have.

    DVC keeps two of its own processes apart. But when `dvc repro` is killed alone, the stage that it started goes on,
    and the next `dvc repro` would start another beside it, which writes the same files.

    Args:
        stage: its name, for the message.
        path: the lock, a file that stays; it holds the number of the process that took it last.

    Returns:
        The open file. Closing it, or the end of the process, however it comes, lets the next one in.

    Raises:
        UserError: another process has the lock, or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        if not take(file):
            file.seek(0)
            raise UserError(
                f"stage {stage!r} is running in this folder already (process {file.read()}): wait until it has ended, "
                "or end it"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except OSError as error:
        raise errors.cannot_write(path, error) from None
    return file


def take(file: IO[Any]) -> bool:
    """Lock a file, unless another process has. Where the file system has no locks, DVC's own must do."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
