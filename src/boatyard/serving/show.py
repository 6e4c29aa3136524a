"""`boatyard show`: test photos of one class with their most probable classes, right and wrong ones."""

import difflib
from collections.abc import Collection
from pathlib import Path

from boatyard.core import files, paths, tables
from boatyard.core.errors import UserError
from boatyard.curation.catalog import ClassCount, Rejected
from boatyard.evaluation.intervals import wilson
from boatyard.evaluation.predictions import Prediction, read_predictions
from boatyard.report.figures import sheets
from boatyard.report.formatting import NBSP, REASON_TEXTS, interval, percent
from boatyard.report.thumbnails import choose, thumbnail
from boatyard.serving.output_formats import printable

DRAWN = Path("drawn")  # ignored by git
SIDE = 400  # pixels of a photo's longer side before it is drawn smaller


def run(label: str | None, *, right: bool | None, count: int, output: Path | None) -> int:
    """Draw test photos of a class on a sheet and print a line for each; the exit status, 0.

    Args:
        label: the class; None for the one with the lowest top-1, of several the one with the most test photos.
        right: True for right predictions only, False for wrong ones only, None for both.
        count: of photos at most; where there are enough, half of them wrong.
        output: the PNG file to write; None for one in drawn/ with the name of the class.

    Raises:
        UserError: evaluate has not run, there is no such class, a photo is missing, or the output is not a PNG file.
    """
    if output and output.suffix.lower() != ".png":
        raise UserError(f"--output {output}: the sheet is a PNG file; name it {output.with_suffix('.png')}")
    if not any(paths.RAW.glob("*/*")):
        raise UserError(f"{paths.RAW} has no photos: run `dvc repro`, or `dvc pull {paths.RAW}` to fetch them")
    by_class: dict[str, list[Prediction]] = {}
    for prediction in read_predictions(paths.PREDICTIONS):
        by_class.setdefault(prediction.actual, []).append(prediction)
    if label is None:
        label = min(by_class, key=lambda name: (_right(by_class[name]) / len(by_class[name]), -len(by_class[name])))
    label = _find(label, by_class)
    own = by_class[label]
    correct = _right(own)
    wilsons = wilson(correct, len(own))
    heading = (
        f"{label}: {correct:,} of {len(own):,} test photos right, {percent(correct / len(own))} "
        f"(95 % interval {interval(wilsons.low, wilsons.high)})"
    ).replace(NBSP, " ")
    wrong = len(own) - correct
    shown_wrong = 0 if right else min(wrong, count if right is False else max(count // 2, count - correct))
    chosen = choose(own, shown_wrong, 0 if right is False else count - shown_wrong)
    cards = [(prediction, thumbnail(paths.RAW, prediction.path, SIDE).image) for prediction in chosen]
    print(printable(heading))
    if not chosen:
        print(f"none of them is {'right' if right else 'wrong'}")
        return 0
    output = output or DRAWN / f"{label}.png"
    files.write_bytes(output, sheets.png(sheets.predictions(cards, heading, one_class=True)))
    for prediction in chosen:
        top = ", ".join(f"{name} {percent(share)}" for name, share in sheets.odds(prediction)[:3]).replace(NBSP, " ")
        print(printable(f"{'right' if prediction.right else 'wrong'}  {prediction.path}  {top}"))
    print(printable(str(output)))
    return 0


def _find(label: str, known: Collection[str]) -> str:
    """The known class with this name, or the only one whose name differs from it in upper and lower case alone."""
    if label in known:
        return label
    same = [name for name in known if name.casefold() == label.casefold()]
    if len(same) == 1:
        return same[0]
    if paths.CLASS_COUNTS.exists():
        for row in tables.read_rows(paths.CLASS_COUNTS, ClassCount):
            if row.label == label and not row.kept:
                raise UserError(f"filter left out all photos of {label!r}{_reason(label)}: none of them was tested")
    close = difflib.get_close_matches(label, known, n=1)
    classes = ", ".join(printable(name) for name in sorted(known))
    fix = f"did you mean {close[0]!r}?" if close else f"the classes are {classes}"
    raise UserError(f"there is no class {label!r} in {paths.PREDICTIONS}; {fix}")


def _reason(label: str) -> str:
    """The most frequent reason why a class's photos were left out, in parentheses, if it is known."""
    if not paths.REJECTED.exists():
        return ""
    reasons = [row.reason.partition(":")[0] for row in tables.read_rows(paths.REJECTED, Rejected) if row.label == label]
    return f" ({REASON_TEXTS[max(set(reasons), key=reasons.count)]})" if reasons else ""


def _right(predictions: list[Prediction]) -> int:
    return sum(prediction.right for prediction in predictions)
