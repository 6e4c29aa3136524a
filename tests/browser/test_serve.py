"""The web page in a real browser, as a visitor meets it."""

import base64
import io
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import drawn_photos
import hostile_uploads
import numpy as np
import onnx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from pretend_run import HOSTILE
from server import Server, serving

from boatyard.core import paths
from boatyard.export import onnx_file
from boatyard.models import model_header
from boatyard.serving import web_page as parts
from boatyard.serving.classifier import Classifier

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def classifier(repository: Path) -> Classifier:
    return Classifier.load(repository / paths.ONNX)


def choose(page: Page, photo: Path) -> None:
    page.locator("#photo input[type=file]").set_input_files(photo)


def shown(page: Page, file: str) -> list[tuple[str, float]]:
    """The classes and probabilities on the page, once it tells of `file`."""
    expect(page.locator("#answer .file")).to_have_text(file)
    rows = page.locator("#answer .odds li").all()
    return [
        (row.locator(".name").inner_text(), float(row.locator("data").get_attribute("value") or "")) for row in rows
    ]


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("number", [1, 2, 4, 6, 7], ids=["JPEG", "on its side", "odd name", "grey", "half transparent"])
def test_an_upload_gets_the_classifiers_result(
    server: Server, visit: Visit, classifier: Classifier, number: int, tmp_path: Path
) -> None:
    (tmp_path / "discs").mkdir()
    photo = drawn_photos.draw_photo(tmp_path, "discs", number)
    page = visit(server)

    choose(page, photo)

    assert shown(page, photo.name) == list(classifier(photo).top(5))
    expect(page.locator("#answer h2")).to_contain_text(classifier(photo).label)
    address = page.locator("#answer img.view").get_attribute("src") or ""
    view = Image.open(io.BytesIO(base64.b64decode(address.partition(";base64,")[2])))
    assert np.array_equal(np.asarray(view).transpose(2, 0, 1), classifier.plain_view(photo))
    expect(page.locator("#answer h2")).to_be_focused()
    expect(page.locator("#photo .upload-container")).to_be_visible()  # ready for the next one


def test_a_photo_can_be_dropped_and_another_after_it(
    server: Server, visit: Visit, classifier: Classifier, repository: Path
) -> None:
    page = visit(server)
    for photo in sorted((repository / paths.RAW).glob("*/*.png")):
        content = base64.b64encode(photo.read_bytes()).decode()
        dropped = page.evaluate_handle(
            """([name, content]) => {
                const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], name, {type: 'image/png'}));
                return transfer;
            }""",
            [photo.name, content],
        )
        page.locator("#photo .upload-container").dispatch_event("drop", {"dataTransfer": dropped})
        assert shown(page, photo.name) == list(classifier(photo).top(5))


def test_examples_are_answered_and_judged(
    server: Server, visit: Visit, classifier: Classifier, repository: Path
) -> None:
    page = visit(server)
    buttons = page.locator(".strip button")
    assert sorted(buttons.all_inner_texts()) == ["barge", "barge", "canoe", "canoe", "ferry", "ferry"]
    seen: list[Path] = []
    for button in buttons.all():
        actual = button.inner_text()
        button.click()
        file = page.locator("#answer .file")
        expect(file).not_to_have_text(seen[-1].name if seen else "")
        (photo,) = (repository / paths.RAW).rglob(file.inner_text())
        rows = shown(page, photo.name)
        assert rows == list(classifier(photo).top(5))
        right = rows[0][0] == actual
        expect(page.locator("#answer .truth")).to_have_text(
            "Correct: this is its label in the test set." if right else f"Wrong: its label in the test set is {actual}."
        )
        seen.append(photo)
    assert len(set(seen)) == 6


def test_the_keyboard_reaches_everything(server: Server, visit: Visit, repository: Path) -> None:
    page = visit(server)
    # Playwright asks for the chooser without waiting for an answer: what follows must have gone there and back before
    # it opens, or Chromium opens, and without a screen cancels, one that nobody hears of.
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Tab")
        expect(page.locator("#photo .upload-container")).to_be_focused()
        page.keyboard.press("Enter")
    photo = min((repository / paths.RAW).glob("*/*.png"))
    chooser.value.set_files(photo)
    shown(page, photo.name)
    page.locator(".strip button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answer .truth")).to_be_visible()
    assert page.locator("button:not([aria-label])").evaluate_all("all => all.every((one) => one.innerText.trim())")
    assert page.locator("img:not([alt])").count() == 0


