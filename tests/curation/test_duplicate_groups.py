from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from boatyard.curation import duplicate_groups
from boatyard.curation.duplicate_groups import Alike

PATHS = ["a/1", "a/2", "b/1", "b/2", "c/1"]


def test_only_photos_with_near_duplicates_are_listed_under_the_first_of_them() -> None:
    expected = [Alike("a/1", "a/1"), Alike("b/2", "a/1"), Alike("b/1", "b/1"), Alike("c/1", "b/1")]
    assert duplicate_groups.alike(PATHS, [0, 1, 2, 0, 2]) == expected
    assert duplicate_groups.alike(PATHS, range(5)) == []
    assert duplicate_groups.alike([], []) == []


@examples(40)
@given(st.lists(st.integers(0, 6), max_size=12))
def test_the_groups_come_back_numbered_by_first_appearance(given_groups: list[int]) -> None:
    paths = [f"a/{number}" for number in range(len(given_groups))]
    number: dict[int, int] = {}
    expected = [number.setdefault(group, len(number)) for group in given_groups]
    assert duplicate_groups.numbers(paths, duplicate_groups.alike(paths, given_groups)) == expected


def test_another_photo_leaves_the_rows_of_all_others_as_they_are() -> None:
    before = duplicate_groups.alike(PATHS, [0, 1, 2, 0, 2])
    assert duplicate_groups.alike(["a/0", *PATHS], [0, 1, 2, 3, 1, 3]) == before


def test_the_table_comes_back(tmp_path: Path) -> None:
    rows = [Alike('b/"1", x.png', "a/1\n"), Alike("a/1\n", "a/1\n")]
    duplicate_groups.write_alike(tmp_path / "near_duplicates.csv", rows)
    assert duplicate_groups.read_alike(tmp_path / "near_duplicates.csv") == rows
