"""One run of the pipeline, as the report shows it: the content of its files and what follows from it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.core.splits import SPLITS, Sample
from boatyard.curation.catalog import ClassCount, ImageSize, Photo, Rejected
from boatyard.curation.leaks import Leak
from boatyard.evaluation import comparison, metrics, temperature
from boatyard.evaluation.calibration import ConfidenceBin
from boatyard.evaluation.class_results import ClassResult, confusion_matrix
from boatyard.evaluation.comparison import Comparison, TtaClassResult
from boatyard.evaluation.label_issues import LabelIssue
from boatyard.evaluation.metrics import Metric
from boatyard.evaluation.predictions import Prediction
from boatyard.models.layer_summary import Layer
from boatyard.report import trend
from boatyard.report.trend import Trend
from boatyard.training.history import Epoch

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Confusion:
    """How often a class is mistaken for another one."""

    actual: str
    predicted: str
    photos: int
    share: float  # of the actual class's test photos


@dataclass(frozen=True)
class Run:
    """One run of the pipeline.

    Attributes:
        settings: the sections of params.yaml.
        download, filtering, splitting, labelling, training, test, tta: the stages' metrics files.
        catalog, rejected: the photos that the filter kept and left out.
        rows: the splits of those kept.
        leaks: validation and test photos that are near duplicates of one in an earlier split.
        label_issues: photos that may be mislabelled, the least probable label first.
        counts, sizes, history, layers, predictions, results, bins, tta_results: the rows of the plots' files.
    """

    settings: Mapping[str, Any]
    download: Metrics
    filtering: Metrics
    splitting: Metrics
    labelling: Metrics
    training: Metrics
    test: Metrics
    tta: Metrics
    catalog: Sequence[Photo]
    rejected: Sequence[Rejected]
    rows: Sequence[Sample]
    leaks: Sequence[Leak]
    label_issues: Sequence[LabelIssue]
    counts: Sequence[ClassCount]
    sizes: Sequence[ImageSize]
    history: Sequence[Epoch]
    layers: Sequence[Layer]
    predictions: Sequence[Prediction]
    results: Sequence[ClassResult]
    bins: Sequence[ConfidenceBin]
    tta_results: Sequence[TtaClassResult]

    @property
    def name(self) -> str:
        """The data set's name and version."""
        return f"{self.download['source']} {self.download['version']}".strip()

    @cached_property
    def labels(self) -> list[str]:
        """The classes that the filter kept, in the order of the network's outputs."""
        return sorted({row.label for row in self.rows})

    @cached_property
    def split_counts(self) -> dict[str, dict[str, int]]:
        """Photos of each class in each split."""
        counts = Counter((row.label, row.split) for row in self.rows)
        return {label: {split: counts[label, split] for split in SPLITS} for label in self.labels}

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Test photos by actual class (row) and predicted class (column): int64 [k, k]."""
        index = {label: number for number, label in enumerate(self.labels)}
        actual = np.array([index[prediction.actual] for prediction in self.predictions])
        predicted = np.array([index[prediction.predicted] for prediction in self.predictions])
        return confusion_matrix(actual, predicted, len(index))

    @property
    def confusions(self) -> list[Confusion]:
        """Every pair of classes that was confused, the most frequent first."""
        tests = self.confusion.sum(axis=1)
        rows, columns = np.nonzero(self.confusion - np.diag(np.diag(self.confusion)))
        pairs = [
            Confusion(self.labels[r], self.labels[c], int(self.confusion[r, c]), float(self.confusion[r, c] / tests[r]))
            for r, c in zip(rows, columns, strict=True)
        ]
        return sorted(pairs, key=lambda pair: (-pair.photos, -pair.share, pair.actual, pair.predicted))

    @property
    def comparison(self) -> Comparison:
        """Test-time augmentation against the plain view, on the test photos."""
        return Comparison(**{field.name: self.tta[field.name] for field in fields(Comparison)})

    @property
    def verdict(self) -> str:
        """Whether test-time augmentation helps, in one sentence."""
        return comparison.verdict(self.comparison)

    @property
    def calibration(self) -> str:
        """Why the model has its temperature, in one sentence."""
        return temperature.verdict(self.training)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics worth showing for this number of classes."""
        return metrics.shown(len(self.labels))

    @property
    def largest_class(self) -> tuple[str, float]:
        """The class with the most training photos, and the test top-1 of always predicting it."""
        label = max(self.results, key=lambda row: (row.train_images, row.label)).label
        return label, _share(prediction.actual == label for prediction in self.predictions)

    @property
    def trend(self) -> Trend | None:
        """How top-1 depends on a class's number of training photos, if that can be said."""
        return trend.fit(self.results)

    @property
    def worst_first(self) -> list[ClassResult]:
        """The classes' results, the lowest top-1 first."""
        return sorted(self.results, key=lambda row: (row.top1, row.label))

    @property
    def worst_class(self) -> ClassResult:
        """The class with the lowest top-1; of several, the one with the most test photos."""
        return min(self.results, key=lambda row: (row.top1, -row.test_images, row.label))

    @property
    def top1_without_leaks(self) -> float | None:
        """Top-1 on the test photos that are not leaks; None if all are."""
        leaked = {leak.path for leak in self.leaks}
        rest = [prediction for prediction in self.predictions if prediction.path not in leaked]
        return _share(prediction.right for prediction in rest) if rest else None

    def mistakes(self, label: str | None = None) -> list[Prediction]:
        """The wrong predictions, of one class's photos or of all, the most confident first."""
        wrong = [p for p in self.predictions if not p.right and label in (None, p.actual)]
        return sorted(wrong, key=lambda p: (-p.probability, p.path))


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)
