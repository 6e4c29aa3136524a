"""Reading the files of a run that the report shows."""

from pathlib import Path

from boatyard import params
from boatyard.core import files, paths, splits, tables
from boatyard.curation.catalog import ClassCount, ImageSize, Photo, Rejected
from boatyard.curation.leaks import Leak
from boatyard.evaluation.calibration import ConfidenceBin
from boatyard.evaluation.class_results import ClassResult
from boatyard.evaluation.comparison import TtaClassResult
from boatyard.evaluation.label_issues import LabelIssue
from boatyard.evaluation.predictions import read_predictions
from boatyard.models.layer_summary import Layer
from boatyard.params import Params
from boatyard.report.run import Run
from boatyard.training.history import Epoch


def read(settings: Params, folder: Path = Path()) -> Run:
    """Read the files of the run whose repository is `folder`.

    Raises:
        UserError: one is missing or damaged.
    """
    return Run(
        settings=params.dump(settings),
        download=files.read_json(folder / paths.DOWNLOAD_METRICS),
        filtering=files.read_json(folder / paths.FILTER_METRICS),
        splitting=files.read_json(folder / paths.SPLIT_METRICS),
        labelling=files.read_json(folder / paths.CHECK_LABELS_METRICS),
        training=files.read_json(folder / paths.TRAIN_METRICS),
        test=files.read_json(folder / paths.EVALUATE_METRICS),
        tta=files.read_json(folder / paths.TTA_METRICS),
        catalog=tables.read_rows(folder / paths.CATALOG, Photo),
        rejected=tables.read_rows(folder / paths.REJECTED, Rejected),
        rows=splits.read_splits(folder / paths.SPLITS),
        leaks=tables.read_rows(folder / paths.LEAKS, Leak),
        label_issues=tables.read_rows(folder / paths.SUSPECTS, LabelIssue),
        counts=tables.read_rows(folder / paths.CLASS_COUNTS, ClassCount),
        sizes=tables.read_rows(folder / paths.IMAGE_SIZES, ImageSize),
        history=tables.read_rows(folder / paths.HISTORY, Epoch),
        layers=tables.read_rows(folder / paths.LAYERS, Layer),
        predictions=read_predictions(folder / paths.PREDICTIONS),
        results=tables.read_rows(folder / paths.PER_CLASS, ClassResult),
        bins=tables.read_rows(folder / paths.RELIABILITY, ConfidenceBin),
        tta_results=tables.read_rows(folder / paths.TTA_PER_CLASS, TtaClassResult),
    )
