"""The test photos' figures and classes, before and after, as Markdown."""

from collections.abc import Sequence

from boatyard.compare import markdown_blocks
from boatyard.compare.difference import Difference, Figures
from boatyard.compare.results import Metrics
from boatyard.core import paths
from boatyard.evaluation.comparison import holm, mcnemar, point_decimals, points, signed
from boatyard.evaluation.intervals import LEVEL
from boatyard.evaluation.metric_changes import Change
from boatyard.report.formatting import Measure, count, measures, percent

BETTER, WORSE = "better", "worse"
NO_EVIDENCE = "no evidence of a change"
EVIDENCE = "evidence of a change"

MOST_CLASSES = 10

GAIN = Measure("top1_gain", "gain over the plain view")

MOST_DECIMALS = 4


def verdict(change: Change | None, higher_is_better: bool = True) -> str:
    """A change in words."""
    if change is None:
        return markdown_blocks.NONE
    if change.evident is None:
        return "too few photos to tell"
    if not change.evident:
        return NO_EVIDENCE if change.interval else "no change"
    return BETTER if (change.after > change.before) == higher_is_better else WORSE


def class_count(difference: Difference) -> int:
    """Of the side with more classes, so that no top-k is left out that says something of one side."""
    named = len(difference.test.classes or difference.test.shares)
    return max(named, len(difference.before.classes), len(difference.after.classes))


def test(difference: Difference) -> list[str]:
    """The plain view's figures."""
    return ["### Test photos", _table(difference.test, measures(class_count(difference)))]


def tta(difference: Difference) -> list[str]:
    """The figures with test-time augmentation, folded."""
    figures = difference.tta
    if figures is None:
        sides = [side for side in (difference.before, difference.after) if paths.TTA_METRICS.stem in side.metrics]
        return [f"Test-time augmentation: only {side.side.name} has figures of it." for side in sides]
    top1 = figures.changes["top1"]
    title = f"With test-time augmentation: top-1 {percent(top1.before)} → {percent(top1.after)}, {verdict(top1)}"
    return markdown_blocks.folded(title, _table(figures, [*measures(class_count(difference)), GAIN]))


def _table(figures: Figures, rows: Sequence[Measure]) -> str:
    old, new = figures.before, figures.after
    photos = [f"{old['images']:,}", f"{new['images']:,}", markdown_blocks.shift(old["images"], new["images"])]
    cells = [["test photos", *photos, "", ""]]
    for measure in rows:
        if measure.key in old or measure.key in new:
            change = figures.changes.get(measure.key)
            values = (_value(measure, side) for side in (old, new))
            said = _cell(verdict(change, measure.higher_is_better))
            cells.append([measure.name, *values, *_change(measure, figures), said])
    on = f" on {figures.pairs:,} in common" if figures.photos == "common" else ""
    return markdown_blocks.table(["", "before", "after", f"change{on}", "95 % interval", EVIDENCE], cells, range(1, 5))


def _cell(said: str) -> str:
    """A verdict below the title 'evidence of a change'."""
    return {NO_EVIDENCE: "none", BETTER: f"**{BETTER}**", WORSE: f"**{WORSE}**"}.get(said, said)


def _value(measure: Measure, metrics: Metrics) -> str:
    if measure.key not in metrics:
        return markdown_blocks.NONE
    value = metrics[measure.key]
    if measure is GAIN:
        return points(value)
    low, high = metrics.get(f"{measure.key}_low"), metrics.get(f"{measure.key}_high")
    bounds = "" if low is None or high is None else f" ({100 * low:.1f}–{100 * high:.1f})"
    return f"{measure.show(value)}{bounds}"


