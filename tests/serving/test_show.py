"""`boatyard show`: test photos of a class, right and wrong ones, from the table of predictions."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from boatyard import cli
from boatyard.core import paths, tables
from boatyard.curation.catalog import ClassCount, Rejected
from boatyard.evaluation.predictions import Prediction, write_predictions
from boatyard.report.figures import sheets
from boatyard.report.thumbnails import thumbnail


@pytest.fixture(autouse=True)
def predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Prediction]:
    """Of class a, 3 of 8 photos are wrong; of class b, 1 of 2; of class c, none of 2."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for label, wrong, right in (("a", 3, 5), ("b", 1, 1), ("c", 0, 2)):
        for number in range(wrong + right):
            path = paths.RAW / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (60, 40), (20 * number, 90, 200)).save(path)
            predicted = label if number >= wrong else "x"
            top = ((predicted, 0.5 + number / 20), ("y", 0.1))
            rows.append(Prediction(f"{label}/{number}.png", label, predicted, top[0][1], 0.05, top))
    write_predictions(paths.PREDICTIONS, rows)
    return rows


def show(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["show", *arguments])
    return int(end.value.code or 0)


def shown(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """The verdict and the path of each photo printed."""
    _, *lines, _ = capsys.readouterr().out.splitlines()
    return [(line.split("  ")[0], line.split("  ")[1]) for line in lines]


def test_wrong_photos_then_right_ones_on_a_sheet(
    predictions: list[Prediction], capsys: pytest.CaptureFixture[str]
) -> None:
    assert show("a", "--count", "5") == 0

    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == "a: 5 of 8 test photos right, 62.5 % (95 % interval 30.6 – 86.3 %)"
    assert lines == [
        "wrong  a/2.png  x 60.0 %, y 10.0 %, a 5.0 %",
        "wrong  a/1.png  x 55.0 %, y 10.0 %, a 5.0 %",
        "right  a/7.png  a 85.0 %, y 10.0 %",
        "right  a/5.png  a 75.0 %, y 10.0 %",
        "right  a/3.png  a 65.0 %, y 10.0 %",
    ]
    assert last == "drawn/a.png"
    cards = [(predictions[number], thumbnail(paths.RAW, f"a/{number}.png", 400).image) for number in (2, 1, 7, 5, 3)]
    assert Image.open("drawn/a.png").tobytes() == sheets.predictions(cards, first, one_class=True).tobytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--count", "8"], ["2", "1", "0", "7", "6", "5", "4", "3"]),
        (["--count", "2"], ["2", "7"]),
        (["--wrong"], ["2", "1", "0"]),
        (["--right", "--count", "2"], ["7", "3"]),
    ],
)
def test_which_photos(arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    show("a", *arguments)
    assert sorted(path for _, path in shown(capsys)) == sorted(f"a/{number}.png" for number in expected)


def test_the_worst_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("--worst", "--output", "sheets/worst.png") == 0
    assert capsys.readouterr().out.startswith("b: 1 of 2 test photos right")
    assert Path("sheets/worst.png").is_file()


def test_nothing_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("c", "--wrong") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["none of them is wrong"]
    assert not Path("drawn").exists()


def test_an_unknown_class_is_one_line_with_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("z") == 2
    expected = "error: there is no class 'z' in plots/predictions.csv; the classes are a, b, c\n"
    assert capsys.readouterr().err == expected


def test_a_misspelt_class_is_one_line_with_the_right_name(
    predictions: list[Prediction], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [replace(row, actual={"a": "cruise ship", "b": "Buoy"}.get(row.actual, row.actual)) for row in predictions]
    write_predictions(paths.PREDICTIONS, rows)

    assert show("cruse ship") == 2
    expected = "error: there is no class 'cruse ship' in plots/predictions.csv; did you mean 'cruise ship'?\n"
    assert capsys.readouterr().err == expected
    assert show("buoy") == 0
    assert capsys.readouterr().out.startswith("Buoy: 0 of 2")


@pytest.mark.parametrize(("table", "reason"), [(True, " (class has too few photos)"), (False, "")])
def test_a_class_that_filter_left_out(table: bool, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    tables.write_rows(paths.CLASS_COUNTS, ClassCount, [ClassCount("a", 8, 8), ClassCount("rare", 2, 0)])
    if table:
        why = ("unreadable", "rare_class: 2 photos", "rare_class: 2 photos")
        rows = [Rejected(f"rare/{number}.png", "rare", text) for number, text in enumerate(why)]
        tables.write_rows(paths.REJECTED, Rejected, rows)

    assert show("rare") == 2
    assert capsys.readouterr() == (
        "",
        f"error: filter left out all photos of 'rare'{reason}: none of them was tested\n",
    )


@pytest.mark.parametrize("label", ["a", "z"])
def test_a_clone_without_photos_is_one_line(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(paths.RAW)
    assert show(label) == 2
    expected = "error: data/raw has no photos: run `dvc repro`, or `dvc pull data/raw` to fetch them\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("name", ["x.jpg", "x"])
def test_only_a_png_file_is_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show("a", "--output", name) == 2
    assert capsys.readouterr() == ("", f"error: --output {name}: the sheet is a PNG file; name it x.png\n")
    assert not Path(name).exists()


def test_a_class_or_worst_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert show() == 2
    assert "one of the arguments CLASS --worst is required" in capsys.readouterr().err


def test_a_missing_photo_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    (paths.RAW / "a/2.png").unlink()
    assert show("a") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "data/raw/a/2.png can't be read" in err


def test_it_needs_only_the_extra_picture() -> None:
    """Modules that are None in sys.modules can't be imported."""
    code = """
import sys
sys.modules.update(dict.fromkeys(("torch", "timm", "scipy", "jinja2", "dvc", "ruamel")))
from boatyard.serving import show
show.run("a", right=None, count=2, output=None)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
