"""A local HTTP server that can fail in the ways that real ones do."""

import datetime
import ipaddress
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest


@dataclass
class Resource:
    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True  # answers a Range request with the requested part only
    stops: list[int] = field(default_factory=list)  # bytes after which each answer ends, the first answer first
    length: int | str | None = None  # the Content-Length that it claims; the true one if None; none if ""
    total: str = ""  # the length of the whole file that it claims with a part; the true one if ""
    shifted: int = 0  # bytes by which a part begins later than requested
    waits: float = 0.0  # seconds before it answers


@dataclass
class Site:
    address: str
    resources: dict[str, Resource] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)  # path and Range of each
    credentials: list[str] = field(default_factory=list)  # Authorization of each request that has it


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # the client disconnected, or does not trust the certificate
            super().handle_error(request, client_address)


@contextmanager
def serving(tls: SSLContext | None = None, port: int = 0) -> Iterator[Site]:
    """A site that serves its `resources`, by path, until the block ends."""
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, site)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self, site)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", port), Handler)
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


def trust(proof: Path, patch: pytest.MonkeyPatch) -> None:
    """Trust a certificate and no other, as the system does: without the variables that only requests reads."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        patch.delenv(name, raising=False)
    patch.setenv("SSL_CERT_FILE", str(proof))


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, form, plain)
    )
    return path


def encrypted(certificate: Path) -> SSLContext:
    """A server's side of TLS."""
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    path, span = handler.path.partition("?")[0], handler.headers.get("Range", "")
    site.requests.append((path, span))
    if sent := handler.headers.get("Authorization"):
        site.credentials.append(sent)
    resource = site.resources.get(path, Resource(status=404))
    content, status, headers = resource.content, resource.status, dict(resource.headers)
    if span and resource.ranges and status == 200:
        start, total = int(span.removeprefix("bytes=").removesuffix("-")) + resource.shifted, len(content)
        if start < total:
            status, content = 206, content[start:]
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{resource.total or total}"
        else:
            status, content = 416, b""
            headers["Content-Range"] = f"bytes */{total}"
    time.sleep(resource.waits)
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    length = len(content) if resource.length is None else resource.length
    if length != "":
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content[: resource.stops.pop(0)] if resource.stops else content)
