"""Leaks: photos of validation or test that are near duplicates of photos in an earlier split."""

from collections.abc import Sequence
from dataclasses import dataclass

from boatyard.core.splits import Sample
from boatyard.curation import near_duplicates
from boatyard.curation.catalog import Photo

# The splits that must have no near duplicate of a photo: those that trained the network or chose its settings.
_EARLIER = {"validation": ("train",), "test": ("train", "validation")}


@dataclass(frozen=True)
class Leak:
    """A photo of validation or test, and the nearest photo (`like`) of an earlier split: a row of data/leaks.csv.

    Attributes:
        flip: how one is mirrored relative to the other, one of `near_duplicates.FLIPS`.
        bits: the bits of 256 in which their perceptual hashes differ.
    """

    path: str
    label: str
    split: str
    like: str
    like_label: str
    like_split: str
    flip: str
    bits: int


def find(photos: Sequence[Photo], rows: Sequence[Sample]) -> list[Leak]:
    """The photos of validation and test that are within `near_duplicates.DISTANCE` bits of one in an earlier split.

    One leak for each such photo, test first, then by path.
    """
    phash = {photo.path: photo.phash for photo in photos}
    leaks = []
    for split, earlier in reversed(_EARLIER.items()):
        mine = [row for row in rows if row.split == split]
        others = [row for row in rows if row.split in earlier]
        hashes, theirs = ([phash[row.path] for row in some] for some in (mine, others))
        for row, match in zip(mine, near_duplicates.nearest(hashes, theirs, near_duplicates.DISTANCE), strict=True):
            if match:
                like = others[match.other]
                about = row.path, row.label, split, like.path, like.label, like.split
                leaks.append(Leak(*about, match.flip, match.bits))
    return leaks
