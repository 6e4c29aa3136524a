"""`boatyard serve`: what it says of photos, what it refuses, what it keeps to itself. tests/browser sees the page."""

import base64
import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import drawn_photos
import hostile_uploads
import numpy as np
import pytest
from PIL import Image
from small_model import CLASSES
from starlette.testclient import TestClient

from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.serving import app, web_page
from boatyard.serving.classifier import Classifier


@pytest.fixture
def classifier(model_repository: Path) -> Classifier:
    return Classifier.load(paths.ONNX)


@pytest.mark.parametrize("number", [0, 1, 2, 6, 7], ids=["PNG", "JPEG", "on its side", "grey", "half transparent"])
def test_a_photo_gets_the_classifiers_result(classifier: Classifier, number: int, model_repository: Path) -> None:
    (model_repository / "discs").mkdir()
    photo = drawn_photos.draw_photo(model_repository, "discs", number)

    part = app.answer(classifier, photo)

    assert [float(value) for value in re.findall(r'<data value="([^"]+)"', part)] == [
        probability for _, probability in classifier(photo).top(5)
    ]
    view = base64.b64decode(re.findall(r"data:image/png;base64,([^\"]+)", part)[0])
    shown = np.asarray(Image.open(io.BytesIO(view)))
    assert np.array_equal(shown.transpose(2, 0, 1), classifier.plain_view(photo))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_file_that_is_no_photo_gets_a_reason(classifier: Classifier, tmp_path: Path) -> None:
    for name, reason in hostile_uploads.write(tmp_path).items():
        part = app.answer(classifier, tmp_path / name)
        assert f'<p class="reason">{reason}'.rstrip(".") in part
        assert 'role="alert"' in part
        assert str(tmp_path) not in part
        assert "<script" not in part
        assert "<img" not in part


@pytest.fixture
def browser(classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Calls the web application; uploads go to tmp_path/uploads and are kept for a second, 1,000 bytes at most."""
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)  # _configure_gradio changes some
    monkeypatch.setattr(app, "DELETE_CACHE", (1, 1))
    monkeypatch.setattr(web_page, "MAX_BYTES", 1000)
    (tmp_path / "uploads").mkdir()
    app._configure_gradio(str(tmp_path / "uploads"))
    application = app.create(classifier, [], Path("models/MODEL_CARD.md"), ["testserver"])
    with TestClient(application) as client:
        yield client


def test_the_application_shows_nothing_but_its_page(browser: TestClient, model_repository: Path) -> None:
    secret = model_repository / "secret.txt"
    secret.write_text("secret")

    assert browser.get("/").status_code == 200
    for path in ("docs", "redoc", "openapi.json", "monitoring", "monitoring/summary", "gradio_api/runs"):
        assert browser.get(f"/{path}").status_code in (403, 404), path
    assert browser.get("/gradio_api/info").json() == {"named_endpoints": {}, "unnamed_endpoints": {}}
    for path in (secret, model_repository / paths.ONNX, Path(paths.ONNX), Path("/etc/passwd")):
        assert browser.get(f"/gradio_api/file={path}").status_code == 403, path
    assert browser.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    config = browser.get("/config").json()
    assert config["analytics_enabled"] is False
    assert {dependency["api_visibility"] for dependency in config["dependencies"]} == {"private"}


def test_an_upload_is_limited_in_size_and_deleted_soon(browser: TestClient, tmp_path: Path) -> None:
    def upload(content: bytes) -> int:
        return browser.post("/gradio_api/upload", files={"files": ("boat.jpg", content)}).status_code

    def kept() -> list[bytes]:
        return [path.read_bytes() for path in (tmp_path / "uploads").rglob("*") if path.is_file()]

    assert upload(b"x" * 1001) == 413
    assert kept() == []
    assert upload(b"x" * 1000) == 200
    assert kept() == [b"x" * 1000]
    deadline = time.monotonic() + 10
    while kept() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert kept() == []


def test_no_setting_of_the_environment_opens_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "GRADIO_SHARE",
        "GRADIO_MCP_SERVER",
        "GRADIO_VIBE_MODE",
        "GRADIO_ALLOWED_PATHS",
        "GRADIO_ANALYTICS_ENABLED",
    ):
        monkeypatch.setenv(name, "True")
    for name in ("GRADIO_TEMP_DIR", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")

    app._configure_gradio("folder")

    assert {name: value for name, value in os.environ.items() if name.startswith("GRADIO_")} == {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": "folder",
    }
    assert (os.environ["HF_HUB_OFFLINE"], os.environ["HF_HUB_DISABLE_TELEMETRY"]) == ("1", "1")


def test_what_the_user_can_fix_is_one_line(model_repository: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"can't listen on 127\.0\.0\.1, port {port} \(Address already in use\)"):
            app.run(paths.ONNX, "127.0.0.1", port)
    with pytest.raises(UserError, match=r"can't listen on 127\.0\.0\.1, port 70000"):
        app.run(paths.ONNX, "127.0.0.1", 70000)
    with pytest.raises(UserError, match=r"can't listen on nowhere\.invalid, port 0 \(.+\): choose another"):
        app.run(paths.ONNX, "nowhere.invalid", 0)
    with pytest.raises(UserError, match=r"models/other\.onnx does not exist"):
        app.run(Path("models/other.onnx"), "127.0.0.1", 0)


def test_the_greeting_warns_if_others_can_reach_the_page() -> None:
    assert (
        app._allowed_hosts("127.0.0.1")
        == app._allowed_hosts("localhost")
        == app._allowed_hosts("::1")
        == ["localhost", "127.0.0.1", "::1"]
    )
    assert (
        app._allowed_hosts("0.0.0.0") == app._allowed_hosts("192.0.2.1") == app._allowed_hosts("boats.example") == ["*"]
    )
    lines = {}
    for host in ("127.0.0.1", "0.0.0.0"):
        with app._listener(host, 0) as listener:
            port = listener.getsockname()[1]
            lines[host] = app._greeting(listener, paths.ONNX, [])
            assert lines[host][0] == f"http://{host}:{port}  models/model.onnx; press Ctrl-C to stop"
    reach = "Anyone who can reach this machine can use the page and see its examples."
    assert reach in lines["0.0.0.0"]
    assert reach not in lines["127.0.0.1"]


def test_gradio_is_imported_when_the_page_is_made() -> None:
    script = "import sys, boatyard.serving.app; print([m for m in ('gradio', 'fastapi', 'torch') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_page_names_the_classes(browser: TestClient) -> None:
    text = browser.get("/config").text
    assert all(label in text for label in CLASSES)
    assert "models/MODEL_CARD.md does not exist" in text
