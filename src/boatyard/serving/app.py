"""`boatyard serve`: a web page to try the model on a photo.

The page is built with Gradio. It loads nothing from other machines: its headers forbid that to the browser, and
Gradio's telemetry is switched off. Gradio writes uploads to files, in a private folder that is deleted at exit.
"""

import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.report.theme import DARK, LIGHT
from boatyard.serving import examples, web_page
from boatyard.serving.classifier import Classification, Classifier
from boatyard.serving.examples import Example

if TYPE_CHECKING:
    from fastapi import FastAPI

# Every 30 seconds, uploads older than 60 seconds are deleted.
DELETE_CACHE = (30, 60)
# Photos in the queue; further requests are rejected. One photo is processed at a time: that takes a fraction of a
# second, and up to a gigabyte of memory.
MAX_QUEUE = 20

# Gradio's page needs inline scripts and styles, and evaluates functions from text.
_HEADERS = [
    (
        "Content-Security-Policy",
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]

_ON_EXAMPLE = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) trigger('click', {number: Number(button.dataset.number)});
});
"""
# Scrolls to the answer if it is out of sight, as on a phone, and lets a screen reader read it.
_SCROLL_TO_ANSWER = """
() => {
  const heading = document.querySelector('#answer h2');
  heading.focus({preventScroll: true});
  const panel = heading.closest('section'), box = panel.getBoundingClientRect();
  if (box.top < 0 || (box.top > innerHeight / 3 && box.bottom > innerHeight))
    panel.scrollIntoView({behavior: 'smooth', block: 'start'});
}
"""


def run(model: Path, host: str, port: int) -> int:
    """Serve the page until Ctrl-C; returns the exit status.

    Raises:
        UserError: the model can't be read, or it is not possible to listen on the address.
        KeyboardInterrupt: on Ctrl-C.
    """
    with _listener(host, port) as listener, TemporaryDirectory(prefix="boatyard-serve-") as folder:
        classifier = Classifier.load(model)
        classifier(Image.new("RGB", (8, 8)))  # finds damaged weights now, and the first visitor waits less
        test_photos = examples.load(paths.PREDICTIONS, paths.RAW, classifier.classes)
        _configure_gradio(folder)
        app = create(classifier, test_photos, model.with_name(paths.MODEL_CARD.name), _allowed_hosts(host))
        _serve(app, listener, _greeting(listener, model, test_photos))
    return 0


def create(
    classifier: Classifier, test_photos: Sequence[Example], card: Path, hosts: Sequence[str] = ("*",)
) -> "FastAPI":
    """The web application, with test photos as examples, and the model card unless its file is missing.

    It answers requests with one of the Host headers `hosts`.
    """
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    def on_upload(upload: str | None) -> tuple[str, None]:
        return answer(classifier, Path(upload)) if upload else waiting, None

    def on_example(event: gr.EventData) -> str:
        example = test_photos[int(event.number)]
        return answer(classifier, example.path, example.actual)

    waiting = web_page.part("waiting", classifier.header)
    html = partial(gr.HTML, apply_default_css=False, js_on_load=None)
    event: dict[str, Any] = {
        "concurrency_limit": 1,
        "concurrency_id": "photo",
        "api_visibility": "private",
        "show_progress": "hidden",
    }
    with gr.Blocks(title="Boatyard: try the model", analytics_enabled=False, delete_cache=DELETE_CACHE) as blocks:
        html(web_page.part("opening", classifier.header))
        with gr.Row(elem_id="desk"):
            with gr.Column(elem_id="choose", min_width=0):
                upload = gr.File(label="Photo", file_types=["image"], elem_id="photo", show_label=False)
                tries = html(web_page.examples(test_photos), js_on_load=_ON_EXAMPLE)
            with gr.Column(elem_id="result", min_width=0):
                panel = html(waiting, elem_id="answer")
        with gr.Column(elem_id="card"):
            if card.exists():
                gr.Markdown(web_page.card(card.read_text(encoding="utf-8")), latex_delimiters=[])
            else:
                html(web_page.part("no_card", card))
        html(web_page.part("closing"))
        upload.upload(on_upload, upload, [panel, upload], **event).then(None, js=_SCROLL_TO_ANSWER)
        tries.click(on_example, None, panel, **event).then(None, js=_SCROLL_TO_ANSWER)
    blocks.queue(max_size=MAX_QUEUE, api_open=False)

    # No fonts from other machines; colours until our style sheet is loaded.
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        body_background_fill=LIGHT["paper"],
        body_background_fill_dark=DARK["paper"],
        body_text_color=LIGHT["ink"],
        body_text_color_dark=DARK["ink"],
    )
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        app_kwargs={"openapi_url": None},
        max_file_size=web_page.MAX_BYTES,
        head=web_page.head(),
        theme=theme,
        i18n=gr.I18n(en={"upload_text.drop_file": "Drop a photo here", "upload_text.click_to_upload": "or choose one"}),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
    )
    return app


def answer(classifier: Classifier, path: Path, actual: str | None = None) -> str:
    """The answer panel for a file, as HTML: the result of `classifier(path)`, or why the file can't be used."""
    try:
        photo, view = open_photo(path), classifier.plain_view(path)
    except UnreadablePhoto as error:
        return web_page.refusal(path.name, str(error))
    (result,) = classifier.each([view], lambda view: [view])
    preprocessing = classifier.header.preprocessing
    return web_page.answer(path.name, cast(Classification, result), photo, view, preprocessing, actual)


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens on the address; port 0 means any free port."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allow a port that was in use a minute ago
        listener.bind((address[0], port))
        listener.listen()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"can't listen on {host}, port {port} ({reason}): choose another --port or --host") from None
    with listener:
        yield listener


def _allowed_hosts(host: str) -> list[str]:
    """The allowed Host headers: if the page is only for this machine, this machine's names.

    A page from another machine can let its own name resolve to this one (DNS rebinding), and could otherwise read the
    photos.
    """
    return ["localhost", "127.0.0.1", "::1"] if _is_this_machine(host) else ["*"]


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _configure_gradio(folder: str) -> None:
    """Set its environment, before it is imported: no user settings, no telemetry, files in `folder`."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1"
    )


def _greeting(listener: socket.socket, model: Path, test_photos: Sequence[Example]) -> list[str]:
    host, port = listener.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    lines = [f"http://{address}:{port}  {model}; press Ctrl-C to stop"]
    if not _is_this_machine(host):
        lines.append("Anyone who can reach this machine can use the page and see its examples.")
    if not test_photos:
        lines.append(f"No examples: {paths.PREDICTIONS} or the photos in {paths.RAW} are missing.")
    return lines


def _serve(app: "FastAPI", listener: socket.socket, greeting: Sequence[str]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # A request that is still running is cancelled after a second; nobody who stops the server needs to know.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    # uvicorn cleans up and then sends itself the signal again: with this handler we clean up too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, headers=_HEADERS, timeout_graceful_shutdown=1
    )
    print("\n".join(greeting), flush=True)
    Server(config).run(sockets=[listener])
