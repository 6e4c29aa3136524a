"""The predictions table: values by hand, the file's exact text, and back again."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from boatyard.core.errors import UserError
from boatyard.evaluation.predictions import Prediction, ranked, read_predictions, tabulate, write_predictions

bounded = examples(40)

CLASSES = ["ferry", "gondola", "sail, small"]
PATHS = ["gondola/b.png", "ferry/Ä 1.jpg", "ferry/a.jpg"]
PROBABILITIES = np.array([[0.2, 0.7, 0.1], [0.25, 0.25, 0.5], [0.6, 0.3, 0.1]])
ACTUAL = np.array([1, 0, 0])


def test_by_hand():
    rows = tabulate(PATHS, np.log(PROBABILITIES), ACTUAL, CLASSES)
    assert [row.path for row in rows] == ["ferry/a.jpg", "ferry/Ä 1.jpg", "gondola/b.png"]
    assert [row.right for row in rows] == [True, False, True]
    wrong = rows[1]
    assert (wrong.actual, wrong.predicted, wrong.plain_predicted) == ("ferry", "sail, small", None)
    assert (wrong.probability, wrong.actual_probability) == (pytest.approx(0.5), pytest.approx(0.25))
    assert [label for label, _ in wrong.top] == ["sail, small", "ferry", "gondola"]  # of equal ones the first class
    assert [share for _, share in wrong.top] == pytest.approx([0.5, 0.25, 0.25])


def test_the_file_to_the_byte(tmp_path):
    write_predictions(tmp_path / "table.csv", tabulate(PATHS, np.log(PROBABILITIES), ACTUAL, CLASSES))
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == (
        "path,actual,predicted,probability,actual_probability,"
        "label1,probability1,label2,probability2,label3,probability3\n"
        'ferry/a.jpg,ferry,ferry,0.6,0.6,ferry,0.6,gondola,0.3,"sail, small",0.1\n'
        'ferry/Ä 1.jpg,ferry,"sail, small",0.5,0.25,"sail, small",0.5,ferry,0.25,gondola,0.25\n'
        'gondola/b.png,gondola,gondola,0.7,0.7,gondola,0.7,ferry,0.2,"sail, small",0.1\n'
    )


def test_with_the_plain_answer_in_the_last_column(tmp_path):
    rows = tabulate(PATHS, np.log(PROBABILITIES), ACTUAL, CLASSES, plain=np.array([0, 1, 2]))
    assert [row.plain_predicted for row in rows] == ["sail, small", "gondola", "ferry"]
    write_predictions(tmp_path / "table.csv", rows)
    lines = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith(",label3,probability3,plain_predicted")
    assert lines[3].endswith(',"sail, small",0.1,ferry')
    assert [row.plain_predicted for row in read_predictions(tmp_path / "table.csv")] == [
        "sail, small",
        "gondola",
        "ferry",
    ]


def test_five_of_many_classes():
    probabilities = np.array([[0.05, 0.3, 0.02, 0.3, 0.13, 0.2]])
    row = tabulate(["a/1.png"], np.log(probabilities), np.array([2]), list("abcdef"))[0]
    assert [label for label, _ in row.top] == ["b", "d", "f", "e", "a"]
    assert (row.predicted, row.probability) == row.top[0]
    assert row.actual_probability == pytest.approx(0.02)  # of a class that is not among the five


def test_probabilities_are_computed_in_float64():
    log_probabilities = np.array([[-1e-9, -20.723]], np.float32)
    row = tabulate(["a/1.png"], log_probabilities, np.array([1]), ["a", "b"])[0]
    assert row.probability == np.exp(np.float64(np.float32(-1e-9))) < 1
    assert row.actual_probability == np.exp(np.float64(np.float32(-20.723)))


def test_impossible_and_certain_answers():
    row = tabulate(["a/1.png"], np.array([[1e-8, -np.inf]]), np.array([1]), ["a", "b"])[0]
    assert row.top == (("a", 1.0), ("b", 0.0))
    assert row.actual_probability == 0.0


@pytest.mark.parametrize("photos", [1, 4095, 4097])
def test_top_classes_do_not_depend_on_how_photos_are_cut(photos):
    scores = -np.random.default_rng(photos).integers(0, 4, (photos, 7)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    classes = [f"{number}" for number in range(7)]
    assert [[int(label) for label, _ in row] for row in ranked(scores, classes, 3)] == expected.tolist()
    assert {len(row) for row in ranked(scores, classes, 50)} == {7}


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


@bounded
@given(
    st.lists(names, min_size=1, max_size=7, unique=True),
    st.lists(names, min_size=1, max_size=6, unique=True),
    st.integers(0, 10_000),
    st.booleans(),
)
def test_what_is_written_is_read_again(tmp_path, classes, paths, seed, with_plain):
    generator = np.random.default_rng(seed)
    log_probabilities = np.log(generator.dirichlet(np.ones(len(classes)), size=len(paths)))
    actual, plain = generator.integers(0, len(classes), (2, len(paths)))
    rows = tabulate(paths, log_probabilities, actual, classes, plain if with_plain else None)
    write_predictions(tmp_path / "table.csv", rows)
    again = read_predictions(tmp_path / "table.csv")
    assert [row.path for row in again] == sorted(paths)
    for before, after in zip(rows, again, strict=True):
        assert after == Prediction(
            path=before.path,
            actual=before.actual,
            predicted=before.predicted,
            probability=round(before.probability, 6),
            actual_probability=round(before.actual_probability, 6),
            top=tuple((label, round(share, 6)) for label, share in before.top),
            plain_predicted=before.plain_predicted,
        )
        assert before.predicted == before.top[0][0]
        assert len(before.top) == min(5, len(classes))
        assert list(before.top) == sorted(before.top, key=lambda pair: -pair[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b\n", "'actual'"),
        ("path,actual,predicted,probability,actual_probability\na,b,c,high,0.5\n", "'high'"),
    ],
)
def test_a_malformed_table_is_a_one_line_error(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    expected = rf"table\.csv is not a table of predictions \(.*{message}.*\); run `dvc repro`"
    with pytest.raises(UserError, match=expected):
        read_predictions(tmp_path / "table.csv")


def test_a_missing_table_is_a_one_line_error(tmp_path):
    with pytest.raises(UserError, match=re.escape("table.csv does not exist: run `dvc repro`")):
        read_predictions(tmp_path / "table.csv")


def test_no_photo_makes_no_table(tmp_path):
    with pytest.raises(ValueError, match="no photo was predicted"):
        write_predictions(tmp_path / "table.csv", [])


@pytest.mark.parametrize(
    ("paths", "classes", "plain"),
    [(PATHS[:2], CLASSES, None), (PATHS, CLASSES[:2], None), (PATHS, CLASSES, np.array([0]))],
)
def test_paths_names_and_answers_must_fit(paths, classes, plain):
    with pytest.raises(ValueError, match="3 photos of 3 classes"):
        tabulate(paths, np.log(PROBABILITIES), ACTUAL, classes, plain)
