"""The metrics on the test photos and the results by class, before and after, as Markdown."""

from collections.abc import Sequence

from boatyard.compare import bounded_markdown
from boatyard.compare.bounded_markdown import NONE
from boatyard.compare.difference import Difference, MetricsFileChanges
from boatyard.compare.results import MetricsFile
from boatyard.core import paths
from boatyard.evaluation import metrics
from boatyard.evaluation.comparison import holm, mcnemar, point_decimals, points, signed
from boatyard.evaluation.intervals import LEVEL
from boatyard.evaluation.metric_changes import Change
from boatyard.evaluation.metrics import TOP1_GAIN, Metric
from boatyard.report.formatting import count, percent, show
from boatyard.report.markdown_blocks import folded, table

BETTER, WORSE = "better", "worse"
NO_EVIDENCE = "no evidence of a change"

MAX_CLASSES = 10
MAX_DECIMALS = 4

# Column titles.
_EVIDENCE = "evidence of a change"


def verdict(change: Change | None, higher_is_better: bool = True) -> str:
    """A change in words."""
    if change is None:
        return NONE
    if change.significant is None:
        return "too few photos to tell"
    if not change.significant:
        return NO_EVIDENCE if change.interval else "no change"
    return BETTER if (change.after > change.before) == higher_is_better else WORSE


def shown(difference: Difference) -> list[Metric]:
    """The metrics worth showing on the side with more classes, so that none is missing that is not trivial there."""
    named = len(difference.test.classes or difference.test.unpaired_classes)
    return metrics.shown(max(named, len(difference.before.classes), len(difference.after.classes)))


def test(difference: Difference) -> list[str]:
    """The metrics from the plain view."""
    return ["### Test photos", _table(difference.test, shown(difference))]


def tta(difference: Difference) -> list[str]:
    """The metrics with test-time augmentation, folded."""
    changes = difference.tta
    if changes is None:
        sides = [side for side in (difference.before, difference.after) if paths.TTA_METRICS.stem in side.metrics]
        return [f"Test-time augmentation: only {side.side.name} has results." for side in sides]
    top1 = changes.metrics["top1"]
    title = f"With test-time augmentation: top-1 {percent(top1.before)} → {percent(top1.after)}, {verdict(top1)}"
    return folded(title, _table(changes, [*shown(difference), TOP1_GAIN]))


def _table(changes: MetricsFileChanges, rows: Sequence[Metric]) -> str:
    old, new = changes.before, changes.after
    photos = [f"{old['images']:,}", f"{new['images']:,}", bounded_markdown.change(old["images"], new["images"])]
    cells = [["test photos", *photos, "", ""]]
    for metric in rows:
        if metric.key in old or metric.key in new:
            values = (_value(metric, side) for side in (old, new))
            conclusion = verdict(changes.metrics.get(metric.key), metric.higher_is_better)
            cells.append([metric.name, *values, *_change(metric, changes), _cell(conclusion)])
    on = f" on {changes.pairs:,} in common" if changes.photos == "common" else ""
    return table(["", "before", "after", f"change{on}", "95 % interval", _EVIDENCE], cells, range(1, 5))


def _cell(conclusion: str) -> str:
    """A verdict in the column 'evidence of a change'."""
    return {NO_EVIDENCE: "none", BETTER: f"**{BETTER}**", WORSE: f"**{WORSE}**"}.get(conclusion, conclusion)


def _value(metric: Metric, values: MetricsFile) -> str:
    if metric.key not in values:
        return NONE
    value = values[metric.key]
    if metric is TOP1_GAIN:
        return points(value)
    interval = metrics.recorded_interval(metric.key, values)
    if interval is None:
        return show(metric, value)
    scale, decimals = (100, 1) if metric.fraction else (1, 3)
    return f"{show(metric, value)} ({scale * interval.low:.{decimals}f}–{scale * interval.high:.{decimals}f})"


