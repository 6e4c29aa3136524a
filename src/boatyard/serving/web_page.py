"""The parts of the web page as HTML. Names of photos, files and classes are escaped: text, never markup."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from boatyard.images.decoding import MAX_PIXELS
from boatyard.images.formats import FORMATS
from boatyard.images.views import Preprocessing, View
from boatyard.models.model_header import Header
from boatyard.report import formatting, theme
from boatyard.serving.classifier import Classification
from boatyard.serving.examples import Example

TEMPLATES = Path(__file__).parent / "templates"
TOP = 5
SIDE = 960  # of the shown photo's longer side, pixels
MAX_BYTES = 64 * 2**20  # of an upload

_environment = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters.update(percent=formatting.percent, count=formatting.count)
_parts = _environment.get_template("page.html.j2").module


def head() -> str:
    """The content of the page's <head>: the style sheet and the icon."""
    colours = f":root {{ {theme.css_variables(theme.LIGHT)} }}\n.dark {{ {theme.css_variables(theme.DARK)} }}\n"
    return _part("head", colours + (TEMPLATES / "page.css").read_text(encoding="utf-8"), theme.LIGHT["accent"])


def opening(header: Header) -> str:
    """The heading, and what the page is for."""
    return _part("opening", header)


def waiting(header: Header) -> str:
    """The panel before the first photo, with the classes."""
    return _part("waiting", header)


def answer(
    file: str,
    result: Classification,
    photo: Image.Image,
    view: View,
    preprocessing: Preprocessing,
    actual: str | None = None,
) -> str:
    """The panel with the most probable classes, the photo, and the model's view of it.

    Args:
        file: the photo's name.
        result: the photo's classification.
        photo: upright, RGB.
        view: its plain view, uint8 [3, s, s], shown pixel by pixel.
        preprocessing: how the view was made.
        actual: the photo's class, if it is known.
    """
    rows = result.top(TOP)
    return _part(
        "answer",
        file=file,
        rows=rows,
        others=len(result.classes) - len(rows),
        rest=max(0.0, 1 - sum(probability for _, probability in rows)),
        photo=_picture(_small(photo), "JPEG", quality=85),
        view=_picture(Image.fromarray(view.transpose(1, 2, 0)), "PNG"),
        frame=frame(photo.size, preprocessing),
        size=photo.size,
        crop=preprocessing.crop,
        actual=actual,
    )


def refusal(file: str, reason: str) -> str:
    """The panel that says why a file is not a usable photo, and which files are."""
    return _part("refusal", file, reason, list(FORMATS), MAX_PIXELS // 1_000_000, MAX_BYTES // 2**20)


def examples(test_photos: Sequence[Example]) -> str:
    """The examples as buttons, numbered from 0; empty if there are none."""
    return _part(
        "examples",
        [
            {"actual": example.actual, "address": _picture(example.picture.image, "JPEG").address}
            for example in test_photos
        ],
    )


def card(text: str) -> str:
    """The model card's Markdown without the block of metadata at its beginning."""
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)


def no_card(path: Path) -> str:
    """The section in place of a missing model card."""
    return _part("no_card", path)


def closing() -> str:
    """The footer, which says where photos go."""
    return _part("closing")


def frame(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """The part of a photo in its plain view, as fractions of width and height: left, top, width, height."""
    left, top, right, bottom = preprocessing.box(*size)
    return left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1]


@dataclass(frozen=True)
class _Picture:
    """An image embedded in the page as a data URL."""

    address: str
    width: int
    height: int


def _small(photo: Image.Image) -> Image.Image:
    # Not Image.thumbnail, which would need a copy: the largest photo takes 384 MB.
    scale = SIDE / max(photo.size)
    if scale >= 1:
        return photo
    size = max(1, round(scale * photo.width)), max(1, round(scale * photo.height))
    return photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


def _picture(image: Image.Image, kind: str, **options: int) -> _Picture:
    content = io.BytesIO()
    image.save(content, kind, **options)
    address = f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
    return _Picture(address, *image.size)


def _part(name: str, /, *arguments: object, **named: object) -> str:
    return str(getattr(_parts, name)(*arguments, **named)).strip()
