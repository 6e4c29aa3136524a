import pytest

from boatyard.evaluation.pairing import match
from boatyard.evaluation.predictions import Prediction

NOTHING = ({}, {})


def row(path, actual="cat", predicted="cat"):
    return Prediction(path, actual, predicted, 0.9, 0.9, ((predicted, 0.9),))


def table(*paths, **how):
    return [row(path, **how) for path in paths]


def test_the_same_photos_in_another_order():
    pairs = match(table("a", "b", "c"), table("c", "a", "b", predicted="dog"), NOTHING)
    assert (pairs.kind, pairs.common, pairs.relabelled) == ("same", 3, 0)
    assert [r.path for r in pairs.before] == [r.path for r in pairs.after] == ["a", "b", "c"]
    assert {r.predicted for r in pairs.after} == {"dog"}


@pytest.mark.parametrize(
    ("before", "after", "kind", "common"),
    [
        ("abc", "abcd", "common", 3),
        ("abcd", "ab", "common", 2),
        ("abcdef", "abcxyz", "common", 3),
        ("abcdef", "abwxyz", "other", 2),
        ("abcdef", "ab", "other", 2),
        ("abc", "xyz", "other", 0),
    ],
)
def test_photos_in_part_the_same(before, after, kind, common):
    old, new = table(*before), table(*after)
    pairs = match(old, new, NOTHING)
    assert (pairs.kind, pairs.common) == (kind, common)
    if kind == "other":
        assert (pairs.before, pairs.after) == (old, new)
    else:
        assert [r.path for r in pairs.before] == [r.path for r in pairs.after] == list("abcdef"[:common])


def test_a_photo_is_told_by_its_content_where_that_is_known():
    # x is the old b under a new name, and the new b another photo.
    names = {"a": "sha-a", "b": "sha-b"}, {"a": "sha-a", "x": "sha-b", "b": "sha-c"}
    pairs = match(table("a", "b"), table("a", "x"), names)
    assert pairs.kind == "same"
    assert [(old.path, new.path) for old, new in zip(pairs.before, pairs.after, strict=True)] == [
        ("a", "a"),
        ("b", "x"),
    ]
    assert match(table("a", "b"), table("a", "b"), names).common == 1
    assert match(table("a", "b"), table("a", "b"), NOTHING).common == 2


def test_a_relabelled_photo_is_no_pair():
    pairs = match(table("a", "b", "c"), [*table("a", "b"), row("c", actual="dog")], NOTHING)
    assert (pairs.kind, pairs.common, pairs.relabelled) == ("common", 2, 1)
    assert [r.path for r in pairs.after] == ["a", "b"]
