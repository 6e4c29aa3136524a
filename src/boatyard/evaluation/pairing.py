"""Which photos two predictions tables have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from boatyard.evaluation.predictions import Prediction

# Pairs tell more than two separate test sets only while they are not too few. With half of the photos in common theirs
# is the narrower interval if the two classifiers' mistakes correlate by more than 0.5.
FEWEST = 0.5


@dataclass(frozen=True)
class Pairs:
    """The photos that two tables are compared on.

    Attributes:
        kind: 'same' photos, the 'common' ones of two tables that differ, or 'other' photos, too few of them in common.
        before, after: the tables' rows; of the same photos in the same order unless `kind` is 'other'.
        common: how many photos both tables hold, under the same label.
        relabelled: how many photos both hold, under another label.
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

    A photo that was relabelled is left out of the pairs: right under the one label, it need not have changed to be
    wrong under the other.

    Args:
        before: the rows of one table.
        after: the rows of the other one.
        identities: for each table, what tells a photo from others by its path, such as its SHA-256; a path that is not
            among them stands for itself.
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
    elif same_label and len(same_label) >= FEWEST * max(len(before), len(after)):
        kind = "common"
    else:
        return Pairs("other", before, after, len(same_label), relabelled)
    return Pairs(kind, [old[key] for key in same_label], [new[key] for key in same_label], len(same_label), relabelled)
