"""Parameters, photos and the other metrics, before and after, as Markdown."""

from typing import Any

from boatyard.compare import bounded_markdown
from boatyard.compare.bounded_markdown import NONE, short, value
from boatyard.compare.difference import Difference, differing
from boatyard.compare.photo_changes import PhotoChanges
from boatyard.compare.results import TEST_METRICS, Results
from boatyard.core import paths
from boatyard.evaluation.metrics import METRICS, TOP1_GAIN
from boatyard.report.formatting import count, leaves, setting
from boatyard.report.markdown_blocks import folded, table


def params(difference: Difference) -> list[str]:
    """The parameters that differ."""
    if not difference.params:
        return ["Parameters: none changed."]
    rows = []
    for key in difference.params:
        values = (side.params for side in (difference.before, difference.after))
        rows.append([short(key), *(short(setting(side[key])) if key in side else NONE for side in values)])
    title = count(len(rows), "parameter")
    return ["### Parameters", *bounded_markdown.long_table(title, ["", "before", "after"], rows, ())]


def photos(difference: Difference) -> list[str]:
    """The photos and classes that were added or removed."""
    blocks = _class_names(difference.before, difference.after)
    if difference.tables.same:
        total = sum(difference.after.classes.values())
        which = f"the same {count(total, 'photo')}" if total else "the same photos"
        blocks.append(f"Photos: {which}, labels and splits.")
    elif difference.photos is not None:
        blocks += _changes(difference.photos)
    else:
        blocks += [*difference.tables.missing, *_counts(difference.before, difference.after)]
    return ["### Data", *blocks]


def _class_names(before: Results, after: Results) -> list[str]:
    old, new = before.classes.keys(), after.classes.keys()
    if not old or not new or old == new:
        return []
    groups = {"added": sorted(new - old), "removed": sorted(old - new)}
    changed = "; ".join(f"{what}: {bounded_markdown.names(labels)}" for what, labels in groups.items() if labels)
    return [f"**Classes {changed}.** The metrics before and after are for different tasks."]


def _changes(photos: PhotoChanges) -> list[str]:
    moved = sum(photos.moved.values())
    parts = {
        "added": len(photos.added),
        "removed": len(photos.removed),
        "relabelled": len(photos.relabelled),
        "renamed": photos.renamed,
        "in another split": moved,
    }
    changed = ", ".join(f"{number:,} {what}" for what, number in parts.items() if number) or "only their order differs"
    blocks = [f"{photos.before:,} → {count(photos.after, 'photo')}: {changed}."]
    if moved:
        pairs = sorted(photos.moved.items(), key=lambda item: (-item[1], item[0]))
        blocks.append("Splits: " + ", ".join(f"{number:,} from {old} to {new}" for (old, new), number in pairs) + ".")
    if photos.labels:
        rows = [[short(label), f"{added:,}", f"{removed:,}"] for label, added, removed in photos.labels]
        title = f"Photos added and removed in {count(len(rows), 'class', 'classes')}"
        blocks += bounded_markdown.long_table(title, ["class", "photos added", "removed"], rows, (1, 2))
    named = {
        "Added": [row.path for row in photos.added],
        "Removed": [row.path for row in photos.removed],
        "Relabelled": [f"{old.path} → {new.label}" for old, new in photos.relabelled],
    }
    names = [f"{title}: {bounded_markdown.names(several)}." for title, several in named.items() if several]
    return [*blocks, *(folded("Their names", *names) if names else [])]


def _counts(before: Results, after: Results) -> list[str]:
    """The numbers of photos of each class, which are in git, where the photos themselves are not available."""
    old, new = before.classes, after.classes
    if not old or not new:
        return []
    labels = sorted(label for label in old.keys() | new.keys() if old.get(label) != new.get(label))
    total = f"By {paths.CLASS_COUNTS}: {sum(old.values()):,} → {count(sum(new.values()), 'photo')}"
    if not labels:
        return [f"{total}, the same number in every class. Whether they are the same photos is unknown."]
    rows = []
    for label in labels:
        first, last = old.get(label, 0), new.get(label, 0)
        rows.append([short(label), f"{first:,}", f"{last:,}", bounded_markdown.change(first, last)])
    title = f"{count(len(rows), 'class', 'classes')} with more or fewer photos"
    note = f"{total}. Which photos were added and removed is unknown."
    return [note, *bounded_markdown.long_table(title, ["class", "photos before", "after", "change"], rows, (1, 2, 3))]


def others(difference: Difference) -> list[str]:
    """Every metric without a row elsewhere, folded."""
    before, after = (_other_metrics(side) for side in (difference.before, difference.after))
    changed = differing(before, after)
    rows = []
    for key in changed[: bounded_markdown.MAX_ROWS]:
        old, new = before.get(key), after.get(key)
        rows.append([short(key), value(old), value(new), bounded_markdown.change(old, new)])
    blocks = [table(["", "before", "after", "change"], rows, (1, 2, 3))] if rows else []
    blocks += bounded_markdown.not_shown(len(changed) - len(rows))
    same = [f"{short(key)} {value(after[key])}" for key in after if key not in changed]
    if same:
        blocks.append(f"Unchanged: {' · '.join(same[: bounded_markdown.MAX_ROWS])}.")
    total = len(before.keys() | after.keys())
    return folded(f"{len(changed):,} of {count(total, 'other metric')} changed", *blocks) if total else []


def _other_metrics(results: Results) -> dict[str, Any]:
    tested = [metric.key for metric in (*METRICS, TOP1_GAIN)]
    in_tables = {"images", *(f"{key}{end}" for key in tested for end in ("", "_low", "_high"))}
    tests = {path.stem for path in TEST_METRICS}
    return {
        f"{name}.{key}": figure
        for name, metrics in results.metrics.items()
        for key, figure in leaves(metrics).items()
        if "intervals" not in key.split(".") and not (name in tests and key in in_tables)
    }
