"""Which photos are near duplicates of one another: data/near_duplicates.csv, written once for all who ask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from boatyard.core import tables


@dataclass(frozen=True)
class Alike:
    """A photo that has near duplicates: a row of data/near_duplicates.csv.

    Attributes:
        path: the photo's.
        first: that of the first photo of its group, by which the group is named: numbers would change with each photo
            that comes or goes.
    """

    path: str
    first: str


def alike(paths: Sequence[str], groups: Sequence[int]) -> list[Alike]:
    """The photos of each group of two or more, group by group.

    Args:
        paths: of n photos.
        groups: n numbers, of `duplicates.group`.
    """
    members: dict[int, list[str]] = {}
    for path, group in zip(paths, groups, strict=True):
        members.setdefault(group, []).append(path)
    return [Alike(path, together[0]) for together in members.values() if len(together) > 1 for path in together]


def numbers(paths: Sequence[str], rows: Iterable[Alike]) -> list[int]:
    """The groups of n photos: n numbers, by first appearance; a photo without near duplicates has its own."""
    first = {row.path: row.first for row in rows}
    number: dict[str, int] = {}
    return [number.setdefault(first.get(path, path), len(number)) for path in paths]


def write_alike(path: Path, rows: Iterable[Alike]) -> None:
    """Write data/near_duplicates.csv."""
    tables.write_rows(path, Alike, rows)


def read_alike(path: Path) -> list[Alike]:
    """Read data/near_duplicates.csv."""
    return tables.read_rows(path, Alike)
