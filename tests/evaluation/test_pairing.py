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
    assert (pairs.kind, len(pairs.before), pairs.relabelled) == ("same", 3, 0)
    assert [r.path for r in pairs.before] == [r.path for r in pairs.after] == ["a", "b", "c"]
    assert {r.predicted for r in pairs.after} == {"dog"}


@pytest.mark.parametrize(
    ("before", "after", "kind", "common"),
    [
        ("abc", "abcd", "common", "abc"),
        ("abcd", "ab", "common", "ab"),
        ("abcdef", "abcxyz", "common", "abc"),
        ("abcdef", "abwxyz", "other", None),
        ("abcdef", "ab", "other", None),
        ("abc", "xyz", "other", None),
    ],
)
def test_photos_in_part_the_same(before, after, kind, common):
    old, new = table(*before), table(*after)
    pairs = match(old, new, NOTHING)
    assert pairs.kind == kind
    if common is None:
        assert (pairs.before, pairs.after) == (old, new)
    else:
        assert [r.path for r in pairs.before] == [r.path for r in pairs.after] == list(common)


def test_a_photo_is_identified_by_its_content_where_that_is_known():
    # x is the old b under a new name, and the new b another photo.
    names = {"a": "sha-a", "b": "sha-b"}, {"a": "sha-a", "x": "sha-b", "b": "sha-c"}
    pairs = match(table("a", "b"), table("a", "x"), names)
    assert pairs.kind == "same"
    assert [(old.path, new.path) for old, new in zip(pairs.before, pairs.after, strict=True)] == [
        ("a", "a"),
        ("b", "x"),
    ]
    assert match(table("a", "b"), table("a", "b"), names).kind == "common"
    assert match(table("a", "b"), table("a", "b"), NOTHING).kind == "same"


def test_a_relabelled_photo_is_not_paired():
    pairs = match(table("a", "b", "c"), [*table("a", "b"), row("c", actual="dog")], NOTHING)
    assert (pairs.kind, len(pairs.before), pairs.relabelled) == ("common", 2, 1)
    assert [r.path for r in pairs.after] == ["a", "b"]
