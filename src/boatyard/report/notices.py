"""Short texts about leaks and label issues."""

from collections import Counter

from boatyard.report.formatting import count, percent
from boatyard.report.run import Run


def leaks(run: Run) -> str:
    """How leaks affect the metrics; empty if there are none."""
    if not run.leaks:
        return ""
    counts = Counter(leak.split for leak in run.leaks)
    leaked = [
        f"{counts[split]:,} of {count(run.splitting[split], f'{split} photo')}"
        for split in ("test", "validation")
        if counts[split]
    ]
    text = f"Near duplicates of photos in an earlier split: {' and '.join(leaked)}. Expect worse results on new photos."
    rest = run.top1_without_leaks
    if counts["test"] and rest is not None:
        text += f" On the other test photos top-1 is {percent(rest)}, on all of them {percent(run.test['top1'])}."
    return text


def label_issues(run: Run) -> str:
    """How many labels may be wrong, and how they were found."""
    labelling, number = run.labelling, len(run.label_issues)
    if not labelling["judged"]:
        return "No label could be checked: the photos of each class are near duplicates of one another."
    skipped = labelling["photos"] - labelling["judged"]
    checked = count(labelling["judged"], "photo") + " of all splits"
    if skipped:
        checked += f" ({count(skipped, 'other', 'others')} could not be checked)"
    found = count(number, "label") if number else "No label"
    return (
        f"{found} may be wrong, among {checked}. Each photo was classified, from its embedding by the backbone, by a "
        "classifier trained on neither that photo nor its near duplicates; "
        f"{percent(labelling['top1'])} of the predictions agree with the label."
    )
