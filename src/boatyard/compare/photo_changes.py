"""Which photos came, went, or changed their label or their split between two runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from boatyard.core.splits import Sample


@dataclass(frozen=True)
class PhotoChanges:
    """How the photos of two runs differ. A photo is told by its SHA-256, so that a new name makes no new photo.

    Attributes:
        before, after: how many photos there are.
        added, gone: rows of the later, and of the earlier run, sorted by path.
        relabelled: both rows of each photo whose label changed.
        renamed: photos that have another path, under the same label.
        moved: photos by the split that they were in and the one that they are in, where these differ.
    """

    before: int
    after: int
    added: Sequence[Sample]
    gone: Sequence[Sample]
    relabelled: Sequence[tuple[Sample, Sample]]
    renamed: int
    moved: Counter[tuple[str, str]]

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.gone or self.relabelled or self.renamed or self.moved)

    @property
    def labels(self) -> list[tuple[str, int, int]]:
        """The classes with photos added or gone, and how many; those with the most of them first."""
        added, gone = Counter(row.label for row in self.added), Counter(row.label for row in self.gone)
        rows = [(label, added[label], gone[label]) for label in added.keys() | gone.keys()]
        return sorted(rows, key=lambda row: (-row[1] - row[2], row[0]))


def compare_photos(before: Sequence[Sample], after: Sequence[Sample]) -> PhotoChanges:
    """Compare the rows of two data/splits.csv, in each of which a content stands once."""
    old, new = ({row.sha256: row for row in rows} for rows in (before, after))
    both = [(row, new[key]) for key, row in old.items() if key in new]
    return PhotoChanges(
        before=len(before),
        after=len(after),
        added=sorted((row for key, row in new.items() if key not in old), key=lambda row: row.path),
        gone=sorted((row for key, row in old.items() if key not in new), key=lambda row: row.path),
        relabelled=[(row, now) for row, now in both if row.label != now.label],
        renamed=sum(row.path != now.path and row.label == now.label for row, now in both),
        moved=Counter((row.split, now.split) for row, now in both if row.split != now.split),
    )
