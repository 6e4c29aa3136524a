import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import check_told, damaged, examples

from boatyard.core import files, tables
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


def test_a_table_is_the_same_bytes_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [
        ["é,1", 0.1234567, -0.0, 3, None],
        ["b", np.float32(0.1), np.float64(-1e-12), np.int64(7), True],
        ('"', 1e-05, 1e20, 0, ""),
    ]
    tables.write_csv(path, ["name", "a", "b", "n", "z"], rows)
    assert path.read_bytes() == (
        'name,a,b,n,z\n"é,1",0.123457,0.0,3,\nb,0.1,0.0,7,True\n"""",1e-05,1e+20,0,\n'.encode()
    )


def test_every_name_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    tables.write_csv(path, ["path", "number"], [[name, number] for number, name in enumerate(NAMES)])
    assert tables.read_csv(path) == [{"path": name, "number": str(number)} for number, name in enumerate(NAMES)]
    assert b"\r\n" not in path.read_bytes().replace(b'"both\r\nof them"', b"")
    with path.open(encoding="utf-8", newline="") as stream:  # as any other reader of CSV reads it
        assert [row[0] for row in csv.reader(stream)] == ["path", *NAMES]


def test_a_table_of_one_column_keeps_an_empty_cell(tmp_path: Path) -> None:
    tables.write_csv(tmp_path / "x.csv", ["label"], [["a"], [""], ["b"]])
    assert [row["label"] for row in tables.read_csv(tmp_path / "x.csv")] == ["a", "", "b"]


@examples(60)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text('",\r\n x', max_size=6))))
def test_any_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    tables.write_csv(path, ["a", "b"], rows)
    assert [(row["a"], row["b"]) for row in tables.read_csv(path)] == rows


@dataclass(frozen=True)
class Entry:
    name: str
    count: int
    share: float | None


def test_rows_of_a_dataclass_are_read_back(tmp_path: Path) -> None:
    entries = [Entry(name, number, None if number % 2 else number / 4) for number, name in enumerate(NAMES)]
    tables.write_rows(tmp_path / "x.csv", Entry, entries)
    assert tables.read_rows(tmp_path / "x.csv", Entry) == entries


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
def test_any_rows_are_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Entry]) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    tables.write_rows(path, Entry, rows)
    assert tables.read_rows(path, Entry) == rows


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
        rows = tables.read_rows(path, Entry)
    except UserError as error:
        check_told(error, str(path))
    else:
        assert all(type(row) is Entry and type(row.count) is int for row in rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,count,share\na,1,0.5\nb\n", "line 3: damaged (expected 3 cells, found 1)"),
        ("name,count,share\na,1,0.5,9\n", "line 2: damaged (expected 3 cells, found 4)"),
        ("name,count,share\na,1,0.5\nb,x,\n", "line 3: damaged (invalid literal for int() with base 10: 'x')"),
        ('name,count,share\n"a,1,0.5\n', "line 2: damaged (unexpected end of data)"),
        ('name,count,share\n"a"b,1,0.5\n', "line 2: damaged (',' expected after '\"')"),
    ],
)
def test_a_damaged_table_is_refused_with_the_line_and_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        tables.read_rows(path, Entry)
    assert str(caught.value) == f"{path}, {message}; run `dvc repro` to regenerate it"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("name,count\n", "share"),
        ("name,count\na,1\n", "share"),
        ("<<<<<<< ours\nname,count,share\n", "name"),
        ("", "name"),
    ],
)
def test_a_table_without_a_column_is_refused_even_if_it_has_no_rows(tmp_path: Path, text: str, column: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        tables.read_rows(path, Entry)
    assert str(caught.value) == f"{path}: damaged (no column {column!r}); run `dvc repro` to regenerate it"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\xff\n", "is not UTF-8 text (invalid start byte at byte 0); run `dvc repro` to regenerate it"),
        (None, "does not exist: run `dvc repro` to make it, or `dvc pull` to fetch it"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, error: str) -> None:
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        tables.read_csv(path)
    assert str(caught.value) == f"{path} {error}"


def test_rows_that_fail_halfway_leave_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    tables.write_csv(path, ["a"], [[1]])

    def rows() -> object:
        yield [2]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        tables.write_csv(path, ["a"], rows())  # type: ignore[arg-type]
    assert path.read_text() == "a\n1\n"
