import csv
import errno
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import check_told, damaged, examples

from boatyard.core import files
from boatyard.core.errors import UserError

NAMES = [
    'say "cheese".jpg',
    "a,b.png",
    "two\nlines.png",
    "Icon\r",
    "both\r\nof them",
    "größer 蝶 🛥.webp",
    " padded ",
    "'quoted'",
    '"',
    "",
]


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
def test_json_holds_no_number_that_json_has_not(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_csv_is_the_same_bytes_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [
        ["é,1", 0.1234567, -0.0, 3, None],
        ["b", np.float32(0.1), np.float64(-1e-12), np.int64(7), True],
        ('"', 1e-05, 1e20, 0, ""),
    ]
    files.write_csv(path, ["name", "a", "b", "n", "z"], rows)
    assert path.read_bytes() == (
        'name,a,b,n,z\n"é,1",0.123457,0.0,3,\nb,0.1,0.0,7,True\n"""",1e-05,1e+20,0,\n'.encode()
    )


def test_csv_gives_every_name_back(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    files.write_csv(path, ["path", "number"], [[name, number] for number, name in enumerate(NAMES)])
    assert files.read_csv(path) == [{"path": name, "number": str(number)} for number, name in enumerate(NAMES)]
    assert b"\r\n" not in path.read_bytes().replace(b'"both\r\nof them"', b"")
    with path.open(encoding="utf-8", newline="") as stream:  # as any other reader of CSV reads it
        assert [row[0] for row in csv.reader(stream)] == ["path", *NAMES]


def test_csv_of_one_column_keeps_an_empty_cell(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "x.csv", ["label"], [["a"], [""], ["b"]])
    assert [row["label"] for row in files.read_csv(tmp_path / "x.csv")] == ["a", "", "b"]


@examples(60)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text('",\r\n x', max_size=6))))
def test_csv_gives_any_text_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    files.write_csv(path, ["a", "b"], rows)
    assert [(row["a"], row["b"]) for row in files.read_csv(path)] == rows


@dataclass(frozen=True)
class Entry:
    name: str
    count: int
    share: float | None


def test_rows_of_a_dataclass_come_back(tmp_path: Path) -> None:
    entries = [Entry(name, number, None if number % 2 else number / 4) for number, name in enumerate(NAMES)]
    files.write_rows(tmp_path / "x.csv", Entry, entries)
    assert files.read_rows(tmp_path / "x.csv", Entry) == entries


@examples(60)
@given(
    st.lists(
        st.builds(
            Entry,
            st.text(st.characters(exclude_categories=["Cs"])),
            st.integers(-(2**70), 2**70),
            st.none() | st.floats(-1e9, 1e9).map(lambda share: round(share, files.DIGITS) + 0.0),
        )
    )
)
def test_any_rows_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Entry]) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    files.write_rows(path, Entry, rows)
    assert files.read_rows(path, Entry) == rows


TABLES = [
    b'name,count,share\n"say ""cheese"".jpg",1,0.5\n"two\nlines",-2,\n',
    "name,count,share\ngröße,3,1e-05\n".encode(),
]


@examples(200)
@given(damaged(TABLES))
def test_a_table_with_any_damage_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    try:
        rows = files.read_rows(path, Entry)
    except UserError as error:
        check_told(error, str(path))
    else:
        assert all(type(row) is Entry and type(row.count) is int for row in rows)


