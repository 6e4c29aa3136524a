import os
import subprocess
import sys
from pathlib import Path

import pytest
from permissions import nobody
from sources_drawing import photo, sha256, silent, tree, write

from boatyard import sources
from boatyard.core.errors import UserError
from boatyard.params.dataset import SOURCES, FolderDataset, FoldersLayout


def fetch(tmp_path: Path, root: str = ".") -> sources.Fetched:
    layout = FoldersLayout(kind="folders", root=root)
    asked = FolderDataset(source="folder", licence="private", layout=layout)
    return sources.fetch(asked, tmp_path / "raw", tmp_path / "downloads", tmp_path / "incoming", silent)


def test_class_folders_of_any_depth(tmp_path: Path) -> None:
    write(
        tmp_path / "incoming",
        {
            "cat/a.jpg": photo(1),
            "cat/old/b.jpg": photo(2),
            "cat/old/deep/a.jpg": photo(3),
            "dog/a.jpg": photo(4),
            "dog/notes.txt": b"not a photo: the filter says so",
            "dog/.DS_Store": b"x",
            "dog/Thumbs.db": b"x",
            "__MACOSX/cat/._a.jpg": b"x",
            ".gitkeep": b"",
            "README.md": b"about these photos",
            "boats.zip.dvc": b"outs:",
        },
    )
    fetched = fetch(tmp_path)
    assert tree(tmp_path / "raw") == {
        "cat/a.jpg": photo(1),
        "cat/b.jpg": photo(2),
        "cat/old__deep__a.jpg": photo(3),
        "dog/a.jpg": photo(4),
        "dog/notes.txt": b"not a photo: the filter says so",
    }
    assert (fetched.images, fetched.classes, fetched.notes) == (5, 2, ())


def test_the_sum_is_over_sorted_paths_and_contents(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"dog/a.jpg": photo(2), "cat/b.jpg": photo(1)})
    fetched = fetch(tmp_path)
    lines = f"cat/b.jpg\0{sha256(photo(1))}\ndog/a.jpg\0{sha256(photo(2))}\n"
    assert fetched.sha256 == sha256(lines.encode())
    assert fetched.version == ""


def test_raw_does_not_change_with_incoming(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    fetch(tmp_path)
    with (tmp_path / "incoming/cat/a.jpg").open("r+b") as stream:
        stream.write(b"changed in place")
    assert (tmp_path / "raw/cat/a.jpg").read_bytes() == photo(1)


def test_raw_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "raw", {"bird/old.jpg": photo(9)})
    write(tmp_path / ".raw.part", {"result/cat/left-by-a-killed-run.jpg": photo(8)})
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    fetch(tmp_path)
    assert tree(tmp_path / "raw") == {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)}
    assert not (tmp_path / ".raw.part").exists()


def test_photos_outside_of_class_folders_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2), "x.JPG": photo(3), "y.png": photo(4)})
    assert fetch(tmp_path).notes == ("photos outside of class folders, left out: 2 (the first: x.JPG)",)


def test_class_folders_without_a_photo_are_reported(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/old/b.jpg": photo(2), "bird/.hidden.jpg": photo(3)})
    for name in ("fish", "fish/old", ".git", "__MACOSX"):
        (tmp_path / "incoming" / name).mkdir()
    assert fetch(tmp_path).notes == ("folders without a photo: 2 (the first: bird)",)


def test_files_that_dvc_ignores_are_ignored(tmp_path: Path) -> None:
    write(
        tmp_path / "incoming",
        {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2), "dog/c.jpg.part": photo(3), "x.part/d.jpg": photo(4)},
    )
    assert fetch(tmp_path).images == 2
    assert tree(tmp_path / "raw") == {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)}


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    os.mkfifo(tmp_path / "incoming/dog/pipe.jpg")
    with pytest.raises(UserError, match=r"incoming: dog/pipe\.jpg is a pipe or a device, not a file: remove it"):
        fetch(tmp_path)


def test_folders_that_are_nested_too_deep(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), f"dog/{'d/' * 99}b.jpg": photo(2)})
    assert fetch(tmp_path).images == 2
    write(tmp_path / "incoming", {f"dog/{'d/' * 100}b.jpg": photo(3)})
    with pytest.raises(UserError, match=r"incoming: folders are nested more than 100 deep: flatten them"):
        fetch(tmp_path)


def test_files_and_folders_without_read_permission(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    (tmp_path / "incoming/dog/b.jpg").chmod(0)
    with (
        nobody(tmp_path),
        pytest.raises(UserError, match=r"incoming/dog/b\.jpg can't be copied into dog/ \(Permission"),
    ):
        fetch(Path())
    (tmp_path / "incoming/dog").chmod(0)
    with (
        nobody(tmp_path),
        pytest.raises(UserError, match=r"incoming/dog can't be read \(Permission denied\): fix its"),
    ):
        fetch(Path())
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("contents", [{}, {".gitkeep": b"", "desktop.ini": b"x"}])
def test_the_error_for_an_empty_folder_says_how_to_fill_it(tmp_path: Path, contents: dict[str, bytes]) -> None:
    (tmp_path / "incoming").mkdir()
    write(tmp_path / "incoming", contents)
    with pytest.raises(UserError, match=r"incoming has no files: put your photos there, one folder per class"):
        fetch(tmp_path)


def test_a_link_inside_the_folder_becomes_a_copy(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    (tmp_path / "incoming/dog/c.jpg").symlink_to("../cat/a.jpg")
    fetch(tmp_path)
    assert (tmp_path / "raw/dog/c.jpg").read_bytes() == photo(1)
    assert not (tmp_path / "raw/dog/c.jpg").is_symlink()


@pytest.mark.parametrize("target", ["../../secret.jpg", "nowhere.jpg", "../dog", "link.jpg"])
def test_a_link_elsewhere_is_not_followed(tmp_path: Path, target: str) -> None:
    write(tmp_path, {"secret.jpg": photo(7), "incoming/cat/a.jpg": photo(1), "incoming/dog/b.jpg": photo(2)})
    (tmp_path / "incoming/cat/link.jpg").symlink_to(target)
    with pytest.raises(UserError, match=r"incoming: cat/link.jpg is a link to a folder, to nothing or out of"):
        fetch(tmp_path)
    assert not (tmp_path / "raw").exists()


def test_incoming_may_itself_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    (tmp_path / "incoming").symlink_to("elsewhere")
    fetch(tmp_path)
    assert tree(tmp_path / "raw") == {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)}


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    (tmp_path / "incoming/cat" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(photo(3))
    with pytest.raises(UserError, match=r"cat/caf\\udce9\.jpg is not UTF-8: rename the file"):
        fetch(tmp_path)


def test_no_source_imports_torch_at_the_top() -> None:
    names = ", ".join(f"boatyard.sources.{module}" for module in SOURCES.values())
    code = f"import sys, {names}; print({{'torch', 'torchvision'}} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_photos_are_copied_on_systems_without_clones_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no fcntl."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    write(tmp_path / "incoming", {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)})
    fetch(tmp_path)
    assert tree(tmp_path / "raw") == {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)}
