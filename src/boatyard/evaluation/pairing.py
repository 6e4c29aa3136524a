"""The photos that two tables of predictions have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from boatyard.evaluation.predictions import Prediction

# Pairs are more informative than two separate test sets only if there are enough. With half of the photos in common the
# paired interval is the narrower one if the two classifiers' errors correlate by more than 0.5.
MIN_COMMON = 0.5

Kind = Literal["same", "common", "other"]


@dataclass(frozen=True)
class Pairs:
    """The photos that two tables are compared on.

    Attributes:
        kind: the 'same' photos, the 'common' ones of two tables that differ, or 'other' photos, with too few in common.
        before, after: the tables' rows; of the same photos in the same order unless `kind` is 'other'.
        relabelled: number of photos in both tables with different labels.
    """

    kind: Kind
    before: Sequence[Prediction]
    after: Sequence[Prediction]
    relabelled: int


def match(before: Sequence[Prediction], after: Sequence[Prediction], identities: Sequence[Mapping[str, str]]) -> Pairs:
    """Pair the rows of two tables by photo.

    A photo that was relabelled is left out of the pairs: the same prediction may be right under one label and wrong
    under the other.

    `identities` gives, for each table, the identity of a photo (such as its SHA-256) by its path; a path without one is
    its own identity.
    """
    old, new = (
        {names.get(row.path, row.path): row for row in rows}
        for names, rows in zip(identities, (before, after), strict=True)
    )
    shared = [(row, new[key]) for key, row in old.items() if key in new]
    pairs = [(row, now) for row, now in shared if row.actual == now.actual]
    relabelled = len(shared) - len(pairs)
    if not pairs or len(pairs) < MIN_COMMON * max(len(before), len(after)):
        return Pairs("other", before, after, relabelled)
    kind: Kind = "same" if len(pairs) == len(before) == len(after) else "common"
    return Pairs(kind, [row for row, _ in pairs], [now for _, now in pairs], relabelled)
