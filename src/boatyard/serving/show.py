"""`boatyard show`: test photos of one class with their most probable classes, right and wrong ones."""

from pathlib import Path

from boatyard.core import files, paths
from boatyard.core.errors import UserError
from boatyard.evaluation.intervals import wilson
from boatyard.evaluation.predictions import Prediction, read_predictions
from boatyard.report.figures import sheets
from boatyard.report.formatting import NBSP, interval, percent
from boatyard.report.thumbnails import choose, thumbnail
from boatyard.serving.output_formats import printable

SIDE = 400  # pixels of a photo's longer side before it is drawn smaller


def run(label: str | None, *, right: bool | None, count: int, output: Path | None) -> int:
    """Draw test photos of a class on a sheet and print a line for each; the exit status, 0.

    Args:
        label: the class; None for the one with the lowest top-1, of several the one with the most test photos.
        right: True for right predictions only, False for wrong ones only, None for both.
        count: of photos at most; where there are enough, half of them wrong.
        output: the PNG file to write; None for one in this folder that is named like the class.

    Raises:
        UserError: evaluate has not run, there is no such class, or a photo is missing.
    """
    by_class: dict[str, list[Prediction]] = {}
    for prediction in read_predictions(paths.PREDICTIONS):
        by_class.setdefault(prediction.actual, []).append(prediction)
    if label is None:
        label = min(by_class, key=lambda name: (_right(by_class[name]) / len(by_class[name]), -len(by_class[name])))
    if label not in by_class:
        known = ", ".join(printable(name) for name in sorted(by_class))
        raise UserError(f"there is no class {label!r} in {paths.PREDICTIONS}; the classes are {known}")
    own = by_class[label]
    correct = _right(own)
    wilsons = wilson(correct, len(own))
    heading = (
        f"{label}: {correct:,} of {len(own):,} test photos right, {percent(correct / len(own))} "
        f"(95 % interval {interval(wilsons.low, wilsons.high)})"
    ).replace(NBSP, " ")
    print(printable(heading))
    wrong = len(own) - correct
    shown_wrong = 0 if right else min(wrong, count if right is False else max(count // 2, count - correct))
    chosen = choose(own, shown_wrong, 0 if right is False else count - shown_wrong)
    if not chosen:
        print(f"none of them is {'right' if right else 'wrong'}")
        return 0
    cards = [(prediction, thumbnail(paths.RAW, prediction.path, SIDE).image) for prediction in chosen]
    output = output or Path(f"{label}.png")
    files.write_bytes(output, sheets.png(sheets.predictions(cards, heading)))
    for prediction in chosen:
        top = ", ".join(f"{name} {percent(share)}" for name, share in sheets.odds(prediction)[:3]).replace(NBSP, " ")
        print(printable(f"{'right' if prediction.right else 'wrong'}  {prediction.path}  {top}"))
    print(printable(str(output)))
    return 0


def _right(predictions: list[Prediction]) -> int:
    return sum(prediction.right for prediction in predictions)
