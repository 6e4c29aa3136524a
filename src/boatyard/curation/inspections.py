"""Inspecting photos, with a cache of the results in the work folder.

As in git and DVC, a file whose size, time and inode are unchanged is not read again. Any other, such as every file
after `dvc checkout`, is hashed, and decoded only if its content is new. Failures are not cached: the reason may be a
folder's permissions, so the photo is tried again.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from boatyard.core import cache_keys
from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import sha256_of
from boatyard.curation.catalog import Photo, Rejected
from boatyard.curation.perceptual_hash import phash
from boatyard.images.decoding import UnreadablePhoto, check_file, inspect_photo

_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, inode INTEGER, sha256 TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (
    sha256 TEXT PRIMARY KEY, width INTEGER, height INTEGER, mode TEXT, phash TEXT
) WITHOUT ROWID;
"""
_BATCH = 1000  # photos between commits, which a killed run may lose


def inspect(raw: Path, names: Sequence[str], workers: int, cache: "InspectionCache") -> Iterator[Photo | Rejected]:
    """Inspect the named photos, in this order. Results are read from the cache and added to it.

    A photo that can't be decoded is returned as `Rejected`.
    """

    def inspect_one(name: str) -> Photo | Rejected:
        label = name.split("/", 1)[0]
        try:
            sha256 = cache.sha256(raw / name)
            facts = cache.facts(sha256)
            if facts is None:
                image, mode = inspect_photo(raw / name)
                facts = Facts(image.width, image.height, mode, phash(image))
                cache.store(sha256, facts)
        except UnreadablePhoto as error:
            return Rejected(name, label, f"unreadable: {error}")
        except OSError as error:
            return Rejected(name, label, f"unreadable: damaged or unreadable ({error.strerror})")
        return Photo(name, label, facts.width, facts.height, facts.mode, sha256, facts.phash)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(inspect_one, names)


class Facts(NamedTuple):
    """What decoding shows of a photo: its size in pixels, upright; the mode of its file; its perceptual hash."""

    width: int
    height: int
    mode: str
    phash: str


class InspectionCache:
    """A SQLite database of photos' hashes and facts, for any number of threads; `cached` opens one."""

    def __init__(self, database: sqlite3.Connection):
        self._database, self._lock, self._changes = database, threading.Lock(), 0
        with self._lock:
            database.executescript(_TABLES)

    def sha256(self, path: Path) -> str:
        """The hash of a file's content, hexadecimal; errors as in `check_file`."""
        about = check_file(path)
        identity = (about.st_size, about.st_mtime_ns, about.st_ino)
        name = os.fspath(path)
        row = self._row("SELECT sha256, size, modified, inode FROM files WHERE path = ?", name)
        if row and row[1:] == identity:
            return str(row[0])
        digest = sha256_of(path)
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", name, *identity, digest)
        return digest

    def facts(self, sha256: str) -> Facts | None:
        """The facts of a photo with this content, or None."""
        row = self._row("SELECT width, height, mode, phash FROM contents WHERE sha256 = ?", sha256)
        return Facts(*row) if row else None

    def store(self, sha256: str, facts: Facts) -> None:
        self._write("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?)", sha256, *facts)

    def _row(self, query: str, key: str) -> Any:
        with self._lock:
            return self._database.execute(query, (key,)).fetchone()

    def _write(self, statement: str, *values: int | str) -> None:
        with self._lock:
            self._database.execute(statement, values)
            self._changes += 1
            if self._changes % _BATCH == 0:
                self._database.commit()


def cache_key() -> str:
    """The name of a cache: it changes with everything except the photo's content that affects its facts."""
    return cache_keys.key(libraries=("pillow",), code=__name__)


@contextmanager
def cached(folder: Path, key: str) -> Iterator[InspectionCache]:
    """Open the cache with this name in a folder; a damaged file is replaced by an empty one.

    Raises:
        UserError: the folder can't be written, or its files can't be locked.
    """
    path = folder / f"{key}.sqlite"
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            database = _opened(path)
        except OSError as error:  # here only: an OSError of the block below is not the database's
            raise cannot_write(path, error) from error
        try:
            yield InspectionCache(database)
        finally:
            database.commit()
            database.close()
    except sqlite3.OperationalError as error:
        if "LOCK" in error.sqlite_errorname or error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_PROTOCOL")):
            raise UserError(
                f"{path} can't be locked ({error}): end the process that has it open, or put the repository on a file "
                "system that has file locks"
            ) from error
        raise cannot_write(path, error) from error


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        if database.execute("PRAGMA quick_check").fetchone() == ("ok",):
            return database
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        pass  # not a database at all
    database.close()
    path.unlink()
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)  # the next database would apply it
    return sqlite3.connect(path, check_same_thread=False)
