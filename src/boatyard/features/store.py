"""Growing files of embeddings by key, in the work folder: what was computed once is not computed again.

A part is two files: the embeddings one after another, and a key a line. A row counts once its key's line is whole, and
keys are written after their rows have reached the disk; so a process killed at any moment loses at most the rows of its
last batch. Each process that adds rows has a part of its own, and reads all.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from boatyard.core import locking
from boatyard.core.errors import cannot_write

Rows = NDArray[np.float32]


class FeatureStore:
    """Embeddings, float32 [width], by key, of all the parts in a folder.

    Args:
        folder: of the parts; it is made if need be.
        width: numbers in a row; stores of several widths can share a folder.
        rank: this process's number among those that share the work.
        size: how many they are. They never write the same part, also where the file system has no locks, which keep
            separate runs apart.

    Raises:
        UserError: the folder can't be made.
    """

    def __init__(self, folder: Path, width: int, rank: int = 0, size: int = 1):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from None
        self.width, self._folder, self._numbers = width, folder, (rank, size)
        self._own: tuple[_Part, FileLock] | None = None
        self.reopen()

    def reopen(self) -> None:
        """Find what other processes have added."""
        paths = self._folder.glob(f"keys{self.width}.*.txt")
        numbers = sorted(int(path.stem.rpartition(".")[2]) for path in paths)
        self._parts = [_Part(self._folder, self.width, number) for number in numbers]
        if self._own:
            own = self._own[0]
            self._parts = [own, *(part for part in self._parts if part.number != own.number)]

    def __contains__(self, key: str) -> bool:
        return any(key in part.places for part in self._parts)

    def add(self, keys: Sequence[str], rows: Rows) -> None:
        """Append rows [n, width] under n new keys.

        Raises:
            UserError: the disk is full, or another reason not to write.
        """
        try:
            if not self._own:
                self._own = self._first_free()
                self.reopen()
            self._own[0].add(keys, rows)
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def read(self, keys: Iterable[str]) -> Rows:
        """The rows of n keys, float32 [n, width], read from the disk.

        Raises:
            KeyError: one is not there.
        """
        asked = list(keys)
        rows = np.empty((len(asked), self.width), np.float32)
        left = list(range(len(asked)))
        for part in self._parts:
            here = [place for place in left if asked[place] in part.places]
            rows[here] = part.read([asked[place] for place in here])
            left = [place for place in left if asked[place] not in part.places]
        if left:
            raise KeyError(asked[left[0]])
        return rows

    def _first_free(self) -> tuple["_Part", FileLock]:
        """The first part that no other process writes, and the lock on it."""
        for number in count(*self._numbers):
            if lock := locking.take(self._folder / f"lock{self.width}.{number}"):
                return _Part(self._folder, self.width, number), lock
        raise AssertionError("there is no last number")


class _Part:
    def __init__(self, folder: Path, width: int, number: int):
        self.number, self._width, self._stride = number, width, 4 * width
        self._rows_path, self._keys_path = folder / f"rows{width}.{number}.f32", folder / f"keys{width}.{number}.txt"
        # A line without its end, or a key without its row, is what a killed process left; `add` cuts it off.
        lines = self._keys_path.read_bytes().split(b"\n")[:-1] if self._keys_path.exists() else []
        lines = lines[: self._rows_path.stat().st_size // self._stride if self._rows_path.exists() else 0]
        self.places = {line.decode(): place for place, line in enumerate(lines)}
        self._count, self._keys_size = len(lines), sum(len(line) + 1 for line in lines)

    def add(self, keys: Sequence[str], rows: Rows) -> None:
        lines = "".join(f"{key}\n" for key in keys).encode()
        for path in (self._rows_path, self._keys_path):
            path.touch()
        os.truncate(self._keys_path, self._keys_size)  # first, or an old key could stand for a new row
        _write_from(self._rows_path, self._count * self._stride, np.ascontiguousarray(rows, np.float32).tobytes())
        _write_from(self._keys_path, self._keys_size, lines)
        self.places.update(zip(keys, range(self._count, self._count + len(keys)), strict=True))
        self._count += len(keys)
        self._keys_size += len(lines)

    def read(self, keys: Sequence[str]) -> Rows:
        places = np.array([self.places[key] for key in keys], np.int64)
        if not len(places):
            return np.empty((0, self._width), np.float32)
        stored = np.memmap(self._rows_path, np.float32, "r", shape=(self._count, self._width))
        return np.array(stored[places])


def _write_from(path: Path, offset: int, content: bytes) -> None:
    """Put `content` at `offset` and end the file there: nothing of an interrupted write is left."""
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
