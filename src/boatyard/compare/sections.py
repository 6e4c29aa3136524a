"""Parameters, photos and the metrics that are not of the test photos, before and after, as Markdown."""

from typing import Any

from boatyard.compare import markdown_blocks
from boatyard.compare.difference import Difference
from boatyard.compare.markdown_blocks import NONE, short
from boatyard.compare.photo_changes import PhotoChanges
from boatyard.compare.results import SHARES, Results
from boatyard.core import paths
from boatyard.report.formatting import count, leaves, setting

# The metrics that the tables of the test photos show.
_SHOWN = ("images", "loss", *SHARES)
_HIDDEN = {
    paths.EVALUATE_METRICS.stem: _SHOWN,
    paths.TTA_METRICS.stem: (*_SHOWN, "top1_gain", "top1_gain_low", "top1_gain_high"),
}


def params(difference: Difference) -> list[str]:
    """The parameters that differ."""
    if not difference.params:
        return ["Parameters: none changed."]
    rows = []
    for key in difference.params:
        values = (side.params for side in (difference.before, difference.after))
        rows.append([short(key), *(short(setting(side[key])) if key in side else NONE for side in values)])
    title = count(len(rows), "parameter")
    return ["### Parameters", *markdown_blocks.long_table(title, ["", "before", "after"], rows, ())]


def photos(difference: Difference) -> list[str]:
    """The photos and classes that came or went."""
    blocks = _class_names(difference.before, difference.after)
    if difference.tables.same:
        total = sum(difference.after.classes.values())
        same = (
            f"the same {count(total, 'photo')}, labels and splits"
            if total
            else "the same, with their labels and splits"
        )
        blocks.append(f"Photos: {same}.")
    elif difference.photos is not None:
        blocks += _changes(difference.photos)
    else:
        blocks += [*difference.tables.missing, *_counts(difference.before, difference.after)]
    return ["### Data", *blocks]


def _class_names(before: Results, after: Results) -> list[str]:
    old, new = before.classes.keys(), after.classes.keys()
    if not old or not new or old == new:
        return []
    came_and_went = (("added", sorted(new - old)), ("gone", sorted(old - new)))
    said = "; ".join(f"{word}: {markdown_blocks.names(labels)}" for word, labels in came_and_went if labels)
    return [f"**Classes {said}.** The figures before and after are of different tasks."]


def _changes(photos: PhotoChanges) -> list[str]:
    moved = sum(photos.moved.values())
    parts = {
        "added": len(photos.added),
        "gone": len(photos.gone),
        "relabelled": len(photos.relabelled),
        "renamed": photos.renamed,
        "in another split": moved,
    }
    said = ", ".join(f"{number:,} {what}" for what, number in parts.items() if number) or "only their order differs"
    blocks = [f"{photos.before:,} → {count(photos.after, 'photo')}: {said}."]
    if moved:
        pairs = sorted(photos.moved.items(), key=lambda item: (-item[1], item[0]))
        blocks.append("Splits: " + ", ".join(f"{number:,} from {old} to {new}" for (old, new), number in pairs) + ".")
    if photos.labels:
        rows = [[short(label), f"{added:,}", f"{gone:,}"] for label, added, gone in photos.labels]
        title = f"Photos added and gone in {count(len(rows), 'class', 'classes')}"
        blocks += markdown_blocks.long_table(title, ["class", "photos added", "gone"], rows, (1, 2))
    named = {
        "Added": [row.path for row in photos.added],
        "Gone": [row.path for row in photos.gone],
        "Relabelled": [f"{old.path} → {new.label}" for old, new in photos.relabelled],
    }
    names = [f"{title}: {markdown_blocks.names(several)}." for title, several in named.items() if several]
    return [*blocks, *(markdown_blocks.folded("Their names", *names) if names else [])]


def _counts(before: Results, after: Results) -> list[str]:
    """The photos of each class, which git holds, where the photos themselves are not at hand."""
    old, new = before.classes, after.classes
    if not old or not new:
        return []
    labels = sorted(label for label in old.keys() | new.keys() if old.get(label) != new.get(label))
    total = f"By {paths.CLASS_COUNTS}: {sum(old.values()):,} → {count(sum(new.values()), 'photo')}"
    if not labels:
        return [f"{total}, in every class as many as before. Whether they are the same ones can't be told."]
    rows = []
    for label in labels:
        first, last = old.get(label, 0), new.get(label, 0)
        rows.append([short(label), f"{first:,}", f"{last:,}", markdown_blocks.shift(first, last)])
    title = f"{count(len(rows), 'class', 'classes')} with more or fewer photos"
    said = f"{total}. Which photos came and went can't be told."
    return [said, *markdown_blocks.long_table(title, ["class", "photos before", "after", "change"], rows, (1, 2, 3))]


def others(difference: Difference) -> list[str]:
    """Every metric that has no row elsewhere, folded."""
    before, after = (_other_metrics(side) for side in (difference.before, difference.after))
    keys = [*after, *(key for key in before if key not in after)]
    changed = [key for key in keys if key not in before or key not in after or before[key] != after[key]]
    rows = []
    for key in changed[: markdown_blocks.MOST_ROWS]:
        old, new = before.get(key), after.get(key)
        rows.append(
            [short(key), markdown_blocks.metric(old), markdown_blocks.metric(new), markdown_blocks.shift(old, new)]
        )
    blocks = [markdown_blocks.table(["", "before", "after", "change"], rows, (1, 2, 3))] if rows else []
    if len(changed) > len(rows):
        blocks.append(f"{len(changed) - len(rows):,} more are not shown.")
    same = [f"{short(key)} {markdown_blocks.metric(after[key])}" for key in keys if key not in changed]
    if same:
        blocks.append(f"Unchanged: {' · '.join(same[: markdown_blocks.MOST_ROWS])}.")
    return (
        markdown_blocks.folded(f"{len(changed):,} of {count(len(keys), 'other metric')} changed", *blocks)
        if keys
        else []
    )


def _other_metrics(results: Results) -> dict[str, Any]:
    return {
        f"{name}.{key}": value
        for name, metrics in results.metrics.items()
        for key, value in leaves(metrics).items()
        if key not in _HIDDEN.get(name, ())
    }
