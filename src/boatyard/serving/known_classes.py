"""The class of a photo that this repository knows."""

from functools import cached_property
from pathlib import Path

from boatyard.core import files, paths, splits


class KnownClasses:
    """Finds a photo's class: its folder, if that is data/raw/<class>; else the class of a copy in data/splits.csv."""

    def __call__(self, photo: Path) -> str | None:
        """The class of a photo; None if it is not known."""
        folder = photo.parent.resolve()  # the photo itself may be a link into DVC's cache
        if folder.parent == paths.RAW.resolve():
            return folder.name
        return self._by_content.get(files.sha256_of(photo)) if self._by_content else None

    @cached_property
    def _by_content(self) -> dict[str, str]:
        if not paths.SPLITS.exists():
            return {}
        return {row.sha256: row.label for row in splits.read_splits(paths.SPLITS)}
