"""How two sides of a comparison differ, each metric with its uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from boatyard.compare.photo_changes import PhotoChanges, compare_photos
from boatyard.compare.results import MetricsFile, PhotoTables, Results
from boatyard.core import paths
from boatyard.evaluation import comparison, metric_changes
from boatyard.evaluation.answers import Answers
from boatyard.evaluation.comparison import ClassChange, Comparison
from boatyard.evaluation.metric_changes import Change
from boatyard.evaluation.metrics import METRICS, TOP1_GAIN, Metric
from boatyard.evaluation.pairing import match
from boatyard.evaluation.predictions import Prediction

# Fixed, so that a comparison depends on nothing but the two sides.
RESAMPLES = 2000
SEED = 0

# The predictions that the metrics files were computed from.
TABLES = {paths.EVALUATE_METRICS.stem: paths.PREDICTIONS, paths.TTA_METRICS.stem: paths.TTA_PREDICTIONS}


@dataclass(frozen=True)
class UnpairedClass:
    """A class's top-1 on its photos before and on other photos after."""

    label: str
    images_before: int
    images_after: int
    top1: Change


@dataclass(frozen=True)
class MetricsFileChanges:
    """The changes in one metrics file of the test photos.

    Attributes:
        before, after: the two metrics files.
        photos: the photos that changes are measured on; 'unknown' if a side has no predictions to identify them.
        pairs: number of paired photos; 0 where they are not paired.
        relabelled: number of photos that both sides have with different labels.
        metrics: the changes by the metric's key; only those that could be computed.
        top1: the change in top-1, photo by photo, where photos are paired.
        classes: each class on the paired photos.
        unpaired_classes: each class on either side's photos, where they are not paired.
        note: why photos can't be paired, if a file is the reason.
    """

    before: MetricsFile
    after: MetricsFile
    photos: Literal["same", "common", "other", "unknown"]
    metrics: Mapping[str, Change]
    pairs: int = 0
    relabelled: int = 0
    top1: Comparison | None = None
    classes: Sequence[ClassChange] = ()
    unpaired_classes: Sequence[UnpairedClass] = ()
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """Everything that a comparison shows.

    Attributes:
        params: the dotted keys of the parameters that differ, or that only one side has.
        test: the changes on the test photos from the plain view.
        tta: the same with test-time augmentation; None where a side has none.
        photos: photos added and removed; None where they are the same, or a side's table is not available.
        tables: whether the tables of photos are the same, and which is not available.
        code: files of the pipeline that differ between the runs that made the results.
    """

    before: Results
    after: Results
    params: Sequence[str]
    test: MetricsFileChanges
    tta: MetricsFileChanges | None
    tables: PhotoTables
    photos: PhotoChanges | None
    code: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """Whether everything but the code is the same."""
        old, new = self.before, self.after
        return (
            not self.params
            and old.metrics == new.metrics
            and old.predictions == new.predictions
            and old.tta_predictions == new.tta_predictions
            and old.counts == new.counts
            and self.tables.same
        )


def compare(before: Results, after: Results, tables: PhotoTables) -> Difference:
    """Find all differences of two sides and their photos."""
    photos = None
    identities: Sequence[Mapping[str, str]] = {}, {}  # photos' SHA-256 by path; where unknown, paths identify them
    if tables.before is not None and tables.after is not None:
        photos = compare_photos(tables.before, tables.after)
        identities = [{row.path: row.sha256 for row in rows} for rows in (tables.before, tables.after)]
    plain, tta = paths.EVALUATE_METRICS.stem, paths.TTA_METRICS.stem
    test = _file_changes(before, after, plain, (before.predictions, after.predictions), identities)
    with_tta = None
    if tta in before.metrics and tta in after.metrics:
        with_tta = _file_changes(before, after, tta, (before.tta_predictions, after.tta_predictions), identities)
    return Difference(
        before=before,
        after=after,
        params=differing(before.params, after.params),
        test=test,
        tta=with_tta,
        tables=tables,
        photos=photos,
        code=differing(before.lock.code, after.lock.code) if before.lock.code and after.lock.code else [],
    )


