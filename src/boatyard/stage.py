"""How a stage begins and ends.

A stage's script imports this module before all others (ruff's import order holds it there), for importing torch takes
seconds in which Ctrl-C must work too. From then on Ctrl-C ends the process by the signal's default action: at once,
wherever it is, in an import, in a step of a large network, while threads decode. Nothing is tidied up, for nothing need
be: a stage can be killed at any moment (docs/interruptions.md).
"""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from boatyard import errors, paths
from boatyard.errors import UserError

# Not where Ctrl-C is ignored already, as in what a script has put into the background.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`, unless another process is running this stage; `errors.run` tells of mistakes."""

    def alone() -> None:
        name = Path(sys.argv[0]).stem
        with lock(name, paths.LOCKS / name):
            main()

    errors.run(alone)


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
    except OSError as error:
        raise errors.unwritable(path, error) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise UserError(
            f"stage {stage!r} is running in this folder already (process {file.read()}): wait until it has ended, "
            "or end it"
        ) from None
    except OSError:
        pass  # a file system without locks; DVC's own, which can do without, must do
    try:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except OSError as error:
        raise errors.unwritable(path, error) from None
    return file
