import csv
import io
import json

import numpy as np
import pytest

from boatyard.serving.classifier import Classification
from boatyard.serving.output_formats import FORMATS, lines

CLASSES = ["barge", "canoe", "ferry"]
RESULTS = [
    ("a.jpg", Classification(CLASSES, np.log(np.array([0.25, 0.7, 0.05])))),
    ('odd "name", é.png', Classification(CLASSES, np.log(np.array([1e-9, 1e-9, 1 - 2e-9])))),
]
NAMES = [name for name, _ in RESULTS]


def text(form: str, top: int = 2, results: list[tuple[str, Classification]] = RESULTS) -> str:
    return "".join(lines(form, results, top, NAMES, CLASSES))


def test_the_table_is_for_people() -> None:
    assert text("table") == (
        "a.jpg              canoe   70.0 %  ██████████████\n"
        "                   barge   25.0 %  █████\n"
        'odd "name", é.png  ferry  100.0 %  ████████████████████\n'
        "                   barge    0.0 %\n"
    )


def test_csv_has_the_columns_of_the_predictions_table() -> None:
    rows = list(csv.DictReader(io.StringIO(text("csv"))))

    assert rows == [
        {"path": "a.jpg", "label1": "canoe", "probability1": "0.7", "label2": "barge", "probability2": "0.25"},
        {"path": NAMES[1], "label1": "ferry", "probability1": "1.0", "label2": "barge", "probability2": "0.0"},
    ]


def test_json_and_json_lines_hold_the_same() -> None:
    whole = json.loads(text("json"))

    assert whole == [json.loads(line) for line in text("jsonl").splitlines()]
    assert whole[0] == {
        "path": "a.jpg",
        "top": [{"label": "canoe", "probability": 0.7}, {"label": "barge", "probability": 0.25}],
    }
    assert whole[1]["path"] == NAMES[1]


@pytest.mark.parametrize("form", FORMATS)
def test_more_classes_than_there_are_and_no_photo_at_all(form: str) -> None:
    assert text(form, 99) == text(form, 3)
    empty = text(form, 2, [])
    assert empty == {"json": "[]\n", "csv": "path,label1,probability1,label2,probability2\n"}.get(form, "")


@pytest.mark.parametrize("form", ["table", "csv", "jsonl", "json"])
def test_a_result_is_written_as_soon_as_it_is_known(form: str) -> None:
    asked: list[str] = []

    def coming():
        for name, result in RESULTS:
            asked.append(name)
            yield name, result

    written = ""
    for line in lines(form, coming(), 1, NAMES, CLASSES):
        written += line
        if "a.jpg" in written:
            break
    assert asked == ["a.jpg"]