def _file_changes(
    before: Results,
    after: Results,
    name: str,
    tables: tuple[Sequence[Prediction], Sequence[Prediction]],
    identities: Sequence[Mapping[str, str]],
) -> MetricsFileChanges:
    old, new = before.metrics[name], after.metrics[name]
    compared = [metric for metric in (*METRICS, TOP1_GAIN) if metric.key in old and metric.key in new]
    for results, rows in zip((before, after), tables, strict=True):
        fault = _fault(results.metrics[name], rows)
        if fault:
            note = f"{TABLES[name].as_posix()} of {results.side.name} {fault}, so its photos can't be paired."
            return MetricsFileChanges(old, new, "unknown", _from_counts(compared, old, new), note=note)
    pairs = match(*tables, identities)
    labels = sorted({label for rows in tables for row in rows for label in (row.actual, row.predicted)})
    comparable = [metric for metric in compared if _same_params(metric, before, after)]
    bins = after.params.get("evaluate.bins")
    first, second = (
        Answers.from_predictions(rows, labels, bins=bins if isinstance(bins, int) and bins > 0 else 1)
        for rows in (pairs.before, pairs.after)
    )
    if pairs.kind == "other":
        found = metric_changes.unpaired(first, second, comparable, resamples=RESAMPLES, seed=SEED)
        classes = _unpaired_classes(first, second, labels)
        return MetricsFileChanges(old, new, "other", found, relabelled=pairs.relabelled, unpaired_classes=classes)
    return MetricsFileChanges(
        before=old,
        after=new,
        photos=pairs.kind,
        metrics=metric_changes.paired(first, second, comparable, resamples=RESAMPLES, seed=SEED),
        pairs=len(pairs.before),
        relabelled=pairs.relabelled,
        top1=comparison.compare(first.right, second.right, resamples=RESAMPLES, seed=SEED),
        classes=comparison.per_class(first.predicted, second.predicted, first.actual, labels),
    )


def _same_params(metric: Metric, before: Results, after: Results) -> bool:
    """Whether both sides know the parameters that a metric depends on, and agree on them."""
    values = ((before.params.get(key), after.params.get(key)) for key in metric.params)
    return all(old is not None and old == new for old, new in values)


def _fault(metrics: MetricsFile, rows: Sequence[Prediction]) -> str:
    """Why a table of predictions does not belong to a metrics file; empty if it does."""
    if not rows:
        return "is missing"
    own = {"images": float(len(rows)), "top1": sum(row.right for row in rows) / len(rows)}
    if any(abs(metrics[key] - value) > 1e-6 for key, value in own.items()):
        return "is from another run than its metrics"
    return ""


def _from_counts(compared: Sequence[Metric], before: MetricsFile, after: MetricsFile) -> dict[str, Change]:
    """The changes that the metrics files alone determine: those of proportions of the test photos."""
    return {
        metric.key: metric_changes.proportion_change(
            *((round(side[metric.key] * side["images"]), side["images"]) for side in (before, after))
        )
        for metric in compared
        if metric.correct
    }


def _unpaired_classes(before: Answers, after: Answers, labels: Sequence[str]) -> list[UnpairedClass]:
    rows = []
    for number, label in enumerate(labels):
        own = before.right[before.actual == number], after.right[after.actual == number]
        old, new = ((int(right.sum()), right.size) for right in own)
        if old[1] and new[1]:
            rows.append(UnpairedClass(label, old[1], new[1], metric_changes.proportion_change(old, new)))
    return rows


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys that only one side has, or that differ, in the order of the later side, removed ones last."""
    keys = [*after, *(key for key in before if key not in after)]
    return [key for key in keys if key not in before or key not in after or before[key] != after[key]]
