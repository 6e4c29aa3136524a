"""The groups of near duplicates in data/near_duplicates.csv, for all stages that need them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class NearDuplicate:
    """A photo that has near duplicates: a row of data/near_duplicates.csv.

    `first` is the path of its group's first photo. It identifies the group: a number would change with every photo that
    is added or removed.
    """

    path: str
    first: str


def table(paths: Sequence[str], groups: Sequence[int]) -> list[NearDuplicate]:
    """The photos of each group of two or more, group by group; `groups` are from `near_duplicates.group`."""
    members: dict[int, list[str]] = {}
    for path, group in zip(paths, groups, strict=True):
        members.setdefault(group, []).append(path)
    return [NearDuplicate(path, together[0]) for together in members.values() if len(together) > 1 for path in together]


def group_numbers(paths: Sequence[str], rows: Iterable[NearDuplicate]) -> list[int]:
    """The group numbers of n photos, in order of first appearance; a photo without near duplicates has its own."""
    first = {row.path: row.first for row in rows}
    numbers: dict[str, int] = {}
    return [numbers.setdefault(first.get(path, path), len(numbers)) for path in paths]
