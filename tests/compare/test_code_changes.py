import hashlib
import subprocess
from pathlib import Path

import pytest
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import LocalFileSystem

from boatyard.compare import code_changes


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of code with a folder in it, in a git repository with one commit."""
    monkeypatch.chdir(tmp_path)
    folder = Path("src/library")
    for name in ("b.py", "a.py", "engines/base.py", "engines-old.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    Path("stages").mkdir()
    Path("stages/train.py").write_text("train\n")
    Path("src/.dvcignore").write_text("# clutter\n*~\n\\#*#\n")
    Path(".dvcignore").write_text("__pycache__/\n")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Code"]):
        subprocess.run(["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *command], check=True)
    return folder


def test_a_folder_has_the_hash_that_dvc_gives_it(code: Path, tmp_path: Path) -> None:
    database = HashFileDB(LocalFileSystem(), str(tmp_path / "database"))
    _, _, tree = build(database, str(code.absolute()), LocalFileSystem(), "md5", dry_run=True)
    expected = tree.hash_info.value

    assert code_changes.digest(code) == expected
    for name in ("__pycache__/a.pyc", "a.py~", "#a.py#", "engines/base.py~"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("clutter")
    assert code_changes.digest(code) == expected
    (code / "engines/base.py").write_text("changed")
    assert code_changes.digest(code) != expected


def test_a_file_has_its_md5_and_what_is_missing_has_none(code: Path) -> None:
    assert code_changes.digest(code / "a.py") == hashlib.md5(b"a.py\n").hexdigest()
    assert code_changes.digest(code / "gone.py") == ""


def test_a_changed_folder_is_told_by_its_files(code: Path) -> None:
    (code / "a.py").write_text("changed")
    (code / "engines/base.py").unlink()

    found = code_changes.files_changed_since("HEAD", ["src/library", "stages/train.py", "src/gone"])

    assert found == ["src/library/a.py", "src/library/engines/base.py", "stages/train.py", "src/gone"]
    assert code_changes.files_changed_since("HEAD", []) == []


@pytest.mark.parametrize(
    ("path", "expected"), [("src/library", True), ("stages/a.py", True), ("data/raw", False), ("models/weights", False)]
)
def test_what_is_code(path: str, expected: bool) -> None:
    assert code_changes.is_code(path) == expected
