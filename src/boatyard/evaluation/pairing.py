"""The photos that two tables of predictions have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from boatyard.evaluation.predictions import Prediction

# Pairs are more informative than two separate test sets only if there are enough. With half of the photos in common the
# paired interval is the narrower one if the two classifiers' errors correlate by more than 0.5.
MIN_COMMON = 0.5


@dataclass(frozen=True)
class Pairs:
    """The photos that two tables are compared on.

    Attributes:
        kind: the 'same' photos, the 'common' ones of two tables that differ, or 'other' photos, with too few in common.
        before, after: the tables' rows; of the same photos in the same order unless `kind` is 'other'.
        common: number of photos in both tables with the same label.
        relabelled: number of photos in both tables with different labels.
    """

    kind: Literal["same", "common", "other"]
    before: Sequence[Prediction]
    after: Sequence[Prediction]
    common: int
    relabelled: int


def match(
    before: Sequence[Prediction], after: Sequence[Prediction], identities: tuple[Mapping[str, str], Mapping[str, str]]
) -> Pairs:
    """Pair the rows of two tables by photo.

    A photo that was relabelled is left out of the pairs: the same prediction may be right under one label and wrong
    under the other.

    Args:
        before: the rows of one table.
        after: the rows of the other table.
        identities: for each table, the identity of a photo (such as its SHA-256) by its path. A path without one is its
            own identity.
    """
    old, new = (
        {names.get(row.path, row.path): row for row in rows}
        for names, rows in zip(identities, (before, after), strict=True)
    )
    shared = [key for key in old if key in new]
    same_label = [key for key in shared if old[key].actual == new[key].actual]
    relabelled = len(shared) - len(same_label)
    if len(same_label) == len(before) == len(after):
        kind: Literal["same", "common", "other"] = "same"
    elif same_label and len(same_label) >= MIN_COMMON * max(len(before), len(after)):
        kind = "common"
    else:
        return Pairs("other", before, after, len(same_label), relabelled)
    return Pairs(kind, [old[key] for key in same_label], [new[key] for key in same_label], len(same_label), relabelled)
