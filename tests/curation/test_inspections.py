import errno
import os
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from boatyard.core.errors import UserError
from boatyard.curation import inspections
from boatyard.curation.catalog import Photo, Rejected

NAMES = ["a/1.png", "a/2.png", "a/bad.png"]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "a").mkdir(parents=True)
    for number in (1, 2):
        Image.new("RGB", (8 * number, 9), (number, 0, 0)).save(folder / f"a/{number}.png")
    (folder / "a/bad.png").write_bytes(b"not a photo")
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the photos that are decoded while a test runs."""
    names: list[str] = []
    decode = inspections.inspect_photo

    def note(path: Path) -> tuple[Image.Image, str]:
        names.append(path.name)
        return decode(path)

    monkeypatch.setattr(inspections, "inspect_photo", note)
    return names


def inspect(raw: Path, folder: Path, key: str = "k") -> list[Photo | Rejected]:
    with inspections.cached(folder, key) as cache:
        return list(inspections.inspect(raw, NAMES, 2, cache))


def test_results_are_cached_and_failures_are_tried_again(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    first = inspect(raw, tmp_path / "cache")
    assert sorted(opened) == ["1.png", "2.png", "bad.png"]
    opened.clear()

    assert inspect(raw, tmp_path / "cache") == first
    assert opened == ["bad.png"]


def test_an_unchanged_file_is_not_read(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inspect(raw, tmp_path / "cache")
    read: list[Path] = []
    digest = inspections.sha256_of
    monkeypatch.setattr(inspections, "sha256_of", lambda path: (read.append(path), digest(path))[1])

    assert inspect(raw, tmp_path / "cache") == first
    assert read == []

    os.utime(raw / "a/1.png", ns=(1, 1))
    assert inspect(raw, tmp_path / "cache") == first
    assert [path.name for path in read] == ["1.png"]


def test_the_same_content_under_another_name_or_time_is_not_decoded(
    raw: Path, tmp_path: Path, opened: list[str]
) -> None:
    first = inspect(raw, tmp_path / "cache")
    opened.clear()
    again = tmp_path / "checked out"
    shutil.copytree(raw, again, copy_function=shutil.copyfile)

    assert inspect(again, tmp_path / "cache") == first
    assert opened == ["bad.png"]


def test_other_content_under_the_same_name_is_decoded(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    inspect(raw, tmp_path / "cache")
    opened.clear()
    Image.new("RGB", (30, 40)).save(raw / "a/1.png")

    changed = inspect(raw, tmp_path / "cache")[0]
    assert isinstance(changed, Photo)
    assert (changed.width, changed.height) == (30, 40)
    assert sorted(opened) == ["1.png", "bad.png"]


def test_another_key_starts_with_an_empty_cache(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    inspect(raw, tmp_path / "cache")
    opened.clear()
    inspect(raw, tmp_path / "cache", key="other code")
    assert sorted(opened) == ["1.png", "2.png", "bad.png"]


def test_the_results_of_an_interrupted_run_are_kept(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    def interrupted() -> None:
        with inspections.cached(tmp_path / "cache", "k") as cache:
            next(inspections.inspect(raw, NAMES[:1], 1, cache))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    opened.clear()
    inspect(raw, tmp_path / "cache")
    assert sorted(opened) == ["2.png", "bad.png"]


@pytest.mark.parametrize("damage", [b"", b"not a database, but long enough to be read as one" * 100])
def test_a_damaged_cache_is_replaced(raw: Path, tmp_path: Path, damage: bytes) -> None:
    first = inspect(raw, tmp_path / "cache")
    path = tmp_path / "cache/k.sqlite"
    sound = path.read_bytes()
    for content in (damage, sound[: len(sound) // 2], sound[:4096] + bytes(reversed(sound[4096:]))):
        path.write_bytes(content)
        assert inspect(raw, tmp_path / "cache") == first
        assert inspect(raw, tmp_path / "cache") == first


def test_a_folder_that_can_not_be_written_is_an_error_of_one_line(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"k\.sqlite can't be written \(.+\): free space"):
        inspect(raw, tmp_path / "cache")


def test_a_locked_file_is_an_error_of_one_line(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inspect(raw, tmp_path / "cache")
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    other = sqlite3.connect(tmp_path / "cache/k.sqlite")
    other.execute("BEGIN EXCLUSIVE")  # SQLite raises the same error if the file system has no locks
    with pytest.raises(UserError, match=r"k\.sqlite can't be locked \(database is locked\): end the process"):
        inspect(raw, tmp_path / "cache")
    other.close()
    assert inspect(raw, tmp_path / "cache") == first


def test_a_full_disk_is_reported_as_such(tmp_path: Path) -> None:
    def fill() -> None:
        with inspections.cached(tmp_path / "cache", "k") as cache:
            (pages,) = cache._database.execute("PRAGMA page_count").fetchone()
            cache._database.execute(f"PRAGMA max_page_count = {pages}")
            for number in range(10_000):
                cache.store(f"{number:064x}", inspections.Facts(1, 1, "L", "0" * 64))

    with pytest.raises(UserError, match=r"k\.sqlite can't be written \(database or disk is full\): free space"):
        fill()


def test_another_error_in_the_block_is_not_reported_as_the_databases(tmp_path: Path) -> None:
    def fail() -> None:
        with inspections.cached(tmp_path / "cache", "k"):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        fail()
