"""Files that this process may not read, whoever runs the tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
SEARCH = 0o011  # passing through a folder: its group, which stays root's, and others


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Change to `folder`, and to a user without special permissions if this process is root's, until the block ends.

    Pytest closes the folders above a test's own to other users; they are passable until then.
    """
    before, root = Path.cwd(), os.geteuid() == 0
    os.chdir(folder)
    folder.chmod(0o777)
    closed = {parent: parent.stat().st_mode for parent in folder.resolve().parents if root}
    closed = {parent: mode for parent, mode in closed.items() if mode & SEARCH != SEARCH}
    for parent, mode in closed.items():
        parent.chmod(mode | SEARCH)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for parent, mode in closed.items():
            parent.chmod(mode)
        os.chdir(before)
