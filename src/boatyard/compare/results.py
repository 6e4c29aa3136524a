"""What one side of a comparison says: its settings, its metrics, its answers on the test photos, its photos."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any, TypeVar

from boatyard.compare.dvc_lock import Lock, read_lock
from boatyard.compare.revision import Blob, Side, cached
from boatyard.core import files, paths, tables
from boatyard.core.errors import DamagedFile, UserError
from boatyard.core.splits import Sample, read_splits
from boatyard.evaluation.plot_tables import ClassCount
from boatyard.evaluation.predictions import Prediction, read_predictions
from boatyard.report.formatting import leaves

METRICS = {
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
# The metrics files of the test photos, and their keys that are shares of them or of classes.
FIGURES = (paths.EVALUATE_METRICS, paths.TTA_METRICS)
SHARES = ("top1", "top1_low", "top1_high", "top3", "top5", "mean_class_accuracy", "macro_f1", "ece")

_SMALL = [path.as_posix() for path in (*METRICS.values(), *_TABLES)]

# What a side is read from; git holds all of it but data/splits.csv.
FILES = (paths.PARAMS, paths.LOCK, *METRICS.values(), *_TABLES, paths.SPLITS)

Metrics = Mapping[str, Any]
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Results:
    """One side of a comparison.

    Attributes:
        side: whose these are.
        params: the values of params.yaml by dotted key.
        metrics: the metrics files that are there, by the name of their stage.
        predictions, tta_predictions: empty where the table is missing.
        counts: photos of each class; empty where the table is missing.
        stale: the parameters whose value is not the one that the results were made with, by dvc.lock.
        recoded: the files of the pipeline, of those that are at hand, that are not the ones that made the results.
        altered: the metrics and tables that are not the ones that DVC wrote, by dvc.lock.
        lock: what dvc.lock says; empty where there is none.
    """

    side: Side
    params: Mapping[str, Any]
    metrics: Mapping[str, Metrics]
    predictions: Sequence[Prediction]
    tta_predictions: Sequence[Prediction]
    counts: Sequence[ClassCount]
    stale: Sequence[str]
    recoded: Sequence[str]
    altered: Sequence[str]
    lock: Lock

    @property
    def test(self) -> Metrics:
        """metrics/evaluate.json."""
        return self.metrics[paths.EVALUATE_METRICS.stem]

    @property
    def classes(self) -> dict[str, int]:
        """The classes that stayed, and their photos."""
        return {row.label: row.kept for row in self.counts if row.kept}


def read(side: Side) -> Results:
    """Read one side's files, all but its photos.

    Raises:
        UserError: the pipeline had not run there, or a file is damaged.
    """
    metrics = {name: _read(side, path, files.read_json) for name, path in METRICS.items()}
    found = {name: values for name, values in metrics.items() if values is not None}
    test = found.get(paths.EVALUATE_METRICS.stem)
    if test is None:
        raise UserError(f"{side.name} has no {paths.EVALUATE_METRICS}: {side.make}")
    for path in FIGURES:
        _check(side, path, found.get(path.stem))
    params = leaves(_read(side, paths.PARAMS, files.read_yaml) or {})
    lock = _read(side, paths.LOCK, read_lock)
    if lock is None:  # nothing to hold the results against
        lock = Lock(params={key: [value] for key, value in params.items()})
    return Results(
        side=side,
        params=params,
        metrics=found,
        predictions=_read(side, paths.PREDICTIONS, read_predictions) or [],
        tta_predictions=_read(side, paths.TTA_PREDICTIONS, read_predictions) or [],
        counts=_read(side, paths.CLASS_COUNTS, lambda path: tables.read_rows(path, ClassCount)) or [],
        stale=lock.not_run(params),
        recoded=_other_than(side, lock.code),
        altered=_other_than(side, {name: lock.sums[name] for name in _SMALL if name in lock.sums}),
        lock=lock,
    )


@dataclass(frozen=True)
class PhotoTables:
    """Both sides' data/splits.csv.

    Attributes:
        same: they are the same file, and need not be read.
        before, after: their rows; None where one is not at hand.
        missing: which one is not at hand, and what would bring it, a sentence each.
    """

    same: bool
    before: Sequence[Sample] | None
    after: Sequence[Sample] | None
    missing: Sequence[str]


def read_photos(before: Results, after: Results) -> PhotoTables:
    """Read which photos both sides had: from git or the working tree, else from DVC's cache, never from a remote.

    Raises:
        UserError: a table is damaged, or DVC can't be opened.
    """
    sums = [_sum(results) for results in (before, after)]
    if sums[0] is not None and sums[0] == sums[1]:
        return PhotoTables(True, None, None, [])
    tables, missing = [], []
    for results, digest in zip((before, after), sums, strict=True):
        rows, fetched_by = _photos(results.side, digest)
        tables.append(rows)
        if rows is None:
            missing.append(f"{_NAME} of {results.side.name} is not at hand; {fetched_by}.")
    return PhotoTables(False, tables[0], tables[1], missing)


_NAME = paths.SPLITS.as_posix()


def _photos(side: Side, digest: str | None) -> tuple[list[Sample] | None, str]:
    """The rows, or what would bring them."""
    if side.open(paths.SPLITS) is not None:
        return _read(side, paths.SPLITS, read_splits), ""
    if digest is None:
        return None, "its dvc.lock does not name it, so nothing can fetch it"
    found = cached(digest)
    if found.content is not None:
        source = Blob(f"{side.name}:{_NAME}", found.content)
        return _mended(side, lambda: read_splits(source)), ""
    if not found.has_remote:
        return None, "DVC's cache here does not hold it, and no remote is set up to fetch it from"
    return None, side.fetch(paths.SPLITS)


def _sum(results: Results) -> str | None:
    source = results.side.open(paths.SPLITS)
    return results.lock.sums.get(_NAME) if source is None else _md5(source)


def _check(side: Side, path: Path, metrics: Metrics | None) -> None:
    """What the comparison computes with must be numbers that it can compute with."""
    if metrics is None:
        return
    faults = [key for key in ("images", "top1") if key not in metrics]
    faults += [key for key in SHARES if key in metrics and not _is_number(metrics[key], 0, 1)]
    faults += [key for key, lowest in (("loss", 0), ("top1_gain", -1)) if not _is_number(metrics.get(key, 0), lowest)]
    faults += [] if isinstance(metrics.get("images"), int) and metrics["images"] > 0 else ["images"]
    if faults:
        raise UserError(f"{side.name}: {path} has no sound number {faults[0]!r}; {side.mend}")


def _is_number(value: Any, lowest: float, highest: float = math.inf) -> bool:
    return isinstance(value, int | float) and lowest <= value <= highest and math.isfinite(value)


def _read(side: Side, path: Path, reader: Callable[[files.Source], _Content]) -> _Content | None:
    """A file of the side, None where it has none."""
    source = side.open(path)
    return None if source is None else _mended(side, lambda: reader(source))


def _mended(side: Side, read: Callable[[], _Content]) -> _Content:
    """What `read` returns; where the file is damaged, the message says what to do about this side's files."""
    try:
        return read()
    except DamagedFile as error:
        raise UserError(f"{error.problem}; {side.mend}") from None


def _other_than(side: Side, sums: Mapping[str, str]) -> list[str]:
    """Those of the files that the side has, and that have another MD5 sum."""
    sources = {name: side.open(Path(name)) for name in sums}
    return sorted(name for name, source in sources.items() if source is not None and _md5(source) != sums[name])


def _md5(source: files.Source) -> str:
    return md5(source.read_bytes(), usedforsecurity=False).hexdigest()
