"""A user's mistake: one line that says what is wrong, where, and what to do, and exit status 2."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# What a write says of the machine, wherever in a library it happens.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class UserError(Exception):
    """Something that the user can mend. Its message is one line: what is wrong, where, and what to do."""


class DamagedFile(UserError):
    """A file that is not what it should be.

    Attributes:
        fault: what is wrong, and where; what to do about it (`mend`) depends on where the file comes from.
    """

    def __init__(self, fault: str, mend: str):
        super().__init__(f"{fault}; {mend}")
        self.fault = fault


def unwritable(path: Path | str, error: Exception) -> UserError:
    """What to say when a file or a folder can't be written."""
    reason = getattr(error, "strerror", None) or str(error)[:200]
    return UserError(f"{path} can't be written ({reason}): free space, or mend the folder's rights")


def one_line(text: str) -> str:
    """Text that may hold file names, fit for a terminal: one line, control characters written out as Python does."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], " ".join(text.split()))


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; end the process with 2 and one line for a user's mistake, with 130 for Ctrl-C.

    A full or read-only disk is the user's to mend, whatever was being written. Anything else is ours, and keeps its
    traceback.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not ignored, not a stage's
        signal.signal(signal.SIGINT, interrupt)
    try:
        main()
    except BaseException as error:
        # A library makes another exception of it, where Ctrl-C came while it was imported.
        if interrupted or isinstance(error, KeyboardInterrupt):
            print("stopped", file=sys.stderr, flush=True)
            os._exit(130)  # Python's own way out waits for threads, and one that decodes a large photo takes seconds
        if isinstance(error, UserError):
            _end(error)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _end(unwritable(error.filename or "a file", error))
        raise


def _end(error: UserError) -> NoReturn:
    print(f"error: {one_line(str(error))}", file=sys.stderr)
    sys.exit(2)
