"""A real HTTP server on this machine that can fail in the ways that servers do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext


@dataclass
class Resource:
    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True  # answers a Range request with the rest alone
    stops: list[int] = field(default_factory=list)  # bytes that each answer ends after, the first for the first answer
    length: int | None = None  # the Content-Length that it claims; the true one if None


@dataclass
class Site:
    address: str
    resources: dict[str, Resource] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)  # path and Range of each


@contextmanager
def serving(tls: SSLContext | None = None, port: int = 0) -> Iterator[Site]:
    """A site that serves what its `resources` say, path by path, until the block ends."""
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, site)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self, site)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    path, span = handler.path.partition("?")[0], handler.headers.get("Range", "")
    site.requests.append((path, span))
    resource = site.resources.get(path, Resource(status=404))
    content, status, headers = resource.content, resource.status, dict(resource.headers)
    if span and resource.ranges and status == 200:
        start, total = int(span.removeprefix("bytes=").removesuffix("-")), len(content)
        if start < total:
            status, content = 206, content[start:]
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        else:
            status, content = 416, b""
            headers["Content-Range"] = f"bytes */{total}"
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content) if resource.length is None else resource.length))
    handler.end_headers()
    handler.wfile.write(content[: resource.stops.pop(0)] if resource.stops else content)
