"""One side of a comparison: its parameters, its metrics, its predictions for the test photos, its photos."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from boatyard.compare.code_changes import md5_of
from boatyard.compare.dvc_lock import Lock, read_lock
from boatyard.compare.revision import Blob, Side, cached
from boatyard.core import files, paths, tables
from boatyard.core.errors import DamagedFile, UserError
from boatyard.core.splits import Sample, read_splits
from boatyard.curation.catalog import ClassCount
from boatyard.evaluation.metrics import METRICS, TOP1_GAIN
from boatyard.evaluation.predictions import Prediction, read_predictions
from boatyard.report.formatting import leaves

METRICS_FILES = {
    path.stem: path
    for path in (
        paths.DOWNLOAD_METRICS,
        paths.FILTER_METRICS,
        paths.SPLIT_METRICS,
        paths.CHECK_LABELS_METRICS,
        paths.TRAIN_METRICS,
        paths.EVALUATE_METRICS,
        paths.TTA_METRICS,
    )
}
_TABLES = (paths.PREDICTIONS, paths.TTA_PREDICTIONS, paths.CLASS_COUNTS)
# The metrics files of the test photos.
TEST_METRICS = (paths.EVALUATE_METRICS, paths.TTA_METRICS)

_SMALL = {path.as_posix() for path in (*METRICS_FILES.values(), *_TABLES)}

# The files that a side is read from; all but data/splits.csv are in git.
FILES = (paths.PARAMS, paths.LOCK, *METRICS_FILES.values(), *_TABLES, paths.SPLITS)

MetricsFile = Mapping[str, Any]
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Results:
    """One side of a comparison.

    Attributes:
        side: where they are from.
        params: the values of params.yaml by dotted key.
        metrics: the metrics files that exist, by the name of their stage.
        predictions, tta_predictions: empty where the table is missing.
        counts: photos of each class; empty where the table is missing.
        stale: the parameters whose value differs from the one that the results were made with, by dvc.lock.
        recoded: the files of the pipeline, of those available, that differ from those that made the results.
        altered: the metrics and tables that differ from those that DVC wrote, by dvc.lock.
        lock: the content of dvc.lock; empty where there is none.
    """

    side: Side
    params: Mapping[str, Any]
    metrics: Mapping[str, MetricsFile]
    predictions: Sequence[Prediction]
    tta_predictions: Sequence[Prediction]
    counts: Sequence[ClassCount]
    stale: Sequence[str]
    recoded: Sequence[str]
    altered: Sequence[str]
    lock: Lock

    @property
    def test(self) -> MetricsFile:
        """metrics/evaluate.json."""
        return self.metrics[paths.EVALUATE_METRICS.stem]

    @property
    def classes(self) -> dict[str, int]:
        """The classes that the filter kept, and their numbers of photos."""
        return {row.label: row.kept for row in self.counts if row.kept}


def read(side: Side) -> Results:
    """Read one side's files, except its photos.

    Raises:
        UserError: the pipeline had not run there, or a file is damaged.
    """
    metrics = {name: _read(side, path, files.read_json) for name, path in METRICS_FILES.items()}
    found = {name: values for name, values in metrics.items() if values is not None}
    test = found.get(paths.EVALUATE_METRICS.stem)
    if test is None:
        raise UserError(f"{side.name} has no {paths.EVALUATE_METRICS}: {side.make}")
    for path in TEST_METRICS:
        _check(side, path, found.get(path.stem))
    params = leaves(_read(side, paths.PARAMS, files.read_yaml) or {})
    lock = _read(side, paths.LOCK, read_lock)
    if lock is None:  # nothing to check the results against
        lock = Lock(params={key: [value] for key, value in params.items()})
    return Results(
        side=side,
        params=params,
        metrics=found,
        predictions=_read(side, paths.PREDICTIONS, read_predictions) or [],
        tta_predictions=_read(side, paths.TTA_PREDICTIONS, read_predictions) or [],
        counts=_read(side, paths.CLASS_COUNTS, lambda path: tables.read_rows(path, ClassCount)) or [],
        stale=lock.not_run(params),
        recoded=side.changed_code(lock.code),
        altered=sorted(
            name for name in _SMALL.intersection(lock.sums) if _md5(side, name) not in (None, lock.sums[name])
        ),
        lock=lock,
    )


@dataclass(frozen=True)
class PhotoTables:
    """Both sides' data/splits.csv.

    Attributes:
        same: they are the same file, and need not be read.
        before, after: their rows; None where one is not available.
        missing: which one is not available, and how to get it, a sentence each.
    """

    same: bool
    before: Sequence[Sample] | None
    after: Sequence[Sample] | None
    missing: Sequence[str]


def read_photos(before: Results, after: Results) -> PhotoTables:
    """Read the photos of both sides: from git or the working tree, else from DVC's cache, never from a remote.

    Raises:
        UserError: a table is damaged, or DVC can't be opened.
    """
    name = paths.SPLITS.as_posix()
    sums = [_md5(results.side, name) or results.lock.sums.get(name) for results in (before, after)]
    if sums[0] is not None and sums[0] == sums[1]:
        return PhotoTables(True, None, None, [])
    tables, missing = [], []
    for results, digest in zip((before, after), sums, strict=True):
        rows, fetched_by = _photos(results.side, digest)
        tables.append(rows)
        if rows is None:
            missing.append(f"{name} of {results.side.name} is not available; {fetched_by}.")
    return PhotoTables(False, tables[0], tables[1], missing)


def _photos(side: Side, digest: str | None) -> tuple[list[Sample] | None, str]:
    """The rows, or how to get them."""
    if side.open(paths.SPLITS) is not None:
        return _read(side, paths.SPLITS, read_splits), ""
    if digest is None:
        return None, "its dvc.lock does not name it, so nothing can fetch it"
    content, has_remote = cached(digest)
    if content is not None:
        source = Blob(f"{side.name}:{paths.SPLITS.as_posix()}", content)
        return _with_advice(side, lambda: read_splits(source)), ""
    if not has_remote:
        return None, "it is not in DVC's cache here, and no remote is configured to fetch it from"
    return None, side.fetch(paths.SPLITS)


def _check(side: Side, path: Path, found: MetricsFile | None) -> None:
    """Check that the values that a comparison computes with are usable numbers."""
    if found is None:
        return
    numbers: dict[str, Any] = {"images": None, "top1": None, **found}
    intervals = found.get("intervals", {})
    ranges: dict[str, tuple[float, float]] = {"images": (1, math.inf)}
    for metric in (*METRICS, TOP1_GAIN):
        span = -1 if metric is TOP1_GAIN else 0, 1 if metric.fraction else math.inf
        ranges |= dict.fromkeys((metric.key, f"{metric.key}_low", f"{metric.key}_high"), span)
        bounds = intervals.get(metric.key, [0, 0]) if isinstance(intervals, Mapping) else intervals
        ends = [f"intervals.{metric.key}[{number}]" for number in (0, 1)]
        numbers |= zip(ends, bounds if isinstance(bounds, list) and len(bounds) == 2 else (None, None), strict=True)
        ranges |= dict.fromkeys(ends, span)
    for key, (low, high) in ranges.items():
        value = numbers.get(key, low)
        kinds = int if key == "images" else int | float
        if not isinstance(value, kinds) or not low <= value <= high or not math.isfinite(value):
            raise UserError(f"{side.name}: {path} has no valid number {key!r}; {side.repair}")


def _read(side: Side, path: Path, reader: Callable[[files.Source], _Content]) -> _Content | None:
    """A file of the side, None where it has none."""
    source = side.open(path)
    return None if source is None else _with_advice(side, lambda: reader(source))


def _with_advice(side: Side, read: Callable[[], _Content]) -> _Content:
    """What `read` returns. If the file is damaged, the message says what to do about this side's files."""
    try:
        return read()
    except DamagedFile as error:
        raise UserError(f"{error.problem}; {side.repair}") from None


def _md5(side: Side, name: str) -> str | None:
    """The MD5 sum of a file of the side, None where it has none."""
    source = side.open(Path(name))
    return None if source is None else md5_of(source.read_bytes())
