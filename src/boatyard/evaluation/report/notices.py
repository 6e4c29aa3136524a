"""What the report says of photos whose place or label is in doubt, in a sentence or two."""

from collections import Counter

from boatyard.evaluation.report.run import Run
from boatyard.evaluation.report.wording import count, percent


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
