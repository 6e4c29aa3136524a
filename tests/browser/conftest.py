"""A repository to serve, and a Chromium that can reach nothing but this machine.

CHROMIUM names the browser; default: Debian's.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import drawn_photos
import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright
from server import Server, serving
from small_model import CLASSES

from boatyard.core import paths
from boatyard.evaluation.predictions import Prediction, write_predictions

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-pings"]
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
CARD = "---\ntags: [onnx]\n---\n\n# Image classifier: drawn\n\n| top-1 | top-3 |\n|---|---|\n| 80 % | 99 % |\n"


@pytest.fixture(scope="session")
def repository(small_model_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a model card, and six test photos, of which the model's table of predictions has two wrong."""
    root = tmp_path_factory.mktemp("repository") / "copy"
    shutil.copytree(small_model_files, root)
    (root / paths.MODEL_CARD).write_text(CARD, encoding="utf-8")
    rows = []
    for label, drawing in zip(CLASSES, drawn_photos.CLASSES, strict=True):
        for number in range(2):
            (root / paths.RAW / drawing).mkdir(parents=True, exist_ok=True)
            drawn = drawn_photos.draw_photo(root / paths.RAW, drawing, number)
            predicted = CLASSES[0] if number else label
            path = drawn.relative_to(root / paths.RAW).as_posix()
            rows.append(Prediction(path, label, predicted, 0.8, 0.8, ((predicted, 0.8),)))
    write_predictions(root / paths.PREDICTIONS, rows)
    return root


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the session: when it is over, it has complained of nothing and connected to nobody."""
    with serving(repository, tmp_path_factory.mktemp("server") / "temporary") as running:
        yield running
    assert running.complaints == []
    assert len(running.lines) == 1


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    flags = [*QUIET, ALONE, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open a server's page. When the test is over, it has asked nobody but that server, and no script of a file ran.

    What the page wanted to ask of others, and its headers refused, is to be in `refused`.
    """
    visits: list[tuple[Page, list[str], list[str]]] = []

    def visit(
        server: Server, width: int = 1280, height: int = 900, refused: Sequence[str] = (), **options: str
    ) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        foreign: list[str] = []

        def note(request: Request) -> None:
            asked = urlsplit(request.url)
            if asked.scheme not in ("data", "blob") and asked.netloc != urlsplit(server.address).netloc:
                foreign.append(request.url)

        context.on("request", note)
        page = context.new_page()
        visits.append((page, foreign, list(refused)))
        page.on("pageerror", lambda error: foreign.append(str(error)))
        # run() is what the scripts of hostile files would call.
        page.add_init_script("""
            window.noted = [];
            window.run = () => noted.push('run');
            addEventListener('securitypolicyviolation', (event) => noted.push(event.blockedURI));
        """)
        page.goto(server.address)
        page.wait_for_selector("#photo button")
        return page

    yield visit
    for page, foreign, refused in visits:
        noted = page.evaluate("noted")
        page.context.close()
        assert noted == foreign == refused
