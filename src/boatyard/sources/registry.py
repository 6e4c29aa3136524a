"""The registry of sources: the function that fetches what each section of `boatyard.params.dataset.SECTIONS` describes.

A new source is a subclass of `DatasetSection` in that list, and a line here.
"""

from collections.abc import Callable
from typing import Any

from boatyard.params.dataset import (
    DatasetSection,
    FolderDataset,
    KaggleDataset,
    PypiDataset,
    TorchvisionDataset,
    UrlDataset,
)
from boatyard.sources import folder, kaggle, pypi, torchvision_datasets, url
from boatyard.sources.base import Listing, Workspace

SOURCES: dict[type[DatasetSection], Callable[[Any, Workspace], Listing]] = {
    PypiDataset: pypi.fetch,
    FolderDataset: folder.fetch,
    UrlDataset: url.fetch,
    TorchvisionDataset: torchvision_datasets.fetch,
    KaggleDataset: kaggle.fetch,
}
