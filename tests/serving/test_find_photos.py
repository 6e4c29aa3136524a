from pathlib import Path

import pytest

from boatyard.core.errors import UserError
from boatyard.serving.find_photos import find


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        *("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "deep/er/c.webp", "deep/Thumbs.db", "deep/d.heic"),
        *("[1].jpg", "-leading.jpg", "two\nlines.jpg", "__MACOSX/b.jpg", "empty/notes.md"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names: str, lines: tuple[str, ...] = ()) -> list[str]:
    return [path.as_posix() for path in find(names, lines)]


def test_a_file_that_is_named_is_taken_whatever_it_is_called() -> None:
    assert found("b.jpg", "notes.txt", "nowhere.jpg", "./a.PNG", "b.jpg", "-leading.jpg", "two\nlines.jpg") == [
        *("b.jpg", "notes.txt", "nowhere.jpg", "a.PNG", "-leading.jpg", "two\nlines.jpg")
    ]


def test_a_folder_is_searched_for_what_looks_like_a_photo() -> None:
    assert found("deep") == ["deep/d.heic", "deep/er/c.webp"]
    everything = ["-leading.jpg", "[1].jpg", "a.PNG", "b.jpg", "deep/d.heic", "deep/er/c.webp", "two\nlines.jpg"]
    assert found(".") == everything


def test_a_pattern_is_searched_for_what_looks_like_a_photo() -> None:
    assert found("*b.*") == ["b.jpg"]
    assert found("**/*.webp", "?.jpg") == ["deep/er/c.webp", "b.jpg"]
    assert found("d*") == ["deep/d.heic", "deep/er/c.webp"]


def test_a_name_that_looks_like_a_pattern_is_a_name_if_there_is_such_a_file() -> None:
    assert found("[1].jpg") == ["[1].jpg"]


def test_a_line_of_standard_input_is_a_file_or_a_folder() -> None:
    assert found("a.PNG", "-", lines=("b.jpg\n", "\n", "deep\r\n", "*.jpg")) == [
        *("a.PNG", "b.jpg", "deep/d.heic", "deep/er/c.webp", "*.jpg")
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["*.tiff"], r"no photo matches '\*\.tiff'; in quotes, \*\* means any depth"),
        (["emp*"], "no photo matches"),
        (["empty"], "empty contains no file with a photo's suffix"),
        (["-"], "no photos: name files, folders or patterns"),
        ([], "no photos: name files, folders or patterns"),
    ],
)
def test_finding_none_is_one_line(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find(names, ["\n"])


def test_links_to_folders_are_followed_by_no_search(folder: Path) -> None:
    (folder / "deep/loop").symlink_to(folder)

    assert found("deep") == ["deep/d.heic", "deep/er/c.webp"]
