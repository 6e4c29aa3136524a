"""The parts of the web page: exact figures, and text that stays text whatever it says."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pretend_run import HOSTILE

from boatyard.images.views import Preprocessing, plain_view
from boatyard.models.model_header import Header
from boatyard.report import theme
from boatyard.serving import web_page
from boatyard.serving.classifier import Classification
from boatyard.serving.examples import Example

CSS = web_page.head()
PREPROCESSING = Preprocessing(32, 0.875, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
VOID = {"img", "link"}


class Reader(HTMLParser):
    """What a browser makes of a part: its elements, the values of its `data` elements, its pictures, its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.values: list[float] = []
        self.pictures: list[Image.Image] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attributes)
        self.handlers += [name for name in found if name.startswith("on")]
        if tag == "data":
            self.values.append(float(found["value"] or ""))
        if tag == "img":
            content = base64.b64decode((found["src"] or "").partition(";base64,")[2])
            self.pictures.append(Image.open(io.BytesIO(content)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.text += text


def answer(classes: tuple[str, ...], file: str, actual: str | None = None) -> tuple[Classification, str]:
    result = Classification(
        classes, np.log(np.random.default_rng(0).dirichlet(np.ones(len(classes)))).astype(np.float32)
    )
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    return result, web_page.answer(file, result, photo, plain_view(photo, PREPROCESSING), PREPROCESSING, actual)


def test_an_answer_has_the_figures_to_the_last_digit_and_the_view_pixel_by_pixel() -> None:
    classes = tuple(f"class {number}" for number in range(9))
    result, part = answer(classes, "boat.jpg")

    read = Reader(part)

    assert read.values == [probability for _, probability in result.top(5)]
    assert re.findall(r"class \d", read.text)[1:] == [label for label, _ in result.top(5)]
    rest = 1 - sum(read.values)
    assert f"4\u00a0other classes together: {100 * rest:.1f}\u00a0%" in read.text
    photo, view = read.pictures
    assert photo.size == (120, 90)
    original = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    assert np.array_equal(np.asarray(view).transpose(2, 0, 1), plain_view(original, PREPROCESSING))


def test_an_answer_of_few_classes_has_no_others() -> None:
    result, part = answer(("barge", "canoe"), "boat.jpg")

    assert Reader(part).values == [probability for _, probability in result.top(2)]
    assert "other class" not in part


def test_an_example_says_whether_the_answer_is_right() -> None:
    result, _ = answer(("barge", "canoe"), "boat.jpg")
    wrong = next(label for label in result.classes if label != result.label)

    assert "Correct: this is its label in the test set" in answer(("barge", "canoe"), "boat.jpg", result.label)[1]
    assert (
        f"Wrong: its label in the test set is {wrong}." in Reader(answer(("barge", "canoe"), "boat.jpg", wrong)[1]).text
    )
    assert "test set" not in answer(("barge", "canoe"), "boat.jpg")[1]


@pytest.mark.parametrize("file", [*HOSTILE, "'><script>alert(1)</script>.jpg", "{{ 7 * 7 }} ${7 * 7}.jpg"])
def test_names_are_text(file: str) -> None:
    header = Header(list(HOSTILE), "<b>net</b>", 0, 0.0, PREPROCESSING, 1.0, {})
    thumbnail = Image.new("RGB", (8, 8))
    parts = {
        "answer": answer(HOSTILE, file, file)[1],
        "refusal": web_page.refusal(file, file),
        "waiting": web_page.part("waiting", header),
        "opening": web_page.part("opening", header),
        "examples": web_page.examples([Example(Path(file), file, thumbnail)]),
        "no card": web_page.part("no_card", Path(file)),
    }

    for name, part in parts.items():
        read = Reader(part)
        assert read.tags <= {
            *("section", "header", "h1", "h2", "p", "b", "i", "bdi", "span", "ol", "ul", "li", "data", "div"),
            *("figure", "figcaption", "img", "button", "code"),
        }
        assert read.handlers == []
        if name in ("answer", "refusal", "examples", "no card"):
            assert file in read.text
    assert all(label in Reader(parts["waiting"]).text for label in HOSTILE)


def test_many_classes_are_not_all_named() -> None:
    header = Header([f"class {number:03d}" for number in range(101)], "net", 0, 0.0, PREPROCESSING, 1.0, {})

    read = Reader(web_page.part("waiting", header))

    assert len(set(re.findall(r"class \d{3}", read.text))) == 40
    assert "and 61 more" in read.text


@pytest.mark.parametrize("size", [(64, 64), (300, 100), (97, 211)])
def test_the_frame_is_where_the_plain_view_comes_from(size: tuple[int, int]) -> None:
    """A photo that is white outside the frame and black in it gives a black view; one pixel less does not."""
    nearest = Preprocessing(200, 0.5, "nearest", (0.5,) * 3, (0.5,) * 3)
    left, top, width, height = web_page.frame(size, nearest)
    box = [
        round(left * size[0]),
        round(top * size[1]),
        round((left + width) * size[0]),
        round((top + height) * size[1]),
    ]
    assert abs((box[2] - box[0]) - 0.5 * min(size)) <= 1
    assert abs((box[3] - box[1]) - 0.5 * min(size)) <= 1
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    pixels[max(0, box[1] - 1) : box[3] + 1, max(0, box[0] - 1) : box[2] + 1] = 0
    assert plain_view(Image.fromarray(pixels), nearest).max() == 0
    pixels[: box[1] + 2] = 255
    assert plain_view(Image.fromarray(pixels), nearest).max() == 255


def test_a_squashed_photo_is_framed_completely_and_says_so() -> None:
    squashed = replace(PREPROCESSING, crop="squash")
    photo = Image.new("RGB", (300, 100))
    result = Classification(("barge", "canoe"), np.log(np.array([0.5, 0.5])))

    part = web_page.answer("wide.png", result, photo, plain_view(photo, squashed), squashed)

    assert web_page.frame(photo.size, squashed) == (0, 0, 1, 1)
    assert "--x:0.0000;--y:0.0000;--w:1.0000;--h:1.0000" in part
    side = PREPROCESSING.size
    assert f"As the model sees it</b> {side} × {side} pixels, the whole photo, resized to a square</figcaption>" in part
    assert f'alt="All of the photo, {side} by {side} pixels"' in part
    assert "middle" not in part


def test_a_large_photo_is_shown_smaller() -> None:
    photo = Image.new("RGB", (3000, 10))
    result = Classification(("barge", "canoe"), np.log(np.array([0.5, 0.5])))

    part = web_page.answer("wide.png", result, photo, plain_view(photo, PREPROCESSING), PREPROCESSING)

    assert Reader(part).pictures[0].size == (web_page.SIDE, 3)
    assert "3,000 × 10 pixels" in part


def test_the_model_cards_metadata_is_not_shown() -> None:
    assert web_page.card("---\ntags: [onnx]\n---\n\n# Model\n\n---\n\nText\n") == "\n# Model\n\n---\n\nText\n"
    assert web_page.card("# Model\n---\nText\n") == "# Model\n---\nText\n"


def colours(css: str) -> list[dict[str, str]]:
    """The colours of the first two blocks that name them, in light and in dark."""
    blocks = [block for block in re.findall(r"\{([^{}]*)\}", css) if "--paper:" in block]
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks[:2]]


def test_the_colours_are_the_reports() -> None:
    assert colours(CSS) == colours(theme.page_variables())
    assert [len(block) for block in colours(CSS)] == [9, 9]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_stands_out(mode: int) -> None:
    """WCAG 2.2 asks for a contrast of 4.5."""
    palette = colours(CSS)[mode]
    for ground in ("paper", "surface"):
        for ink in ("ink", "muted", "accent", "contrast"):
            light, dark = sorted((luminance(palette[ink]), luminance(palette[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
