"""A user's mistake: one line that says what is wrong, where, and what to do, and exit status 2."""

import sys
from collections.abc import Callable
from pathlib import Path


class UserError(Exception):
    """Something that the user can mend. Its message is one line: what is wrong, where, and what to do."""


def unwritable(path: Path, error: OSError) -> UserError:
    """What to say when a file or a folder can't be written."""
    return UserError(f"{path} can't be written ({error.strerror or error}): free space, or mend the folder's rights")


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; end the process with 2 and one line for a user's mistake, with 130 for Ctrl-C.

    Anything else is ours, and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        message = " ".join(str(error).split())
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
