"""What the report says of photos whose split or label is in doubt, in a sentence or two."""

from collections import Counter

from boatyard.report.formatting import count, percent
from boatyard.report.run import Run


def leaks(run: Run) -> str:
    """What the leaks do to the figures; empty if there are none."""
    if not run.leaks:
        return ""
    counts = Counter(leak.split for leak in run.leaks)
    said = [
        f"{counts[split]:,} of {count(run.splitting[split], f'{split} photo')}"
        for split in ("test", "validation")
        if counts[split]
    ]
    text = (
        f"Nearly the same as a photo of an earlier split: {' and '.join(said)}. The figures promise more than new "
        "photos will keep."
    )
    rest = run.top1_without_leaks
    if counts["test"] and rest is not None:
        text += f" On the other test photos top-1 is {percent(rest)}, on all of them {percent(run.test['top1'])}."
    return text


def suspects(run: Run) -> str:
    """How many labels are in doubt, and who doubts them."""
    labelling, number = run.labelling, len(run.suspects)
    if not labelling["judged"]:
        return "No label could be checked: the photos of each class nearly show the same."
    of = f"of {count(labelling['judged'], 'photo')}, whatever their split"
    if labelling["photos"] > labelling["judged"]:
        of += f" ({count(labelling['photos'] - labelling['judged'], 'other', 'others')} could not be judged)"
    doubt = f"{number:,} labels {of}, are" if number > 1 else f"{'One' if number else 'No'} label {of}, is"
    return (
        f"{doubt} in doubt. Each photo is judged by a classifier of the backbone's embeddings that has seen neither it "
        f"nor a copy of it; of all, {percent(labelling['top1'])} are taken for what they are filed under."
    )
