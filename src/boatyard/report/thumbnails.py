"""Photos of data/raw as thumbnails, and which test photos of a class to show; needs neither SciPy nor Jinja2."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from boatyard.core.errors import UserError
from boatyard.evaluation.predictions import Prediction
from boatyard.images.decoding import UnreadablePhoto, open_photo

SIDE = 208  # pixels of a thumbnail's longer side


@dataclass(frozen=True)
class Picture:
    """A thumbnail of a photo in data/raw."""

    path: str
    image: Image.Image


def thumbnail(raw: Path, path: str, side: int = SIDE) -> Picture:
    """A photo, its longer side at most `side` pixels."""
    return Picture(path, shrunk(open_whole(raw, path, 2 * side), side))


def open_whole(raw: Path, path: str, short_side: int) -> Image.Image:
    """A photo, decoded for views or thumbnails with at most `short_side` pixels along the shorter side.

    Raises:
        UserError: it is missing or can't be read any more.
    """
    try:
        return open_photo(raw / path, short_side)
    except (UnreadablePhoto, OSError) as error:
        raise UserError(f"{raw / path} can't be read ({error}): run `dvc repro --force download`") from None


def shrunk(photo: Image.Image, side: int = SIDE) -> Image.Image:
    """A copy whose longer side has at most `side` pixels."""
    small = photo.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def choose(predictions: Iterable[Prediction], wrong: int, right: int) -> list[Prediction]:
    """At most so many wrong predictions, the most confident first, then right ones, spread over their confidence."""
    ranked = sorted(predictions, key=lambda prediction: (-prediction.probability, prediction.path))
    correct = [prediction for prediction in ranked if prediction.right]
    places = np.linspace(0, len(correct) - 1, min(right, len(correct))).round().astype(int)
    return [
        *[prediction for prediction in ranked if not prediction.right][:wrong],
        *[correct[place] for place in places],
    ]
