"""Figures made of photos: samples of every class, views of one photo, predictions with their probabilities."""

import io
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from boatyard.evaluation.predictions import Prediction
from boatyard.report.figures import style
from boatyard.report.formatting import percent

WIDTH = round(style.WIDTH * style.DPI)  # pixels, as wide as the drawn figures
MARGIN = 20
GAP = 8
COLUMNS = 8
CELL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
TEXT = 17
SMALL = 13
LINE = 24
ODDS = LINE + 6  # a class, its probability, and the bar below

Labelled = tuple[str, Sequence[Image.Image]]


def sample_grid(groups: Sequence[Labelled]) -> Image.Image:
    """Photos of each class next to each other under the class name; groups fill rows of 8 photos.

    Args:
        groups: class name and its photos, the same number for each class: 1, 2, 4 or 8.
    """
    span = max(len(photos) for _, photos in groups)
    across = COLUMNS // span
    sheet = _Sheet(2 * MARGIN + -(-len(groups) // across) * (LINE + CELL + 2 * GAP) - 2 * GAP)
    for number, (name, photos) in enumerate(groups):
        top = MARGIN + number // across * (LINE + CELL + 2 * GAP)
        left = MARGIN + number % across * span * (CELL + GAP)
        sheet.text(left, top, name, span * (CELL + GAP) - GAP)
        for place, photo in enumerate(photos):
            sheet.photo(left + place * (CELL + GAP), top + LINE, CELL, photo)
    return sheet.image


def augmented_views(photo: Image.Image, plain: Image.Image, views: Sequence[Image.Image]) -> Image.Image:
    """A photo, its plain view, and random views, eight in a row."""
    rows = -(-len(views) // COLUMNS)
    large = 2 * CELL + GAP
    sheet = _Sheet(2 * MARGIN + 2 * LINE + large + 2 * GAP + rows * (CELL + GAP) - GAP)
    for place, (name, image) in enumerate((("photo", photo), ("plain view", plain))):
        left = MARGIN + place * (large + GAP)
        sheet.text(left, MARGIN, name, large)
        sheet.photo(left, MARGIN + LINE, large, image)
    top = MARGIN + LINE + large + 2 * GAP
    sheet.text(MARGIN, top, f"{len(views)} random views", WIDTH - 2 * MARGIN)
    for number, view in enumerate(views):
        row, column = divmod(number, COLUMNS)
        sheet.photo(MARGIN + column * (CELL + GAP), top + LINE + row * (CELL + GAP), CELL, view)
    return sheet.image


def predictions(
    cards: Sequence[tuple[Prediction, Image.Image]], heading: str, *, one_class: bool = False
) -> Image.Image:
    """Photos under a heading, two in a row, each with its class and its most probable classes as bars.

    Args:
        cards: predictions and their photos.
        heading: a line above them.
        one_class: all are of one class, which the heading names; the photos then say only 'right' or 'wrong'.
    """
    side, width = 2 * CELL - GAP, (WIDTH - 2 * MARGIN - 3 * GAP) // 2
    height = max(side + LINE, 7 * ODDS) + 3 * GAP
    sheet = _Sheet(2 * MARGIN + LINE + GAP + -(-len(cards) // 2) * height - 3 * GAP)
    sheet.text(MARGIN, MARGIN, heading, WIDTH - 2 * MARGIN)
    for number, (prediction, photo) in enumerate(cards):
        top = MARGIN + LINE + GAP + number // 2 * height
        left = MARGIN + number % 2 * (width + 3 * GAP)
        sheet.photo(left, top, side, photo)
        sheet.text(left, top + side + 4, PurePosixPath(prediction.path).name, side, style.MUTED, SMALL)
        left, room = left + side + 2 * GAP, width - side - 2 * GAP
        verdict = "right" if prediction.right else "wrong"
        sheet.actual(left, top, verdict if one_class else f"actual: {prediction.actual}", prediction.right, room)
        for rank, (name, probability) in enumerate(odds(prediction)):
            colour = _colour(name, rank, prediction.actual)
            sheet.odds(left, top + (rank + 1) * ODDS + 4, name, probability, room, colour)
    return sheet.image


def odds(prediction: Prediction) -> list[tuple[str, float]]:
    """A photo's most probable classes, and its actual class if it is not among them, with their probabilities."""
    top = list(prediction.top)
    listed = any(label == prediction.actual for label, _ in top)
    return top if listed else [*top, (prediction.actual, prediction.actual_probability)]


def answer(photo: Image.Image, name: str, top: Sequence[tuple[str, float]], actual: str | None = None) -> Image.Image:
    """A photo under its name, with the most probable classes as bars next to it.

    Args:
        photo: of any size.
        name: of the photo.
        top: classes and their probabilities, the most probable first.
        actual: the photo's class, if it is known.
    """
    side, lines = 4 * CELL, len(top) + (actual is not None)
    sheet = _Sheet(2 * MARGIN + LINE + max(side, lines * 2 * LINE) + GAP)
    sheet.text(MARGIN, MARGIN, name, WIDTH - 2 * MARGIN)
    first = MARGIN + LINE + GAP
    sheet.photo(MARGIN, first, side, photo)
    left = MARGIN + side + 3 * GAP
    room = WIDTH - MARGIN - left
    if actual is not None:
        sheet.actual(left, first, f"actual: {actual}", actual == top[0][0], room)
        first += 2 * LINE
    for rank, (label, probability) in enumerate(top):
        colour = _colour(label, rank, top[0][0] if actual is None else actual)
        sheet.odds(left, first + rank * 2 * LINE, label, probability, room, colour, 12)
    return sheet.image


def _colour(label: str, rank: int, actual: str) -> str:
    """The colour of a class's bar."""
    if label == actual:
        return style.ACCENT
    return style.CONTRAST if rank == 0 else style.GREY


def png(sheet: Image.Image) -> bytes:
    """A sheet as PNG."""
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


class _Sheet:
    """A white canvas, `WIDTH` pixels wide, for photos and lines of text."""

    def __init__(self, height: int):
        self.image = Image.new("RGB", (WIDTH, height), style.PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def photo(self, left: int, top: int, side: int, photo: Image.Image) -> None:
        """The whole photo, centred in a square."""
        scale = side / max(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        place = (left + (side - size[0]) // 2, top + (side - size[1]) // 2)
        self.image.paste(photo.resize(size, Image.Resampling.LANCZOS), place)

    def actual(self, left: int, top: int, text: str, right: bool, room: int) -> None:
        """What a photo actually is, marked as predicted or not."""
        mark, colour = ("✓", style.ACCENT) if right else ("✗", style.CONTRAST)
        self.text(left, top, f"{mark} {text}", room, colour)

    def text(self, left: int, top: int, text: str, room: int, colour: str = style.INK, size: int = TEXT) -> None:
        """A line of text, shortened in the middle until it fits into `room` pixels."""
        length = len(text)
        shown = style.label(text, length)
        while _font(size).getlength(shown) > room and length > 1:
            length -= 1
            shown = style.label(text, length)
        self._draw.text((left, top), shown, colour, _font(size))

    def odds(
        self, left: int, top: int, name: str, probability: float, room: int, colour: str, thickness: int = 5
    ) -> None:
        """A class and its probability, above a bar that is `room` pixels long at a probability of 1."""
        share = percent(probability)
        width = math.ceil(_font(TEXT).getlength(share))
        self.text(left, top, name, room - width - GAP)
        self.text(left + room - width, top, share, width)
        bar = top + LINE - 3
        for length, fill in ((room, style.RULE), (round(room * probability), colour)):
            if length:
                self._draw.rectangle((left, bar, left + length - 1, bar + thickness - 1), fill)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    # The basic layout: the other one depends on a library that may be missing.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
