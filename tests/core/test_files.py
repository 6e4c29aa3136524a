import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from properties import check_told, damaged, examples

from boatyard.core import files
from boatyard.core.errors import UserError


def test_json_keeps_order_rounds_and_ends_in_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "metrics/x.json"
    files.write_json(
        path,
        {
            "top1": 0.1 + 0.2,
            "loss": 2 / 3,
            "gain": -1e-9,
            "images": 12,
            "lr": 1e-05,
            "by": {"café": [1.23456789, (0.5, None)]},
        },
    )
    assert path.read_text(encoding="utf-8") == (
        '{\n  "top1": 0.3,\n  "loss": 0.666667,\n  "gain": 0.0,\n  "images": 12,\n  "lr": 1e-05,\n'
        '  "by": {\n    "café": [\n      1.234568,\n      [\n        0.5,\n        null\n      ]\n    ]\n  }\n}\n'
    )
    assert files.read_json(path)["by"] == {"café": [1.234568, [0.5, None]]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


@examples(100)
@given(damaged([b'{"top1": 0.5, "by": {"a": [1, null, true]}}\n']))
def test_a_metrics_file_with_any_damage_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    try:
        assert isinstance(files.read_json(path), dict)
    except UserError as error:
        check_told(error, str(path))


def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(
        UserError, match=r"x\.json does not exist: run `dvc repro` to make it, or `dvc pull` to fetch it"
    ):
        files.read_json(path)
    path.write_text('{"a": 1,\n<<<<<<< ours\n')
    with pytest.raises(UserError, match=r"x\.json, line 2: damaged \(.*\); run `dvc repro` to regenerate it"):
        files.read_json(path)
    for text in ("[" * 100_000, '{"a": ' + "9" * 5000 + "}"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"x\.json: damaged; run `dvc repro` to regenerate it"):
            files.read_json(path)
    path.write_text("[1]")
    with pytest.raises(UserError, match=r"x\.json is not a JSON object"):
        files.read_json(path)
    path.write_bytes(b"\xff{}")
    with pytest.raises(UserError, match=r"x\.json is not UTF-8 text \(invalid start byte at byte 0\)"):
        files.read_json(path)
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\)"):
        files.read_json(tmp_path)


def test_a_block_that_fails_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="halfway"), files.replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        assert temporary.parent == path.parent  # os.replace is atomic within a file system
        assert path.read_bytes() == b"old"
        raise RuntimeError("halfway")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x.bin", b"old")]
    files.write_bytes(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x.bin", b"new")]


def test_the_next_write_removes_the_temporary_file_of_a_killed_process(tmp_path: Path) -> None:
    kill_itself = (
        "import os; from pathlib import Path; from boatyard.core import files\n"
        "with files.replacing(Path('x[1].bin')) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", kill_itself], cwd=tmp_path, check=False)
    assert killed.returncode == -9
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.endswith(".part")
    writing = tmp_path / f".x[1].bin.{platform.node()}.{os.getppid()}.part"  # of a process that is still running
    other = tmp_path / leftover.name.replace("x[1]", "x1")
    for path in (writing, other):
        path.touch()

    files.write_bytes(tmp_path / "x[1].bin", b"new")

    assert set(tmp_path.iterdir()) == {tmp_path / "x[1].bin", writing, other}


def test_the_content_is_flushed_to_the_disk_before_the_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "x.bin", []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_size, path.exists())))
    files.write_bytes(path, b"four")
    assert synced == [(4, False)]


def test_a_link_to_a_cache_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    cached, path = tmp_path / "cached", tmp_path / "x.txt"
    cached.write_bytes(b"old")
    path.symlink_to(cached)
    files.write_bytes(path, b"new")
    assert (path.is_symlink(), path.read_bytes(), cached.read_bytes()) == (False, b"new", b"old")


def test_a_full_disk_is_an_error_for_the_user(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(UserError) as caught, files.replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == (
        f"{path} can't be written (No space left on device): free space, or fix the folder's permissions"
    )
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x.bin", b"old")]


def test_a_folder_that_cannot_be_made_is_an_error_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"plots/x\.json can't be written \(File exists\)"):
        files.write_json(tmp_path / "plots/x.json", {})
    (tmp_path / "metrics/x.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"metrics/x\.json can't be written \(Is a directory\)"):
        files.write_json(tmp_path / "metrics/x.json", {})
    assert [entry.name for entry in (tmp_path / "metrics").iterdir()] == ["x.json"]
