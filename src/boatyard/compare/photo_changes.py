"""Photos that were added, removed, relabelled or moved to another split between two runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from boatyard.core.splits import Sample


@dataclass(frozen=True)
class PhotoChanges:
    """How the photos of two runs differ. A photo is identified by its SHA-256, so a renamed photo is the same one.

    Attributes:
        before, after: number of photos.
        added: rows of the later run, sorted by path.
        removed: rows of the earlier run, sorted by path.
        relabelled: both rows of each photo whose label changed.
        renamed: number of photos with another path and the same label.
        moved: number of photos by their old and new split, where these differ.
    """

    before: int
    after: int
    added: Sequence[Sample]
    removed: Sequence[Sample]
    relabelled: Sequence[tuple[Sample, Sample]]
    renamed: int
    moved: Counter[tuple[str, str]]

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.relabelled or self.renamed or self.moved)

    @property
    def labels(self) -> list[tuple[str, int, int]]:
        """The classes with photos added or removed, and the numbers of those; most changed first."""
        added, removed = Counter(row.label for row in self.added), Counter(row.label for row in self.removed)
        rows = [(label, added[label], removed[label]) for label in added.keys() | removed.keys()]
        return sorted(rows, key=lambda row: (-row[1] - row[2], row[0]))


def compare_photos(before: Sequence[Sample], after: Sequence[Sample]) -> PhotoChanges:
    """Compare the rows of two data/splits.csv, each with unique contents."""
    old, new = ({row.sha256: row for row in rows} for rows in (before, after))
    both = [(row, new[key]) for key, row in old.items() if key in new]
    return PhotoChanges(
        before=len(before),
        after=len(after),
        added=sorted((row for key, row in new.items() if key not in old), key=lambda row: row.path),
        removed=sorted((row for key, row in old.items() if key not in new), key=lambda row: row.path),
        relabelled=[(row, now) for row, now in both if row.label != now.label],
        renamed=sum(row.path != now.path and row.label == now.label for row, now in both),
        moved=Counter((row.split, now.split) for row, now in both if row.split != now.split),
    )
