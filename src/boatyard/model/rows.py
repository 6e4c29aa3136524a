"""A growing file of embeddings by key, in the work folder: what was computed once is not computed again.

Two files: `rows.f32`, the embeddings one after another, and `keys.txt`, a key a line. A row counts once its key's line
is whole, and keys are written after their rows have reached the disk; so a process killed at any moment loses at most
the rows of its last batch.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


class RowStore:
    """Embeddings, float32 [width], by key. One process writes at a time.

    Attributes:
        width: numbers in a row.
    """

    def __init__(self, folder: Path, width: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._rows_path, self._keys_path = folder / "rows.f32", folder / "keys.txt"
        self.width, self._stride = width, 4 * width
        self._rows_path.touch()
        self._keys_path.touch()
        keys = self._keys_path.read_bytes()
        # A line without its end, or a key without its row, is what a killed process left.
        lines = keys[: keys.rfind(b"\n") + 1].decode().splitlines()
        lines = lines[: self._rows_path.stat().st_size // self._stride]
        os.truncate(self._keys_path, sum(len(line) + 1 for line in lines))
        os.truncate(self._rows_path, len(lines) * self._stride)
        self._place = {key: place for place, key in enumerate(lines)}

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def add(self, keys: Sequence[str], rows: Rows) -> None:
        """Append rows [n, width] under n new keys."""
        with self._rows_path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, np.float32).tobytes())
            file.flush()
            os.fsync(file.fileno())
        with self._keys_path.open("ab") as file:
            file.write("".join(f"{key}\n" for key in keys).encode())
            file.flush()
            os.fsync(file.fileno())
        for key in keys:
            self._place[key] = len(self._place)

    def read(self, keys: Iterable[str]) -> Rows:
        """The rows of n keys, float32 [n, width], read from the disk."""
        places = np.array([self._place[key] for key in keys], np.int64)
        if not len(places):
            return np.empty((0, self.width), np.float32)
        stored = np.memmap(self._rows_path, np.float32, "r").reshape(-1, self.width)
        return np.array(stored[places])