@examples(100)
@given(damaged([b'{"top1": 0.5, "by": {"a": [1, null, true]}}\n']))
def test_a_metrics_file_with_any_damage_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    try:
        assert isinstance(files.read_json(path), dict)
    except UserError as error:
        check_told(error, str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,count,share\na,1,0.5\nb\n", "line 3: damaged (not 3 cells)"),
        ("name,count,share\na,1,0.5,9\n", "line 2: damaged (not 3 cells)"),
        ("name,count,share\na,1,0.5\nb,x,\n", "row 2: damaged (invalid literal for int() with base 10: 'x')"),
        ("name,count\na,1\n", "row 1: damaged ('share')"),
        ('name,count,share\n"a,1,0.5\n', "line 2: damaged (unexpected end of data)"),
        ("<<<<<<< ours\nname,count,share\n", "line 2: damaged (not 1 cells)"),
    ],
)
def test_a_damaged_table_is_the_users_to_make_again(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        files.read_rows(path, Entry)
    assert str(caught.value) == f"{path}, {message}; run `dvc repro` to make it again"


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(UserError, match=r"x\.json is not here: run `dvc repro` to make it, or `dvc pull` to fetch it"):
        files.read_json(path)
    path.write_text('{"a": 1,\n<<<<<<< ours\n')
    with pytest.raises(UserError, match=r"x\.json, line 2: damaged \(.*\); run `dvc repro` to make it again"):
        files.read_json(path)
    for text in ("[" * 100_000, '{"a": ' + "9" * 5000 + "}"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"x\.json: damaged; run `dvc repro` to make it again"):
            files.read_json(path)
    path.write_text("[1]")
    with pytest.raises(UserError, match=r"x\.json holds no JSON object"):
        files.read_json(path)
    path.write_bytes(b"\xff{}")
    with pytest.raises(UserError, match=r"x\.json is not UTF-8 text \(invalid start byte at byte 0\)"):
        files.read_json(path)
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\)"):
        files.read_csv(tmp_path)


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="half-way"), files.replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        assert temporary.parent == path.parent  # os.replace is atomic within a file system
        assert path.read_bytes() == b"old"
        raise RuntimeError("half-way")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x.bin", b"old")]
    files.write_bytes(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x.bin", b"new")]


def test_what_a_killed_process_left_goes_with_the_next_write_of_that_file(tmp_path: Path) -> None:
    kill_itself = (
        "import os; from pathlib import Path; from boatyard.core import files\n"
        "with files.replacing(Path('x[1].bin')) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", kill_itself], cwd=tmp_path, check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".part")
    writing = tmp_path / f".x[1].bin.{platform.node()}.{os.getppid()}.part"  # of a process that is still at it
    others = tmp_path / left.name.replace("x[1]", "x1")
    for path in (writing, others):
        path.touch()

    files.write_bytes(tmp_path / "x[1].bin", b"new")

    assert set(tmp_path.iterdir()) == {tmp_path / "x[1].bin", writing, others}


def test_the_content_is_on_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "x.bin", []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_size, path.exists())))
    files.write_bytes(path, b"four")
    assert synced == [(4, False)]


def test_rows_that_fail_half_way_leave_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    files.write_csv(path, ["a"], [[1]])

    def rows() -> object:
        yield [2]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write_csv(path, ["a"], rows())  # type: ignore[arg-type]
    assert path.read_text() == "a\n1\n"


def test_a_link_to_a_cache_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    cached, path = tmp_path / "cached", tmp_path / "x.txt"
    cached.write_bytes(b"old")
    path.symlink_to(cached)
    files.write_bytes(path, b"new")
    assert (path.is_symlink(), path.read_bytes(), cached.read_bytes()) == (False, b"new", b"old")


def test_a_full_disk_is_the_users_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes(path, b"old")
    with pytest.raises(UserError) as caught, files.replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == (
        f"{path} can't be written (No space left on device): free space, or mend the folder's rights"
    )
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("x.bin", b"old")]


def test_a_folder_that_can_not_be_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"plots/x\.csv can't be written \(File exists\)"):
        files.write_csv(tmp_path / "plots/x.csv", ["a"], [])
    (tmp_path / "metrics/x.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"metrics/x\.json can't be written \(Is a directory\)"):
        files.write_json(tmp_path / "metrics/x.json", {})
    assert [entry.name for entry in (tmp_path / "metrics").iterdir()] == ["x.json"]
