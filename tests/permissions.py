"""Files that this process may not read, whoever runs the tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Go to `folder` and be, if this process is root's, a user without rights until the block ends.

    Paths must be relative in the block: the folders around a test's own are closed to others.
    """
    before = Path.cwd()
    os.chdir(folder)
    folder.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        os.chdir(before)