def test_a_file_that_is_no_photo_gets_a_reason(server: Server, visit: Visit, tmp_path: Path) -> None:
    page = visit(server)
    alert = page.locator("#answer [role=alert]")
    for name, reason in hostile_uploads.write(tmp_path).items():
        choose(page, tmp_path / name)
        expect(alert.locator(".file")).to_have_text(re.sub("[<>]", "", name))  # which Gradio drops from a name
        expect(alert.locator(".reason")).to_contain_text(reason.rstrip("."))
        assert "Traceback" not in page.content()
        assert alert.locator("script, img, svg").count() == 0


def test_what_can_be_no_photo_is_not_even_sent(server: Server, visit: Visit, tmp_path: Path) -> None:
    page = visit(server)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    (tmp_path / "page.html").write_text("<script>run()</script>")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(parts.MAX_BYTES + 1)
    for name, told in [("page.html", "Invalid file type: page.html"), ("huge.jpg", "maximum allowed size of 64.0 MB")]:
        choose(page, tmp_path / name)
        expect(page.get_by_text(re.compile(told, re.IGNORECASE))).to_be_visible()
    assert not any(urlsplit(address).path.endswith("/upload") for address in sent)


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_scrolls_sideways(server: Server, visit: Visit, width: int, scheme: str, repository: Path) -> None:
    page = visit(server, width, color_scheme=scheme)
    assert fits(page)
    photo = min((repository / paths.RAW).glob("*/*.png"))
    choose(page, photo)
    shown(page, photo.name)
    assert fits(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(255, 255, 255)",
        "dark": "rgb(18, 23, 28)",
    }.get(scheme)
    heading = page.locator("#answer h2")
    page.wait_for_timeout(700)  # it scrolls smoothly
    assert heading.evaluate(
        "one => one.getBoundingClientRect().top >= 0 && one.getBoundingClientRect().bottom < innerHeight"
    )


def test_the_model_card_is_shown(server: Server, visit: Visit) -> None:
    card = visit(server).locator("#card")
    expect(card.locator("h1")).to_have_text("Image classifier: drawn")
    expect(card.locator("td")).to_have_text(["80 %", "99 %"])
    assert "tags:" not in card.inner_text()


def test_a_model_card_brings_nothing_from_elsewhere(repository: Path, visit: Visit, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(repository, root)
    picture = "https://elsewhere.example/a.png"
    (root / paths.MODEL_CARD).write_text(f"# Card\n\n![]({picture})\n\n<script>run()</script><b onclick=run()>b</b>\n")
    with serving(root, tmp_path / "temporary") as server:
        page = visit(server, refused=[picture])
        page.wait_for_function("noted.length > 0")
        page.locator("#card b").click()


@pytest.fixture(scope="session")
def bare(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model alone, whose classes have the worst of names."""
    root = tmp_path_factory.mktemp("bare")
    header = onnx_file.read(repository / paths.ONNX).header
    names = ["{{value}} ${run()} <img src=x onerror=run()>", HOSTILE[3], HOSTILE[4]]
    model = onnx.load(repository / paths.ONNX)
    onnx.helper.set_model_props(model, model_header.encode(replace(header, classes=names)))
    (root / paths.ONNX).parent.mkdir()
    (root / paths.ONNX).write_bytes(model.SerializeToString())
    return root


def test_a_model_alone_is_served_whatever_its_classes_are_called(
    bare: Path, visit: Visit, repository: Path, tmp_path: Path
) -> None:
    classifier = Classifier.load(bare / paths.ONNX)
    with serving(bare, tmp_path / "temporary") as server:
        page = visit(server)
        assert page.locator(".strip").count() == 0
        expect(page.locator("#card")).to_contain_text("models/MODEL_CARD.md does not exist.")
        assert page.locator("#answer .chips .name").all_inner_texts() == classifier.classes
        photo = min((repository / paths.RAW).glob("*/*.png"))
        choose(page, photo)
        assert shown(page, photo.name) == list(classifier(photo).top(5))
        for width in (1280, 390, 320):
            page.set_viewport_size({"width": width, "height": 844})
            assert fits(page)
    assert "No examples: plots/predictions.csv or the photos in data/raw are missing.\n" in server.lines
    assert server.complaints == []


@pytest.mark.parametrize(("number", "status", "said"), [(signal.SIGINT, 130, ["stopped\n"]), (signal.SIGTERM, 143, [])])
def test_it_stops_quietly_and_leaves_nothing(
    repository: Path, visit: Visit, tmp_path: Path, number: int, status: int, said: list[str]
) -> None:
    with serving(repository, tmp_path / "temporary") as server:
        page = visit(server)
        photo = min((repository / paths.RAW).glob("*/*.png"))
        choose(page, photo)
        shown(page, photo.name)
        (folder,) = server.temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert photo.read_bytes() in [path.read_bytes() for path in folder.rglob("*") if path.is_file()]

        assert server.stop(number) == status

        assert list(server.temporary.iterdir()) == []
    assert server.complaints == said
