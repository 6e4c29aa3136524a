"""Errors that the user can fix: one line that says what is wrong, where, and what to do; exit status 2."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# Failed writes that are the machine's fault, whichever library made them.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class UserError(Exception):
    """Something that the user can fix. The message is one line: what is wrong, where, and what to do."""


class DamagedFile(UserError):
    """A file with the wrong content. The remedy depends on where it comes from; `problem` is the message without it."""

    def __init__(self, problem: str, remedy: str):
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem


def cannot_write(path: Path | str, error: Exception) -> UserError:
    """The error for a file or a folder that can't be written."""
    reason = getattr(error, "strerror", None) or str(error)[:200]
    return UserError(f"{path} can't be written ({reason}): free space, or fix the folder's permissions")


def one_line(text: str) -> str:
    """Text that may contain file names, made safe for a terminal: one line, control characters escaped."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], " ".join(text.split()))


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`: a `UserError` prints one line and exits with 2, Ctrl-C exits with 130.

    A full or read-only disk is the user's to fix, whatever was being written, and so is a package of one of Boatyard's
    extras that is not installed. Any other exception is a bug, and keeps its traceback.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # neither ignored nor a stage's
        signal.signal(signal.SIGINT, interrupt)
    try:
        main()
    except BaseException as error:
        # A library that is interrupted while it is imported may raise another exception instead.
        if interrupted or isinstance(error, KeyboardInterrupt):
            print("stopped", file=sys.stderr, flush=True)
            os._exit(130)  # a normal exit waits for threads, and one that decodes a large photo takes seconds
        if isinstance(error, UserError):
            message = str(error)
        elif isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            message = str(cannot_write(error.filename or "a file", error))
        elif isinstance(error, ModuleNotFoundError) and (extra := _extra_with(str(error.name))):
            message = f"{error.name} is not installed, and this needs it: pip install 'boatyard[{extra}]'"
        else:
            raise
        print(f"error: {one_line(message)}", file=sys.stderr)
        sys.exit(2)


def _extra_with(module: str) -> str | None:
    """The first of Boatyard's extras that requires the package of a module, by its name; None if there is none."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("boatyard") or []
    except PackageNotFoundError:
        return None
    for requirement in requirements:
        found = re.match(r"""([\w-]+).*; extra == ["'](\w+)["']""", requirement)
        if found and found[1].lower().replace("-", "_") == module.split(".")[0].lower():
            return found[2]
    return None
