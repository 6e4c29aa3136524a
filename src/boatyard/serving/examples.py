"""The test photos on the web page: a few of different classes, with some mistakes, always the same."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from boatyard.evaluation.predictions import Prediction, read_predictions
from boatyard.images.decoding import open_checked

COUNT = 8
MISTAKES = 2
SIDE = 240  # pixels of a thumbnail's longer side: shown at half of that, sharp on a phone


@dataclass(frozen=True)
class Example:
    """A test photo: its file, its class, and a thumbnail."""

    path: Path
    actual: str
    thumbnail: Image.Image


def load(table: Path, raw: Path, classes: Collection[str]) -> list[Example]:
    """The examples from plots/predictions.csv, sorted by class; none if it or the photos are missing.

    Their paths are relative to `raw`. Photos of other classes than the model's are left out.

    Raises:
        UserError: the table is damaged, or a photo can't be read.
    """
    if not table.exists():
        return []
    found = [row for row in read_predictions(table) if row.actual in classes and (raw / row.path).is_file()]
    return [Example(raw / row.path, row.actual, _thumbnail(raw / row.path)) for row in choose(found)]


def _thumbnail(path: Path) -> Image.Image:
    image = open_checked(path, 2 * SIDE)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def choose(predictions: Sequence[Prediction]) -> list[Prediction]:
    """At most `COUNT` photos, sorted by class: up to `MISTAKES` mistakes, then others, each of a class that has the
    fewest so far, and correct ones first.

    Ties are broken by a hash of the path, so the same table gives the same photos.
    """
    ranked = sorted(predictions, key=lambda row: hashlib.blake2b(row.path.encode(), digest_size=16).digest())
    wrong = _varied([], [prediction for prediction in ranked if not prediction.right], MISTAKES)
    chosen = _varied(wrong, ranked, COUNT)
    return sorted(chosen, key=lambda prediction: (prediction.actual, prediction.path))


def _varied(chosen: Sequence[Prediction], candidates: Sequence[Prediction], count: int) -> list[Prediction]:
    chosen = list(chosen)
    left = [prediction for prediction in candidates if prediction not in chosen]
    counts = Counter(prediction.actual for prediction in chosen)
    while left and len(chosen) < count:
        best = min(left, key=lambda prediction: (counts[prediction.actual], not prediction.right))
        left.remove(best)
        chosen.append(best)
        counts[best.actual] += 1
    return chosen
