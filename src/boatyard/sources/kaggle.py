"""Source `kaggle`: a Kaggle data set, fetched by kagglehub (an optional extra) into that package's own cache."""

import logging
from http import HTTPStatus
from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.params.dataset import KaggleDataset
from boatyard.sources import layouts
from boatyard.sources.interface import Listing, SourceFiles, Workspace


def fetch(dataset: KaggleDataset, workspace: Workspace) -> Listing:
    """Fetch the data set unless it is complete in kagglehub's cache. Its files are copied and the cache is kept."""
    try:
        import kagglehub
    except ImportError:
        raise UserError("dataset.source is kaggle, which needs kagglehub: pip install kagglehub") from None
    logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it logs to stdout what its progress bar shows
    title = f"{dataset.name} version {dataset.version}"
    try:
        folder = Path(kagglehub.dataset_download(f"{dataset.name}/versions/{dataset.version}"))
    except Exception as error:  # kagglehub's own, those of requests, and those of unpacking
        raise UserError(f"{title} can't be fetched from Kaggle: {_reason(error)}") from error
    files = SourceFiles(folder, title, f"kaggle {dataset.name}", str(dataset.version), sha256="", movable=False)
    return layouts.read(dataset.layout, files)


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return (
            f"it answers {status}: create a token on kaggle.com (Settings, API), put it into the environment variable "
            "KAGGLE_API_TOKEN, and accept the data set's terms on its page"
        )
    if status == HTTPStatus.NOT_FOUND:
        return "there is no such data set or version: correct dataset.name or dataset.version"
    return f"{type(error).__name__}: {error}"
