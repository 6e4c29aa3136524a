"""The parts of the web page as HTML. Names of photos, files and classes are escaped: text, never markup."""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from boatyard.images.decoding import MAX_PIXELS
from boatyard.images.formats import FORMATS
from boatyard.images.views import Preprocessing, View
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


def part(name: str, /, *arguments: object, **named: object) -> str:
    """A part of the page: the macro with this name in page.html.j2."""
    return str(getattr(_parts, name)(*arguments, **named)).strip()


def head() -> str:
    """The content of the page's <head>: the style sheet and the icon."""
    colours = f":root {{ {theme.css_variables(theme.LIGHT)} }}\n.dark {{ {theme.css_variables(theme.DARK)} }}\n"
    return part("head", colours + (TEMPLATES / "page.css").read_text(encoding="utf-8"), theme.LIGHT["accent"])


def answer(
    file: str,
    result: Classification,
    photo: Image.Image,
    view: View,
    preprocessing: Preprocessing,
    actual: str | None = None,
) -> str:
    """The panel with the most probable classes, the photo, and the model's view of it.

    The photo is upright RGB. Its plain view, uint8 [3, s, s], is shown pixel by pixel. `actual` is its class, if known.
    """
    rows = result.top(TOP)
    return part(
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
    return part("refusal", file, reason, list(FORMATS), MAX_PIXELS // 1_000_000, MAX_BYTES // 2**20)


def examples(test_photos: Sequence[Example]) -> str:
    """The examples as buttons, numbered from 0; empty if there are none."""
    return part("examples", [(example.actual, _picture(example.thumbnail, "JPEG")) for example in test_photos])


def card(text: str) -> str:
    """The model card's Markdown without the block of metadata at its beginning."""
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)


def frame(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """The part of a photo in its plain view, as fractions of width and height: left, top, width, height."""
    left, top, right, bottom = preprocessing.box(*size)
    return left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1]


def _small(photo: Image.Image) -> Image.Image:
    # Not Image.thumbnail, which would need a copy: the largest photo takes 384 MB.
    scale = SIDE / max(photo.size)
    if scale >= 1:
        return photo
    size = max(1, round(scale * photo.width)), max(1, round(scale * photo.height))
    return photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


def _picture(image: Image.Image, kind: str, **options: int) -> dict[str, str | int]:
    """An image for the template: a data URL, and its size."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    address = f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
    return {"address": address, "width": image.width, "height": image.height}
