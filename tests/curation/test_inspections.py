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
    (folder / "a/bad.png").write_bytes(b"no photo")
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


def inspect(raw: Path, kept: Path, key: str = "k") -> list[Photo | Rejected]:
    with inspections.cached(kept, key) as known:
        return list(inspections.inspect(raw, NAMES, 2, known))


def test_a_photo_is_decoded_once_and_what_can_not_be_is_tried_again(
    raw: Path, tmp_path: Path, opened: list[str]
) -> None:
    first = inspect(raw, tmp_path / "kept")
    assert sorted(opened) == ["1.png", "2.png", "bad.png"]
    opened.clear()

    assert inspect(raw, tmp_path / "kept") == first
    assert opened == ["bad.png"]


def test_a_file_that_is_as_it_was_is_not_read(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inspect(raw, tmp_path / "kept")
    read: list[Path] = []
    digest = inspections.sha256_of
    monkeypatch.setattr(inspections, "sha256_of", lambda path: (read.append(path), digest(path))[1])

    assert inspect(raw, tmp_path / "kept") == first
    assert read == []

    os.utime(raw / "a/1.png", ns=(1, 1))
    assert inspect(raw, tmp_path / "kept") == first
    assert [path.name for path in read] == ["1.png"]


def test_the_same_content_under_another_name_or_time_is_not_decoded(
    raw: Path, tmp_path: Path, opened: list[str]
) -> None:
    first = inspect(raw, tmp_path / "kept")
    opened.clear()
    again = tmp_path / "checked out"
    shutil.copytree(raw, again, copy_function=shutil.copyfile)

    assert inspect(again, tmp_path / "kept") == first
    assert opened == ["bad.png"]


def test_other_content_under_the_same_name_is_decoded(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    inspect(raw, tmp_path / "kept")
    opened.clear()
    Image.new("RGB", (30, 40)).save(raw / "a/1.png")

    changed = inspect(raw, tmp_path / "kept")[0]
    assert isinstance(changed, Photo)
    assert (changed.width, changed.height) == (30, 40)
    assert sorted(opened) == ["1.png", "bad.png"]


def test_another_key_knows_nothing(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    inspect(raw, tmp_path / "kept")
    opened.clear()
    inspect(raw, tmp_path / "kept", key="other code")
    assert sorted(opened) == ["1.png", "2.png", "bad.png"]


def test_what_a_run_found_before_it_was_stopped_is_kept(raw: Path, tmp_path: Path, opened: list[str]) -> None:
    def interrupted() -> None:
        with inspections.cached(tmp_path / "kept", "k") as known:
            next(inspections.inspect(raw, NAMES[:1], 1, known))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    opened.clear()
    inspect(raw, tmp_path / "kept")
    assert sorted(opened) == ["2.png", "bad.png"]


@pytest.mark.parametrize("damage", [b"", b"no database at all, and long enough to be read as one" * 100])
def test_a_damaged_file_is_begun_anew(raw: Path, tmp_path: Path, damage: bytes) -> None:
    first = inspect(raw, tmp_path / "kept")
    path = tmp_path / "kept/k.sqlite"
    sound = path.read_bytes()
    for content in (damage, sound[: len(sound) // 2], sound[:4096] + bytes(reversed(sound[4096:]))):
        path.write_bytes(content)
        assert inspect(raw, tmp_path / "kept") == first
        assert inspect(raw, tmp_path / "kept") == first


def test_a_folder_that_can_not_be_written_is_one_line(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(UserError, match=r"k\.sqlite can't be written \(.+\): free space"):
        inspect(raw, tmp_path / "kept")


def test_a_file_that_can_not_be_locked_is_one_line(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inspect(raw, tmp_path / "kept")
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    other = sqlite3.connect(tmp_path / "kept/k.sqlite")
    other.execute("BEGIN EXCLUSIVE")  # SQLite says the same where the file system has no locks
    with pytest.raises(UserError, match=r"k\.sqlite can't be locked \(database is locked\): end the process"):
        inspect(raw, tmp_path / "kept")
    other.close()
    assert inspect(raw, tmp_path / "kept") == first


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    def fill() -> None:
        with inspections.cached(tmp_path / "kept", "k") as known:
            (pages,) = known._database.execute("PRAGMA page_count").fetchone()
            known._database.execute(f"PRAGMA max_page_count = {pages}")
            for number in range(10_000):
                known.remember(f"{number:064x}", inspections.Facts(1, 1, "L", "0" * 64))

    with pytest.raises(UserError, match=r"k\.sqlite can't be written \(database or disk is full\): free space"):
        fill()


def test_an_error_of_what_is_done_meanwhile_is_not_taken_for_the_databases(tmp_path: Path) -> None:
    def fail() -> None:
        with inspections.cached(tmp_path / "kept", "k"):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        fail()
