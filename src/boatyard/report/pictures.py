"""The photos that the report shows, as thumbnails, chosen as a pure function of the seed and the photos' content."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from boatyard.core.splits import Sample
from boatyard.curation.leaks import Leak
from boatyard.evaluation.class_results import ClassResult
from boatyard.evaluation.label_issues import LabelIssue
from boatyard.evaluation.predictions import Prediction
from boatyard.images.views import Preprocessing, Recipe, View, plain_view
from boatyard.params.schema import Augment
from boatyard.report.run import Run
from boatyard.report.thumbnails import SIDE, Picture, choose, open_whole, shrunk, thumbnail

SMALL_SIDE = 144  # pixels of a thumbnail's longer side, with many classes
TINY_SIDE = 96  # of a photo of every class, with very many
VIEWS = 16
MAX_CLASSES = 120
MISTAKES = 12
WORST = 6
LEAKS = 6
LABEL_ISSUES = 12
# Right and wrong test photos of each class, each, if there are at most so many classes; one of each if there are more.
PER_CLASS = {12: 3, 24: 2}


@dataclass(frozen=True)
class Pictures:
    """The report's photos.

    Attributes:
        samples: 1, 2, 4 or 8 photos of each class shown; the same number for each class that has as many.
        source: a training photo; `plain` is its plain view and `views` are `VIEWS` random views of it.
        mistakes: the most confident mistakes, the most confident first.
        worst: those of the class with the lowest top-1 that are not among `mistakes`.
        by_class: a few wrong and a few right predictions of each class, the class with the lowest top-1 first.
        leaks: leaked photos, test first, each with its near duplicate in an earlier split.
        label_issues: the photos with the least probable labels.
    """

    samples: list[tuple[str, list[Picture]]]
    source: Picture
    plain: Image.Image
    views: list[Image.Image]
    mistakes: list[tuple[Prediction, Picture]]
    worst: list[tuple[Prediction, Picture]]
    by_class: list[tuple[ClassResult, list[tuple[Prediction, Picture]]]]
    leaks: list[tuple[Leak, Picture, Picture]]
    label_issues: list[tuple[LabelIssue, Picture]]


def collect(run: Run, raw: Path, preprocessing: Preprocessing, augment: Augment, seed: int) -> Pictures:
    """Open the photos to show, one at a time.

    Args:
        run: the photos and their predictions.
        raw: the folder that their paths are relative to.
        preprocessing: of the model.
        augment: of the random views.
        seed: of the choice of photos and of the random views.

    Raises:
        UserError: a photo is missing or can't be read any more.
    """
    mistakes = run.mistakes()[:MISTAKES]
    more = [mistake for mistake in run.mistakes(run.worst_class.label) if mistake not in mistakes]
    chosen = samples(run.rows, seed)
    side = SIDE if max(map(len, chosen.values())) > 1 else SMALL_SIDE
    row = augmented(run.rows, seed)
    photo = open_whole(raw, row.path, preprocessing.short_side)
    views = Recipe(preprocessing, augment, seed).plan(photo, row.sha256, range(VIEWS)).views()
    return Pictures(
        samples=[(label, [thumbnail(raw, row.path, side) for row in rows]) for label, rows in chosen.items()],
        source=Picture(row.path, shrunk(photo)),
        plain=_view(plain_view(photo, preprocessing)),
        views=[_view(view) for view in views],
        mistakes=[(mistake, thumbnail(raw, mistake.path)) for mistake in mistakes],
        worst=[(mistake, thumbnail(raw, mistake.path)) for mistake in more[:WORST]],
        by_class=_by_class(run, raw),
        leaks=[
            (leak, thumbnail(raw, leak.path, SMALL_SIDE), thumbnail(raw, leak.like, SMALL_SIDE))
            for leak in run.leaks[:LEAKS]
        ],
        label_issues=[(issue, thumbnail(raw, issue.path)) for issue in run.label_issues[:LABEL_ISSUES]],
    )


def _by_class(run: Run, raw: Path) -> list[tuple[ClassResult, list[tuple[Prediction, Picture]]]]:
    each = next((number for most, number in PER_CLASS.items() if len(run.labels) <= most), 1)
    side = SMALL_SIDE if each > 1 else TINY_SIDE
    return [
        (result, [(chosen, thumbnail(raw, chosen.path, side)) for chosen in choose(own, each, each)])
        for result in run.worst_first[:MAX_CLASSES]
        for own in [[prediction for prediction in run.predictions if prediction.actual == result.label]]
    ]


def samples(rows: Sequence[Sample], seed: int) -> dict[str, list[Sample]]:
    """The photos of the sample grid by class: at most 64, or one for each of at most `MAX_CLASSES` classes."""
    by_label: dict[str, list[Sample]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row)
    labels = sorted(sorted(by_label, key=lambda label: _rank(label, seed))[:MAX_CLASSES])
    each = next((number for number in (8, 4, 2) if number * len(labels) <= 64), 1)
    return {label: sorted(by_label[label], key=lambda row: _rank(row.sha256, seed))[:each] for label in labels}


def augmented(rows: Sequence[Sample], seed: int) -> Sample:
    """The training photo whose random views are shown."""
    return min((row for row in rows if row.split == "train"), key=lambda row: _rank(row.sha256, seed))


def _rank(key: str, seed: int) -> str:
    return hashlib.blake2b(f"shown {seed} {key}".encode(), digest_size=16).hexdigest()


def _view(view: View) -> Image.Image:
    return shrunk(Image.fromarray(np.ascontiguousarray(view.transpose(1, 2, 0))))
