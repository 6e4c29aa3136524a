"""Kind `folder`: one's own photos, put under data/incoming by hand, by `dvc add` or by `dvc import`."""

from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.sources.base import SourceFiles
from boatyard.sources.walk import files


def fetch(incoming: Path) -> SourceFiles:
    """The folder as it is; its files are only ever copied, so that changing them can't change data/raw."""
    shown = incoming.as_posix()
    if not incoming.is_dir() or not files(incoming, shown):
        raise UserError(
            f"{shown} holds no files: put the photos there, a folder per class ({shown}/<class>/<photo>.jpg), "
            "or set dataset.source to another kind"
        )
    return SourceFiles(folder=incoming, shown=shown, name=shown, version="", sha256="", movable=False)
