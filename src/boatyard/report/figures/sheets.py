"""Figures made of photos: samples of every class, views of one photo, mistakes with their probabilities."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from boatyard.evaluation.predictions import Prediction
from boatyard.report.figures import style

WIDTH = round(style.WIDTH * style.DPI)  # pixels, as wide as the drawn figures
MARGIN = 20
GAP = 8
COLUMNS = 8
CELL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
TEXT = 17
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


def mistakes(cards: Sequence[tuple[Prediction, Image.Image]]) -> Image.Image:
    """Misclassified photos, two in a row, each with its class and its most probable classes as bars."""
    side, width = 2 * CELL - GAP, (WIDTH - 2 * MARGIN - 3 * GAP) // 2
    height = max(side, 7 * LINE) + 3 * GAP
    sheet = _Sheet(2 * MARGIN + max(1, -(-len(cards) // 2)) * height - 3 * GAP)
    if not cards:
        sheet.text(MARGIN, MARGIN, "No test photo is misclassified.", WIDTH - 2 * MARGIN)
    for number, (prediction, photo) in enumerate(cards):
        top = MARGIN + number // 2 * height
        left = MARGIN + number % 2 * (width + 3 * GAP)
        sheet.photo(left, top, side, photo)
        left, room = left + side + 2 * GAP, width - side - 2 * GAP
        sheet.text(left, top, f"actual: {prediction.actual}", room)
        for rank, (name, probability) in enumerate(prediction.top):
            colour = style.ACCENT if name == prediction.actual else style.CONTRAST if rank == 0 else style.GREY
            sheet.odds(left, top + (rank + 1) * ODDS + 4, name, probability, room, colour)
    return sheet.image


def answer(photo: Image.Image, name: str, top: Sequence[tuple[str, float]]) -> Image.Image:
    """A photo under its name, with the most probable classes as bars next to it.

    Args:
        photo: of any size.
        name: of the photo.
        top: classes and their probabilities, the most probable first.
    """
    side = 4 * CELL
    sheet = _Sheet(2 * MARGIN + LINE + max(side, len(top) * 2 * LINE) + GAP)
    sheet.text(MARGIN, MARGIN, name, WIDTH - 2 * MARGIN)
    sheet.photo(MARGIN, MARGIN + LINE + GAP, side, photo)
    left = MARGIN + side + 3 * GAP
    for rank, (label, probability) in enumerate(top):
        colour = style.ACCENT if rank == 0 else style.GREY
        sheet.odds(left, MARGIN + LINE + GAP + rank * 2 * LINE, label, probability, WIDTH - MARGIN - left, colour, 12)
    return sheet.image


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

    def text(self, left: int, top: int, text: str, room: int) -> None:
        """A line of text, shortened in the middle until it fits into `room` pixels."""
        length = 60
        shown = style.label(text, length)
        while _font().getlength(shown) > room and length > 1:
            length -= 1
            shown = style.label(text, length)
        self._draw.text((left, top), shown, style.INK, _font())

    def odds(
        self, left: int, top: int, name: str, probability: float, room: int, colour: str, thickness: int = 5
    ) -> None:
        """A class and its probability, above a bar that is `room` pixels long at a probability of 1."""
        self.text(left, top, f"{probability:.0%} {name}", room)
        if length := round(room * probability):
            bottom = top + LINE - 3
            self._draw.rectangle((left, bottom, left + length - 1, bottom + thickness - 1), colour)


@cache
def _font() -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    # The basic layout: the other one depends on a library that may be missing.
    return ImageFont.truetype(path, TEXT, layout_engine=ImageFont.Layout.BASIC)
