from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from boatyard.core import tables
from boatyard.curation import duplicate_groups
from boatyard.curation.duplicate_groups import NearDuplicate

PATHS = ["a/1", "a/2", "b/1", "b/2", "c/1"]


def test_only_photos_with_near_duplicates_are_listed() -> None:
    expected = [
        NearDuplicate("a/1", "a/1"),
        NearDuplicate("b/2", "a/1"),
        NearDuplicate("b/1", "b/1"),
        NearDuplicate("c/1", "b/1"),
    ]
    assert duplicate_groups.table(PATHS, [0, 1, 2, 0, 2]) == expected
    assert duplicate_groups.table(PATHS, range(5)) == []
    assert duplicate_groups.table([], []) == []


@examples(40)
@given(st.lists(st.integers(0, 6), max_size=12))
def test_groups_are_read_back_in_order_of_first_appearance(groups: list[int]) -> None:
    paths = [f"a/{number}" for number in range(len(groups))]
    number: dict[int, int] = {}
    expected = [number.setdefault(group, len(number)) for group in groups]
    assert duplicate_groups.group_numbers(paths, duplicate_groups.table(paths, groups)) == expected


def test_an_added_photo_does_not_change_the_other_rows() -> None:
    before = duplicate_groups.table(PATHS, [0, 1, 2, 0, 2])
    assert duplicate_groups.table(["a/0", *PATHS], [0, 1, 2, 3, 1, 3]) == before


def test_the_table_is_read_back(tmp_path: Path) -> None:
    rows = [NearDuplicate('b/"1", x.png', "a/1\n"), NearDuplicate("a/1\n", "a/1\n")]
    tables.write_rows(tmp_path / "near_duplicates.csv", NearDuplicate, rows)
    assert tables.read_rows(tmp_path / "near_duplicates.csv", NearDuplicate) == rows
