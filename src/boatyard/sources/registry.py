"""The registry of sources: the function that fetches what each section of `boatyard.params.dataset.SECTIONS` describes.

A new source is a subclass of `DatasetSection` in that list, and a line here.
"""

from collections.abc import Callable
from typing import Any

from boatyard.params import dataset
from boatyard.params.dataset import DatasetSection
from boatyard.sources import folder, kaggle, pypi, torchvision_datasets, url
from boatyard.sources.interface import Listing, Workspace

SOURCES: dict[type[DatasetSection], Callable[[Any, Workspace], Listing]] = {
    dataset.PypiDataset: pypi.fetch,
    dataset.FolderDataset: folder.fetch,
    dataset.UrlDataset: url.fetch,
    dataset.TorchvisionDataset: torchvision_datasets.fetch,
    dataset.KaggleDataset: kaggle.fetch,
}
