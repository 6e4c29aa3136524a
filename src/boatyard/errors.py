"""A user's mistake: one line that says what is wrong, where, and what to do, and exit status 2."""

import re
import sys
from collections.abc import Callable


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


def one_line(text: str) -> str:
    """Text that may hold file names, fit for a terminal: one line, control characters written out as Python does."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], " ".join(text.split()))


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; end the process with 2 and one line for a user's mistake, with 130 for Ctrl-C.

    Anything else is ours, and keeps its traceback.
    """
    try:
        main()
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
