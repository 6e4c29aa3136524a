"""Servers that fail, lie or redirect, and how download handles them: the rows of docs/robustness.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sources_drawing import photo, zipped
from sources_server import Resource

# 40 KB.
CONTENTS = {f"{label}/{number}.png": photo(100 * place + number, size=(300, 300)) for place, label in enumerate("ab")
            for number in range(100)}  # fmt: skip
ARCHIVE = zipped(CONTENTS)
SIZE = len(ARCHIVE)
PAGE = b"\n<!DOCTYPE html><title>Log in</title>"


@dataclass(frozen=True)
class Case:
    """A server's behaviour for /photos.zip.

    Attributes:
        what: its name on the page.
        site: makes its resources; "http:/…" in an address stands for another server, without TLS.
        message: the one line of download if it stops, after the address; '…' is any text, 'SIZE' the archive's length.
        result: on the page, if download does not stop.
        kept: bytes that are kept for the next run.
        tls: "trusted", "untrusted", or "" without TLS.
    """

    what: str
    site: Callable[[], Mapping[str, Resource]]
    message: str = ""
    result: str = ""
    kept: int = 0
    tls: str = ""


def at(path: str = "/photos.zip", content: bytes = ARCHIVE, **options: object) -> Callable[[], Mapping[str, Resource]]:
    """A site with one resource."""
    return partial(_one, path, content, options)


def _one(path: str, content: bytes, options: dict[str, object]) -> dict[str, Resource]:
    fresh = {key: list(value) if isinstance(value, list) else value for key, value in options.items()}
    return {path: Resource(content, **fresh)}  # type: ignore[arg-type]


def redirecting(to: str) -> Callable[[], Mapping[str, Resource]]:
    """A site whose /photos.zip redirects to another address."""
    return at(content=b"", status=302, headers={"Location": to})


CASES = [
    Case(
        "breaks off, and resumes when asked for the rest",
        at(stops=[5_000, 10_000]),
        result="resumes, until three attempts in a row bring no new byte",
    ),
    Case(
        "breaks off, and can't resume",
        at(ranges=False, stops=[5_000, 6_000]),
        result="starts again",
    ),
    Case(
        "breaks off again and again",
        at(stops=[5_000, 0, 0, 0]),
        "can't be downloaded: the server stopped after 5,000 of SIZE bytes; the first 5,000 bytes are kept, …",
        kept=5_000,
    ),
    Case(
        "claims that the file is longer than it is",
        at(ranges=False, length=SIZE + 1),
        "can't be downloaded: the server stopped after SIZE of … bytes; the first SIZE bytes are kept, …",
        kept=SIZE,
    ),
    Case(
        "claims that it is shorter than it is",
        at(length=SIZE - 1),
        "has sha256 …, but dataset.archives[0].sha256 is …: it is not the expected file; set …",
    ),
    Case("does not state the length", at(length=""), result="downloads it: the sha256 shows whether it is complete"),
    Case("states a length that is not a number", at(length="a lot"), result="the same"),
    Case("states a negative length", at(length=-5), result="the same"),
    Case(
        "states a length of 5,000 digits with a part",
        at(stops=[5_000], total="9" * 5_000),
        result="the same",
    ),
    Case(
        "sends another part than requested",
        at(stops=[5_000], shifted=1),
        "can't be downloaded: the server was asked for the bytes from 5,000 on and sent 5001-…",
        kept=5_000,
    ),
    Case("answers 404", at(status=404), "the server answers 404 Not Found: correct the address"),
    Case(
        "answers 403",
        at(status=403),
        "the server answers 403 Forbidden: it denies access: correct the address, or download the file …",
    ),
    Case(
        "answers 401",
        at(status=401),
        "the server answers 401 Unauthorized: it requires a login: download the file …",
    ),
    Case("answers 500", at(status=500), "can't be downloaded: the server answers 500 Internal Server Error"),
    Case(
        "answers with a login page instead of the archive",
        at(content=PAGE),
        "answers with a web page, not a file: download the file yourself and use a file:// address",
    ),
    Case(
        "sends another file",
        at(content=ARCHIVE + b"more"),
        "has sha256 …, but dataset.archives[0].sha256 is …: it is not the expected file; set …",
    ),
    Case("does not answer", at(waits=1.0), "can't be downloaded: the server does not answer (timed out)"),
    Case("redirects to another address", lambda: {**redirecting("/b.zip")(), **at("/b.zip")()}, result="follows"),
    Case("redirects in a circle", redirecting("/photos.zip"), "redirects more than 30 times: correct the address"),
    Case(
        "redirects to a local file",
        redirecting("file:///etc/passwd"),
        "redirects to a file: address: correct the address",
    ),
    Case(
        "redirects from https to http",
        redirecting("http:/b.zip"),
        "redirects to http:/…/b.zip, which is not encrypted, so anyone on the way can change the file: download …",
        tls="trusted",
    ),
    Case("has a trusted certificate", at(), result="downloads it", tls="trusted"),
    Case(
        "has a self-signed certificate",
        at(),
        "has a certificate that is not trusted (self-signed certificate)",
        tls="untrusted",
    ),
]
