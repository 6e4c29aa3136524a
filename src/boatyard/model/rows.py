"""A growing file of embeddings by key, in the work folder: what was computed once is not computed again.

Two files: the embeddings one after another, and a key a line. A row counts once its key's line is whole, and keys are
written after their rows have reached the disk; so a process killed at any moment loses at most the rows of its last
batch.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boatyard.errors import unwritable

Rows = NDArray[np.float32]


class RowStore:
    """Embeddings, float32 [width], by key. One process writes at a time.

    Attributes:
        width: numbers in a row; stores of several widths can share a folder.

    """

    def __init__(self, folder: Path, width: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._rows_path, self._keys_path = folder / f"rows{width}.f32", folder / f"keys{width}.txt"
        self.width, self._stride = width, 4 * width
        self._rows_path.touch()
        self._keys_path.touch()
        # A line without its end, or a key without its row, is what a killed process left; `add` cuts it off.
        lines = self._keys_path.read_bytes().split(b"\n")[:-1]
        lines = lines[: self._rows_path.stat().st_size // self._stride]
        self._place = {line.decode(): place for place, line in enumerate(lines)}
        self._count, self._keys_size = len(lines), sum(len(line) + 1 for line in lines)

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def add(self, keys: Sequence[str], rows: Rows) -> None:
        """Append rows [n, width] under n new keys.

        Raises:
            UserError: the disk is full, or another reason not to write.

        """
        try:
            os.truncate(self._keys_path, self._keys_size)  # first, or an old key could stand for a new row
            _write_from(self._rows_path, self._count * self._stride, np.ascontiguousarray(rows, np.float32).tobytes())
            lines = "".join(f"{key}\n" for key in keys).encode()
            _write_from(self._keys_path, self._keys_size, lines)
        except OSError as error:
            raise unwritable(self._rows_path.parent, error) from error
        self._place.update(zip(keys, range(self._count, self._count + len(keys)), strict=True))
        self._count += len(keys)
        self._keys_size += len(lines)

    def read(self, keys: Iterable[str]) -> Rows:
        """The rows of n keys, float32 [n, width], read from the disk."""
        places = np.array([self._place[key] for key in keys], np.int64)
        if not len(places):
            return np.empty((0, self.width), np.float32)
        stored = np.memmap(self._rows_path, np.float32, "r", shape=(self._count, self.width))
        return np.array(stored[places])


def _write_from(path: Path, offset: int, content: bytes) -> None:
    """Put `content` at `offset` and end the file there: nothing of an interrupted write is left."""
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