def _change(metric: Metric, changes: MetricsFileChanges) -> tuple[str, str]:
    """The change of a metric and its interval, with enough decimals that nothing but 0 is shown as 0."""
    old, new, change = changes.before, changes.after, changes.metrics.get(metric.key)
    if metric.key not in old or metric.key not in new:
        return NONE, NONE
    value = new[metric.key] - old[metric.key] if change is None else change.after - change.before
    numbers = [value, *(change.interval if change is not None and change.interval is not None else ())]
    if metric.fraction:
        numbers = [100 * number for number in numbers]
        least = point_decimals(changes.pairs or min(old["images"], new["images"]))
    else:
        least = 3
    visible = [abs(number) for number in numbers if abs(number) > 0.5 * 10**-MAX_DECIMALS]
    sufficient = (n for n in range(least, MAX_DECIMALS) if all(size >= 0.5 * 10**-n for size in visible))
    decimals = next(sufficient, MAX_DECIMALS)
    texts = [signed(number, decimals) for number in numbers]
    return texts[0], f"{texts[1]} to {texts[2]}" if len(texts) == 3 else NONE


def classes(test: MetricsFileChanges) -> list[str]:
    """The classes that changed."""
    found = _unpaired_classes(test) if test.photos == "other" else _paired_classes(test)
    return ["### Classes that changed", *found] if found else []


def _paired_classes(test: MetricsFileChanges) -> list[str]:
    p_values = holm([mcnemar(row.fixed, row.broken) for row in test.classes])
    significant = {row.label for row, p in zip(test.classes, p_values, strict=True) if p < 1 - LEVEL}
    changed = [row for row in test.classes if row.fixed or row.broken]
    changed.sort(key=lambda row: (row.label not in significant, -row.fixed - row.broken, row.label))
    if not changed:
        return []
    rows = []
    for row in changed[:MAX_CLASSES]:
        conclusion = (BETTER if row.fixed > row.broken else WORSE) if row.label in significant else NO_EVIDENCE
        top1 = (percent(value or 0.0) for value in (row.before, row.after))
        label = bounded_markdown.short(row.label)
        rows.append([label, f"{row.images:,}", *top1, f"{row.fixed}", f"{row.broken}", _cell(conclusion)])
    columns = ["class", "test photos", "top-1 before", "after", "fixed", "broken", _EVIDENCE]
    first = "those with evidence, then " if significant else ""
    note = (
        f"Shown: {first}the classes with the most photos fixed or broken. Evidence: McNemar's exact p < 0.05, "
        f"after Holm's correction for {count(len(test.classes), 'class', 'classes')}."
    )
    others = changed[MAX_CLASSES:]
    if others:
        fixed, broken = sum(row.fixed for row in others), sum(row.broken for row in others)
        note += f" In {count(len(others), 'more class', 'more classes')} {fixed} were fixed and {broken} broken."
    return [table(columns, rows, range(1, 6)), note]


def _unpaired_classes(test: MetricsFileChanges) -> list[str]:
    changed = [row for row in test.unpaired_classes if row.top1.significant]
    changed.sort(key=lambda row: (-abs(row.top1.after - row.top1.before), row.label))
    rows = []
    for row in changed[:MAX_CLASSES]:
        before, after = (percent(value) for value in (row.top1.before, row.top1.after))
        difference = points(row.top1.after - row.top1.before)
        bounds = " to ".join(points(bound) for bound in row.top1.interval or ())
        label = bounded_markdown.short(row.label)
        rows.append(
            [label, f"{before} of {row.images_before:,}", f"{after} of {row.images_after:,}", difference, bounds]
        )
    note = [
        "Shown: the classes whose change has a 95 % interval that excludes 0. The photos are different ones, and "
        f"one of twenty unchanged classes is listed by chance; there are {len(test.unpaired_classes):,} classes.",
        *bounded_markdown.not_shown(len(changed) - MAX_CLASSES),
    ]
    columns = ["class", "top-1 before", "after", "change", "95 % interval"]
    return [table(columns, rows, range(1, 5)), " ".join(note)] if rows else []
