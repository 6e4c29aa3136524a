"""The examples of the web page: every class that fits, some mistakes, and the same ones each time."""

import random
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from boatyard.core.errors import UserError
from boatyard.evaluation.predictions import Prediction, write_predictions
from boatyard.serving import examples

CLASSES = ("barge", "canoe", "ferry")


def prediction(number: int, actual: str, predicted: str) -> Prediction:
    return Prediction(f"{actual}/{number:03d}.png", actual, predicted, 0.9, 0.9, ((predicted, 0.9),))


def table(labels: tuple[str, ...], each: int, wrong: int) -> list[Prediction]:
    """`each` photos of every class, the first `wrong` of which are taken for the next class."""
    following = dict(zip(labels, (*labels[1:], labels[0]), strict=True))
    return [
        prediction(number, label, following[label] if number < wrong else label)
        for label in labels
        for number in range(each)
    ]


def test_every_class_is_there_and_some_answers_are_wrong() -> None:
    chosen = examples.choose(table(CLASSES, 20, 3))

    assert len(chosen) == examples.COUNT
    assert sum(not row.right for row in chosen) == examples.MISTAKES
    assert Counter(row.actual for row in chosen) == {"barge": 3, "canoe": 3, "ferry": 2}
    assert len({row.actual for row in chosen if not row.right}) == examples.MISTAKES
    assert chosen == sorted(chosen, key=lambda row: (row.actual, row.path))


def test_of_many_classes_each_is_there_once() -> None:
    labels = tuple(f"class {number}" for number in range(30))

    chosen = examples.choose(table(labels, 3, 1))

    assert len({row.actual for row in chosen}) == examples.COUNT
    assert sum(not row.right for row in chosen) == examples.MISTAKES


def test_the_order_of_the_table_does_not_matter() -> None:
    rows = table(CLASSES, 20, 3)
    expected = examples.choose(rows)
    for seed in range(5):
        assert examples.choose(random.Random(seed).sample(rows, len(rows))) == expected


@pytest.mark.parametrize(("each", "wrong", "mistakes"), [(1, 0, 0), (1, 1, 3), (4, 4, 8), (4, 0, 0)])
def test_where_there_are_few_of_a_kind_the_others_take_their_places(each: int, wrong: int, mistakes: int) -> None:
    chosen = examples.choose(table(CLASSES, each, wrong))

    assert len(chosen) == len({row.path for row in chosen}) == min(3 * each, examples.COUNT)
    assert sum(not row.right for row in chosen) == mistakes


def test_only_photos_that_are_here_and_of_the_models_classes_are_loaded(tmp_path: Path) -> None:
    rows = [prediction(number, label, label) for label in CLASSES for number in range(2)]
    write_predictions(tmp_path / "predictions.csv", rows)
    for row in rows[1:]:
        path = tmp_path / "raw" / row.path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 300)).save(path)

    loaded = examples.load(tmp_path / "predictions.csv", tmp_path / "raw", ["barge", "ferry"])

    assert [(example.path, example.actual) for example in loaded] == [
        (tmp_path / "raw" / row.path, row.actual) for row in (rows[1], rows[4], rows[5])
    ]
    assert all(example.thumbnail.size == (examples.SIDE, examples.SIDE // 2) for example in loaded)


def test_without_the_table_or_the_photos_there_are_none(tmp_path: Path) -> None:
    assert examples.load(tmp_path / "predictions.csv", tmp_path, CLASSES) == []
    write_predictions(tmp_path / "predictions.csv", table(CLASSES, 2, 0))
    assert examples.load(tmp_path / "predictions.csv", tmp_path / "raw", CLASSES) == []


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("path,actual\na.png,barge\n")
    with pytest.raises(UserError, match=r"predictions\.csv is not a table of predictions"):
        examples.load(tmp_path / "predictions.csv", tmp_path, CLASSES)
