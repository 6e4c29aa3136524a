"""A disk of its own, small enough to fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = 4096


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._ballast = folder / "ballast"

    def leave(self, size: int) -> None:
        """Fill the disk until so many bytes are free, whole blocks of them."""
        self.clear()
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._free() - size // BLOCK * BLOCK)

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def forbid_writing(self) -> None:
        self._mount("-o", "remount,ro")

    def _free(self) -> int:
        about = os.statvfs(self.folder)
        return about.f_bavail * about.f_frsize

    def _mount(self, *options: str) -> None:
        done = subprocess.run(
            ["mount", *options, "-t", "tmpfs", "tmpfs", str(self.folder)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no disk can be mounted here, which takes root's rights: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a disk of so many megabytes at `folder`; skip the test where that can't be done."""
    folder.mkdir()
    disk = SmallDisk(folder)
    disk._mount("-o", f"size={megabytes}m")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def blocks(path: Path) -> int:
    """The bytes that a file, or the files below a folder, take on such a disk."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(-(-file.stat().st_size // BLOCK) * BLOCK for file in files)
