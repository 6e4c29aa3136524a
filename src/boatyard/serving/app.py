"""`boatyard serve`: a web page on this machine to drop a photo on.

The page is Gradio's, and asks no other machine for anything: its headers forbid the browser to, and Gradio's own calls
home are switched off. Gradio keeps uploads as files, in a private folder of ours that goes with the process.
"""

import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.report.theme import DARK, LIGHT
from boatyard.serving import examples, web_page
from boatyard.serving.classifier import Answer, Classifier
from boatyard.serving.examples import Example

if TYPE_CHECKING:
    from fastapi import FastAPI

# Uploads older than the second number of seconds are deleted, looked for every so many.
KEEP = (30, 60)
# Photos that wait for their turn; whoever comes after is told to try again. One is opened at a time: it takes a
# fraction of a second, and the largest takes a gigabyte.
WAITING = 20

# Gradio builds its page from scripts and styles that stand in it, and from functions written as text.
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
# Where the answer is out of sight, as on a phone, it is brought there; a screen reader reads it.
_TO_THE_ANSWER = """
() => {
  const said = document.querySelector('#answer h2');
  said.focus({preventScroll: true});
  const panel = said.closest('section'), place = panel.getBoundingClientRect();
  if (place.top < 0 || (place.top > innerHeight / 3 && place.bottom > innerHeight))
    panel.scrollIntoView({behavior: 'smooth', block: 'start'});
}
"""


def run(model: Path, host: str, port: int) -> int:
    """Serve the page until Ctrl-C; the exit status.

    Raises:
        UserError: Gradio is not installed, the model can't be read, or the address can't be listened on.
        KeyboardInterrupt: on Ctrl-C.
    """
    if find_spec("gradio") is None:
        raise UserError("the page needs Gradio, which is not installed: pip install 'gradio>=6' (the extra 'serve')")
    with _listener(host, port) as listener, TemporaryDirectory(prefix="boatyard-serve-") as folder:
        classifier = Classifier.load(model)
        classifier(Image.new("RGB", (8, 8)))  # damaged weights are told of now, and the first visitor waits less
        shown = examples.load(paths.PREDICTIONS, paths.RAW, classifier.classes)
        _settle_gradio(folder)
        app = create(classifier, shown, model.with_name(paths.MODEL_CARD.name), _names(host))
        _serve(app, listener, _about(listener, model, shown))
    return 0


def create(classifier: Classifier, shown: Sequence[Example], card: Path, hosts: Sequence[str] = ("*",)) -> "FastAPI":
    """The web application.

    Args:
        classifier: gives the answers.
        shown: the examples.
        card: the model card, which need not be there.
        hosts: by which names a browser may call this machine.
    """
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    def of_upload(upload: str | None) -> tuple[str, None]:
        return answer(classifier, Path(upload)) if upload else web_page.waiting(classifier.about), None

    def of_example(event: gr.EventData) -> str:
        example = shown[int(event.number)]
        return answer(classifier, example.path, example.actual)

    event: dict[str, Any] = {
        "concurrency_limit": 1,
        "concurrency_id": "photo",
        "api_visibility": "private",
        "show_progress": "hidden",
    }
    with gr.Blocks(title="Boatyard: try the model", analytics_enabled=False, delete_cache=KEEP) as blocks:
        gr.HTML(web_page.opening(classifier.about), apply_default_css=False, js_on_load=None)
        with gr.Row(elem_id="desk"):
            with gr.Column(elem_id="choose", min_width=0):
                upload = gr.File(label="Photo", file_types=["image"], elem_id="photo", show_label=False)
                tries = gr.HTML(web_page.examples(shown), apply_default_css=False, js_on_load=_ON_EXAMPLE)
            with gr.Column(elem_id="told", min_width=0):
                told = gr.HTML(
                    web_page.waiting(classifier.about), apply_default_css=False, js_on_load=None, elem_id="answer"
                )
        with gr.Column(elem_id="card"):
            if card.exists():
                gr.Markdown(web_page.card(card.read_text(encoding="utf-8")), latex_delimiters=[])
            else:
                gr.HTML(web_page.no_card(card), apply_default_css=False, js_on_load=None)
        gr.HTML(web_page.closing(), apply_default_css=False, js_on_load=None)
        upload.upload(of_upload, upload, [told, upload], **event).then(None, js=_TO_THE_ANSWER)
        tries.click(of_example, None, told, **event).then(None, js=_TO_THE_ANSWER)
    blocks.queue(max_size=WAITING, api_open=False)

    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        app_kwargs={"openapi_url": None},
        max_file_size=web_page.MAX_BYTES,
        head=web_page.head(),
        theme=_theme(),
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
    """What the page says of a file, as HTML: the answer that `classifier(path)` gives, or why there is none."""
    try:
        photo, view = open_photo(path), classifier.plain_view(path)
    except UnreadablePhoto as error:
        return web_page.refusal(path.name, str(error))
    (said,) = classifier.each([view], lambda view: [view])
    return web_page.answer(path.name, cast(Answer, said), photo, view, classifier.about.preprocessing, actual)


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens on the address; port 0 is any free one."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was in use a minute ago will do
        listener.bind((address[0], port))
        listener.listen()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"can't listen on {host}, port {port} ({reason}): name another --port or --host") from None
    with listener:
        yield listener


def _names(host: str) -> list[str]:
    """By which names a browser may call us. A page of another machine can make its own name lead to this one, and would
    read our photos with it; where the page is for this machine alone, only this machine's names are answered.
    """
    return ["localhost", "127.0.0.1", "::1"] if _is_this_machine(host) else ["*"]


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _settle_gradio(folder: str) -> None:
    """Before Gradio is imported: no setting of the environment has a say, nobody is told, files go into `folder`."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1"
    )


def _theme() -> Any:
    """What is there before our style sheet is, in light and in dark; and no font from elsewhere."""
    import gradio as gr

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(
        body_background_fill=LIGHT["paper"],
        body_background_fill_dark=DARK["paper"],
        body_text_color=LIGHT["ink"],
        body_text_color_dark=DARK["ink"],
    )


def _about(listener: socket.socket, model: Path, shown: Sequence[Example]) -> list[str]:
    """The lines to print once the page is up."""
    host, port = listener.getsockname()[:2]
    place = f"[{host}]" if ":" in host else host
    lines = [f"http://{place}:{port}  {model}, Ctrl-C stops it"]
    if not _is_this_machine(host):
        lines.append("Whoever can reach this machine can use it and see its examples.")
    if not shown:
        lines.append(f"No examples: {paths.PREDICTIONS} or the photos of {paths.RAW} are not here.")
    return lines


def _serve(app: "FastAPI", listener: socket.socket, about: Sequence[str]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # A photo that is under way is cut off after a second; that is no news to whoever stops us.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    # uvicorn tidies up and then sends itself the signal once more: with this handler we do so too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    config = uvicorn.Config(
        app, log_level="error", access_log=False, server_header=False, headers=_HEADERS, timeout_graceful_shutdown=1
    )
    print("\n".join(about), flush=True)
    Server(config).run(sockets=[listener])
