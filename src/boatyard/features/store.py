"""Files of embeddings by key, in the work folder: what was computed once is not computed again.

A part is two files: the embeddings one after another, and an index with a record per embedding: a hash of its key, a
checksum of key and embedding, and a checksum of the record. An embedding counts once its record is complete. Records
are written after their embeddings have reached the disk, so a process killed at any moment loses at most its last
batch. Each process that adds embeddings has a part of its own, and reads all.

A damaged record or embedding is reported, and from then on missing.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from boatyard.core import locking
from boatyard.core.errors import UserError, cannot_write

Rows = NDArray[np.float32]

_HASH = 16  # bytes of a key's hash
RECORD = _HASH + 4 + 4  # bytes of a record
_DELETED = bytes(_HASH + 4)  # the content of a record in place of a damaged one


class DamagedRows(UserError):
    """Embeddings that were there do not match their checksums; they are now missing."""


class FeatureStore:
    """Embeddings, float32 [width], by key, from all parts in a folder.

    Args:
        folder: of the parts; it is created if necessary.
        width: dimension of an embedding; stores of several widths can share a folder.
        rank, size: the number of this process among those that share the work, and how many they are. They never write
            the same part, even if the file system has no locks, which keep separate runs apart.
        report: is called with one line about damage in the files. Only rank 0 does that, and clears the damage up.

    Raises:
        UserError: the folder can't be created.
    """

    def __init__(self, folder: Path, width: int, rank: int = 0, size: int = 1, report: Callable[[str], object] = print):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from None
        self.width, self._folder, self._rank, self._size, self._report = width, folder, rank, size, report
        self._own: tuple[_Part, FileLock] | None = None
        self.reopen()
        # Only now, before any process that shares the work writes: on a file system without locks, a record that is
        # being written could be mistaken for a damaged one.
        for part in self._parts:
            if part.damaged and self._delete(part, part.damaged):
                self._report_damage(part.index_path)

    def reopen(self) -> None:
        """Find what other processes have added."""
        own = [self._own[0]] if self._own else []
        paths = self._folder.glob(f"index{self.width}.*.bin")
        numbers = {int(path.stem.rpartition(".")[2]) for path in paths} - {part.number for part in own}
        self._parts = own + [_Part(self._folder, self.width, number) for number in sorted(numbers)]

    def __contains__(self, key: str) -> bool:
        hashed = _hash(key)
        return any(hashed in part.places for part in self._parts)

    def add(self, keys: Sequence[str], rows: Rows) -> None:
        """Append rows [n, width] under n new keys; a `UserError` if they can't be written."""
        try:
            if not self._own:  # the first part that no other process writes
                numbers = count(self._rank, self._size)
                number, lock = next((number, lock) for number in numbers if (lock := self._take_lock(number)))
                self._own = _Part(self._folder, self.width, number), lock
                self.reopen()
            self._own[0].add([_hash(key) for key in keys], rows)
        except OSError as error:
            raise cannot_write(self._folder, error) from error

    def read(self, keys: Iterable[str]) -> Rows:
        """The rows of n keys, float32 [n, width], read from the disk.

        Raises:
            KeyError: one is missing.
            DamagedRows: some were damaged, and are now missing; the damage was reported.
        """
        names = list(keys)
        hashed = [_hash(name) for name in names]
        rows = np.empty((len(hashed), self.width), np.float32)
        missing, was_damaged = list(range(len(hashed))), False
        for part in self._parts:
            found = [index for index in missing if hashed[index] in part.places]
            rows[found], damaged = part.read([hashed[index] for index in found])
            if damaged:
                was_damaged = True
                self._delete(part, {part.places.pop(key) for key in {hashed[found[at]] for at in damaged}})
                if self._rank == 0:
                    self._report_damage(part.rows_path)
            missing = sorted({*missing} - {*found} | {found[at] for at in damaged})
        if missing and was_damaged:
            raise DamagedRows(f"{self._folder} is damaged (a checksum does not match): run again, and check the disk")
        if missing:
            raise KeyError(names[missing[0]])
        return rows

    def _report_damage(self, path: Path) -> None:
        self._report(f"{path} is damaged (a checksum does not match): the lost embeddings are computed again")

    def _delete(self, part: "_Part", places: Iterable[int]) -> bool:
        """Mark damaged records as deleted, so that they are reported once; False if another process may write them."""
        if self._rank != 0:
            return False
        if self._own and part.number == self._own[0].number:
            part.delete(places)
            return True
        lock = self._take_lock(part.number)
        if lock is None:
            return False
        try:
            part.delete(places)
        finally:
            lock.release()
        return True

    def _take_lock(self, number: int) -> FileLock | None:
        return locking.take(self._folder / f"lock{self.width}.{number}")


class _Part:
    def __init__(self, folder: Path, width: int, number: int):
        self.number, self._width, self._stride = number, width, 4 * width
        self.rows_path, self.index_path = folder / f"rows{width}.{number}.f32", folder / f"index{width}.{number}.bin"
        index = self.index_path.read_bytes() if self.index_path.exists() else b""
        rows = self.rows_path.stat().st_size // self._stride if self.rows_path.exists() else 0
        # An incomplete record, or one without its row, is what a killed process left; `add` overwrites it.
        self._count = min(len(index) // RECORD, rows)
        self.places: dict[bytes, int] = {}  # by hashed key
        self._checksums: list[bytes] = []
        self.damaged: list[int] = []
        for place in range(self._count):
            record = index[place * RECORD : (place + 1) * RECORD]
            content, checksum = record[:-4], record[-4:]
            self._checksums.append(content[_HASH:])
            if _crc(content) != checksum:
                self.damaged.append(place)
            elif content != _DELETED:
                self.places[content[:_HASH]] = place

    def add(self, keys: Sequence[bytes], rows: Rows) -> None:
        rows = np.ascontiguousarray(rows, np.float32)
        checksums = [_crc(key + row.tobytes()) for key, row in zip(keys, rows, strict=True)]
        contents = [key + checksum for key, checksum in zip(keys, checksums, strict=True)]
        for path in (self.rows_path, self.index_path):
            path.touch()
        os.truncate(self.index_path, self._count * RECORD)  # first, or an old record could get a new row
        _write_from(self.rows_path, self._count * self._stride, rows.tobytes())
        _write_from(self.index_path, self._count * RECORD, b"".join(map(_record, contents)))
        self.places.update(zip(keys, range(self._count, self._count + len(keys)), strict=True))
        self._checksums += checksums
        self._count += len(keys)

    def read(self, keys: Sequence[bytes]) -> tuple[Rows, list[int]]:
        """The rows of n keys, and which of them, 0 … n − 1, are damaged."""
        places = [self.places[key] for key in keys]
        if not places:
            return np.empty((0, self._width), np.float32), []
        stored = np.memmap(self.rows_path, np.float32, "r", shape=(self._count, self._width))
        rows = np.array(stored[places])
        checked = enumerate(zip(keys, places, rows, strict=True))
        return rows, [at for at, (key, place, row) in checked if _crc(key + row.tobytes()) != self._checksums[place]]

    def delete(self, places: Iterable[int]) -> None:
        with self.index_path.open("r+b") as file:
            for place in places:
                file.seek(place * RECORD)
                file.write(_record(_DELETED))


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=_HASH).digest()


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _record(content: bytes) -> bytes:
    return content + _crc(content)


def _write_from(path: Path, offset: int, content: bytes) -> None:
    """Write `content` at `offset` and end the file there, so that nothing of an interrupted write remains."""
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
