"""Kind `kaggle`: a data set of Kaggle's, fetched by kagglehub (an optional extra) into that package's own cache."""

import logging
from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.params.dataset import KaggleDataset
from boatyard.sources.base import SourceFiles

UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404


def fetch(dataset: KaggleDataset) -> SourceFiles:
    """Fetch the data set unless kagglehub's cache has it whole. Its files are copied, for the cache is not ours."""
    try:
        import kagglehub
    except ImportError:
        raise UserError("dataset.source is kaggle, which needs kagglehub: pip install kagglehub") from None
    logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it writes to stdout what its progress bar shows
    shown = f"{dataset.name} version {dataset.version}"
    try:
        folder = kagglehub.dataset_download(f"{dataset.name}/versions/{dataset.version}")
    except Exception as error:  # kagglehub's own, requests', and those of the archive's unpacking
        raise UserError(f"Kaggle's {shown} can't be fetched: {_reason(error)}") from error
    return SourceFiles(
        folder=Path(folder),
        shown=shown,
        name=f"kaggle {dataset.name}",
        version=str(dataset.version),
        sha256="",
        movable=False,
    )


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return (
            f"it answers {status}: make a token on kaggle.com (Settings, API), put it into the environment variable "
            "KAGGLE_API_TOKEN, and accept the data set's terms on its page"
        )
    if status == NOT_FOUND:
        return "there is no such data set or version: mend dataset.name or dataset.version"
    return f"{type(error).__name__}: {error}"