def _change(measure: Measure, figures: Figures) -> tuple[str, str]:
    """The change of a figure and its interval, with digits enough that nothing but 0 reads as 0."""
    old, new, change = figures.before, figures.after, figures.changes.get(measure.key)
    if measure.key not in old or measure.key not in new:
        return markdown_blocks.NONE, markdown_blocks.NONE
    value = new[measure.key] - old[measure.key] if change is None else change.after - change.before
    numbers = [value, *(change.interval if change is not None and change.interval is not None else ())]
    if measure.share:
        numbers = [100 * number for number in numbers]
        least = point_decimals(figures.pairs or min(old["images"], new["images"]))
    else:
        least = 3
    visible = [abs(number) for number in numbers if abs(number) > 0.5 * 10**-MOST_DECIMALS]
    fitting = (n for n in range(least, MOST_DECIMALS) if all(size >= 0.5 * 10**-n for size in visible))
    decimals = next(fitting, MOST_DECIMALS)
    shown = [signed(number, decimals) for number in numbers]
    return shown[0], f"{shown[1]} to {shown[2]}" if len(shown) == 3 else markdown_blocks.NONE


def classes(test: Figures) -> list[str]:
    """The classes in which something happened."""
    found = _separate_classes(test) if test.photos == "other" else _paired_classes(test)
    return ["### Classes that moved", *found] if found else []


def _paired_classes(test: Figures) -> list[str]:
    p_values = holm([mcnemar(row.fixed, row.broken) for row in test.classes])
    evident = {row.label for row, p in zip(test.classes, p_values, strict=True) if p < 1 - LEVEL}
    changed = [row for row in test.classes if row.fixed or row.broken]
    changed.sort(key=lambda row: (row.label not in evident, -row.fixed - row.broken, row.label))
    if not changed:
        return []
    rows = []
    for row in changed[:MOST_CLASSES]:
        said = (BETTER if row.fixed > row.broken else WORSE) if row.label in evident else NO_EVIDENCE
        shares = (percent(share or 0.0) for share in (row.before, row.after))
        rows.append(
            [markdown_blocks.short(row.label), f"{row.images:,}", *shares, f"{row.fixed}", f"{row.broken}", _cell(said)]
        )
    columns = ["class", "test photos", "top-1 before", "after", "put right", "put wrong", EVIDENCE]
    first = "those with evidence, then " if evident else ""
    chosen = (
        f"Chosen: {first}the classes with the most photos put right or wrong. Evidence: McNemar's exact p < 0.05, "
        f"after Holm's correction for {count(len(test.classes), 'class', 'classes')}."
    )
    others = changed[MOST_CLASSES:]
    if others:
        fixed, broken = sum(row.fixed for row in others), sum(row.broken for row in others)
        chosen += (
            f" In {count(len(others), 'more class', 'more classes')} {fixed} were put right and {broken} put wrong."
        )
    return [markdown_blocks.table(columns, rows, range(1, 6)), chosen]


def _separate_classes(test: Figures) -> list[str]:
    moved = [row for row in test.shares if row.top1.evident]
    moved.sort(key=lambda row: (-abs(row.top1.after - row.top1.before), row.label))
    rows = []
    for row in moved[:MOST_CLASSES]:
        before, after = (percent(share) for share in (row.top1.before, row.top1.after))
        shift = points(row.top1.after - row.top1.before)
        bounds = " to ".join(points(bound) for bound in row.top1.interval or ())
        label = markdown_blocks.short(row.label)
        rows.append([label, f"{before} of {row.photos_before:,}", f"{after} of {row.photos_after:,}", shift, bounds])
    more = f" {len(moved) - MOST_CLASSES:,} more are not shown." if len(moved) > MOST_CLASSES else ""
    chosen = (
        "Chosen: the classes whose change has a 95 % interval without 0. The photos are different ones, and of twenty "
        f"classes that stay the same one would be among them; there are {len(test.shares):,} classes.{more}"
    )
    columns = ["class", "top-1 before", "after", "change", "95 % interval"]
    return [markdown_blocks.table(columns, rows, range(1, 5)), chosen] if rows else []
