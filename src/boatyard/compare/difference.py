"""What differs between two sides of a comparison, each figure with its uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from boatyard.compare.photo_changes import PhotoChanges, compare_photos
from boatyard.compare.results import Metrics, PhotoTables, Results
from boatyard.core import paths
from boatyard.core.splits import Sample
from boatyard.evaluation import comparison, metric_changes
from boatyard.evaluation.comparison import ClassChange, Comparison
from boatyard.evaluation.metric_changes import Answers, Change
from boatyard.evaluation.pairing import match
from boatyard.evaluation.predictions import Prediction

# Fixed, so that a comparison depends on nothing but the two sides.
RESAMPLES = 2000
SEED = 0

# The predictions that the figures of a metrics file are of.
TABLES = {paths.EVALUATE_METRICS.stem: paths.PREDICTIONS, paths.TTA_METRICS.stem: paths.TTA_PREDICTIONS}


@dataclass(frozen=True)
class Figures:
    """The figures of one metrics file on the test photos, before and after.

    Attributes:
        before, after: the two metrics files.
        photos: which photos the changes are taken on; 'unknown' if a side has no predictions to tell them by.
        pairs: how many photos are paired; 0 where they are not.
        relabelled: photos that both sides have, under another label.
        changes: by the metric's key; only those of which there is something to say.
        top1: the change in top-1, photo by photo, where photos are paired.
        classes: each class on the paired photos.
        shares: each class on either side's photos, where they are not paired.
        note: why photos can't be paired, where that is not for the photos' sake.
    """

    before: Metrics
    after: Metrics
    photos: Literal["same", "common", "other", "unknown"]
    pairs: int
    relabelled: int
    changes: Mapping[str, Change]
    top1: Comparison | None
    classes: Sequence[ClassChange]
    shares: Sequence["ClassShares"]
    note: str = ""


@dataclass(frozen=True)
class ClassShares:
    """A class's top-1 on its photos before and on other ones after."""

    label: str
    photos_before: int
    photos_after: int
    top1: Change


@dataclass(frozen=True)
class Difference:
    """Everything that a comparison tells of.

    Attributes:
        params: the dotted keys of the parameters that differ, or that only one side has.
        test: the plain view's figures on the test photos.
        tta: the same of test-time augmentation; None where a side has none.
        photos: which photos came and went; None where they are the same, or a side's table is not at hand.
        tables: whether they are the same, and what is not at hand.
        code: files of the pipeline that the results of the two sides were not made with alike.
    """

    before: Results
    after: Results
    params: Sequence[str]
    test: Figures
    tta: Figures | None
    tables: PhotoTables
    photos: PhotoChanges | None
    code: Sequence[str]

    @property
    def nothing(self) -> bool:
        """Whether all but the code is the same."""
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
    """Work out what differs.

    Args:
        before: the side that is compared with.
        after: the side that is judged.
        tables: their photos.
    """
    identities = _sha256(tables.before, tables.after)
    plain, tta = paths.EVALUATE_METRICS.stem, paths.TTA_METRICS.stem
    test = _figures(before, after, plain, (before.predictions, after.predictions), identities)
    with_tta = None
    if tta in before.metrics and tta in after.metrics:
        with_tta = _figures(before, after, tta, (before.tta_predictions, after.tta_predictions), identities)
    photos = None
    if tables.before is not None and tables.after is not None:
        photos = compare_photos(tables.before, tables.after)
    return Difference(
        before=before,
        after=after,
        params=_differing(before.params, after.params),
        test=test,
        tta=with_tta,
        tables=tables,
        photos=photos,
        code=_differing(before.lock.code, after.lock.code) if before.lock.code and after.lock.code else [],
    )


def _figures(
    before: Results,
    after: Results,
    name: str,
    tables: tuple[Sequence[Prediction], Sequence[Prediction]],
    identities: tuple[Mapping[str, str], Mapping[str, str]],
) -> Figures:
    old, new = before.metrics[name], after.metrics[name]
    for results, rows in zip((before, after), tables, strict=True):
        fault = _fault(results.metrics[name], rows)
        if fault:
            note = f"{TABLES[name].as_posix()} of {results.side.name} {fault}, so its photos can't be paired."
            return Figures(old, new, "unknown", 0, 0, _from_counts(old, new), None, [], [], note)
    pairs = match(*tables, identities)
    labels = sorted({label for rows in tables for row in rows for label in (row.actual, row.predicted)})
    answers = Answers.of(pairs.before, labels), Answers.of(pairs.after, labels)
    bins = _bins(before, after)
    if pairs.kind == "other":
        found = metric_changes.unpaired(*answers, bins=bins, resamples=RESAMPLES, seed=SEED)
        shares = _class_shares(*answers, labels)
        return Figures(old, new, "other", 0, pairs.relabelled, _named(found, old, new), None, [], shares)
    found = metric_changes.paired(*answers, bins=bins, resamples=RESAMPLES, seed=SEED)
    first, second = answers
    return Figures(
        before=old,
        after=new,
        photos=pairs.kind,
        pairs=pairs.common,
        relabelled=pairs.relabelled,
        changes=_named(found, old, new),
        top1=comparison.compare_right(first.top1, second.top1, resamples=RESAMPLES, seed=SEED),
        classes=comparison.per_class(first.predicted, second.predicted, first.actual, labels),
        shares=[],
    )


def _bins(before: Results, after: Results) -> int | None:
    """The bins of the calibration error; None where the two sides have not the same ones."""
    bins, other = (results.params.get("evaluate.bins") for results in (before, after))
    return bins if isinstance(bins, int) and bins > 0 and bins == other else None


def _fault(metrics: Metrics, rows: Sequence[Prediction]) -> str:
    """Why a table of predictions can't stand for a metrics file; empty if it can."""
    if not rows:
        return "is not there"
    own = {"images": float(len(rows)), "top1": sum(row.right for row in rows) / len(rows)}
    if any(abs(metrics[key] - value) > 1e-6 for key, value in own.items()):
        return "is of another run than its metrics"
    return ""


def _from_counts(before: Metrics, after: Metrics) -> dict[str, Change]:
    """What the metrics files alone tell: the change of each share of the test photos."""
    return {
        key: metric_changes.proportion(
            *((round(side[key] * side["images"]), side["images"]) for side in (before, after))
        )
        for key in metric_changes.TOP_K
        if key in before and key in after
    }


def _named(found: Mapping[str, Change], before: Metrics, after: Metrics) -> dict[str, Change]:
    return {key: change for key, change in found.items() if key in before and key in after}


def _class_shares(before: Answers, after: Answers, labels: Sequence[str]) -> list[ClassShares]:
    rows = []
    for number, label in enumerate(labels):
        own = before.top1[before.actual == number], after.top1[after.actual == number]
        counts = [(int(right.sum()), right.size) for right in own]
        if counts[0][1] and counts[1][1]:
            rows.append(ClassShares(label, counts[0][1], counts[1][1], metric_changes.proportion(*counts)))
    return rows


def _sha256(
    before: Sequence[Sample] | None, after: Sequence[Sample] | None
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Each photo's SHA-256 by its path, for either side; empty where one is unknown, so that paths must do."""
    if before is None or after is None:
        return {}, {}
    return {row.path: row.sha256 for row in before}, {row.path: row.sha256 for row in after}


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys that only one side has, or that differ, in the order of the later side, what is gone last."""
    keys = [*after, *(key for key in before if key not in after)]
    return [key for key in keys if key not in before or key not in after or before[key] != after[key]]
