"""Source `folder`: your own photos, put under data/incoming by hand, by `dvc add` or by `dvc import`."""

from boatyard.core.errors import UserError
from boatyard.params.dataset import FolderDataset
from boatyard.sources import layouts
from boatyard.sources.interface import Listing, SourceFiles, Workspace
from boatyard.sources.walk import list_files


def fetch(dataset: FolderDataset, workspace: Workspace) -> Listing:
    """List the photos of the folder. They are always copied, so that changing them can't change data/raw."""
    folder = workspace.incoming
    title = folder.as_posix()
    if not folder.is_dir() or not list_files(folder, title):
        raise UserError(
            f"{title} has no files: put your photos there, one folder per class ({title}/<class>/<photo>.jpg), "
            "or choose another dataset.source"
        )
    return layouts.read(dataset.layout, SourceFiles(folder, title, title, version="", sha256="", movable=False))
