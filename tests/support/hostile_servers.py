"""Servers that fail, lie or lead astray, and what download does with each: docs/robustness.md says the same."""

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
    """What a server does when it is asked for /photos.zip.

    Attributes:
        what: as the page calls it.
        site: its resources, made anew for each run; "" in an address is the server's own, "http:" one without TLS.
        told: the one line with which download stops, after the address; '…' is any text, 'SIZE' the archive's length.
        becomes: as the page says, where it does not stop.
        kept: bytes that are there for the next run.
        tls: "" without, "trusted" or "untrusted".
    """

    what: str
    site: Callable[[], Mapping[str, Resource]]
    told: str = ""
    becomes: str = ""
    kept: int = 0
    tls: str = ""


def at(path: str = "/photos.zip", content: bytes = ARCHIVE, **options: object) -> Callable[[], Mapping[str, Resource]]:
    """A site with one resource."""
    return partial(_one, path, content, options)


def _one(path: str, content: bytes, options: dict[str, object]) -> dict[str, Resource]:
    fresh = {key: list(value) if isinstance(value, list) else value for key, value in options.items()}
    return {path: Resource(content, **fresh)}  # type: ignore[arg-type]


def leading(to: str) -> Callable[[], Mapping[str, Resource]]:
    """A site whose /photos.zip leads to another address."""
    return at(content=b"", status=302, headers={"Location": to})


CASES = [
    Case(
        "cuts off, and goes on when asked for the rest",
        at(stops=[5_000, 10_000]),
        becomes="goes on where it stopped, up to three times in a row without a new byte",
    ),
    Case(
        "cuts off, and can only begin anew",
        at(ranges=False, stops=[5_000, 6_000]),
        becomes="begins anew",
    ),
    Case(
        "cuts off again and again",
        at(stops=[5_000, 0, 0, 0]),
        "can't be fetched: the server stopped after 5,000 of SIZE bytes; the first 5,000 bytes are kept, so that …",
        kept=5_000,
    ),
    Case(
        "says that the file is longer than it is",
        at(ranges=False, length=SIZE + 1),
        "can't be fetched: the server stopped after SIZE of … bytes; the first SIZE bytes are kept, so that …",
        kept=SIZE,
    ),
    Case(
        "says that it is shorter than it is",
        at(length=SIZE - 1),
        "has sha256 …, and dataset.archives[0].sha256 is …: it is another file than the one meant; set …",
    ),
    Case("says nothing of the length", at(length=""), becomes="takes what comes: the sha256 says whether it is whole"),
    Case("gives a length that is none", at(length="a lot"), becomes="takes what comes, too"),
    Case("gives a negative length", at(length=-5), becomes="takes what comes, too"),
    Case(
        "gives a length of 5,000 digits with a part",
        at(stops=[5_000], total="9" * 5_000),
        becomes="takes what comes, too",
    ),
    Case(
        "sends another part than it was asked for",
        at(stops=[5_000], shifted=1),
        "can't be fetched: the server was asked for the bytes from 5,000 on, and sent 5001-…",
        kept=5_000,
    ),
    Case("answers 404", at(status=404), "the server answers 404 Not Found: mend the address"),
    Case(
        "answers 403",
        at(status=403),
        "the server answers 403 Forbidden: it refuses access: mend the address, or fetch the file by hand …",
    ),
    Case(
        "answers 401", at(status=401), "the server answers 401 Unauthorized: it asks for a log-in: fetch the file by …"
    ),
    Case("answers 500", at(status=500), "can't be fetched: the server answers 500 Internal Server Error"),
    Case(
        "answers with a log-in page instead of the archive",
        at(content=PAGE),
        "answers with a web page, not a file: fetch the file by hand and use a file:// address",
    ),
    Case(
        "sends another file",
        at(content=ARCHIVE + b"more"),
        "has sha256 …, and dataset.archives[0].sha256 is …: it is another file than the one meant; set …",
    ),
    Case("says nothing", at(waits=1.0), "can't be fetched: the server does not answer (timed out)"),
    Case("leads to another address", lambda: {**leading("/b.zip")(), **at("/b.zip")()}, becomes="follows"),
    Case("leads round in a circle", leading("/photos.zip"), "the server answers 302 …: mend the address, or …"),
    Case("leads to a file of this machine", leading("file:///etc/passwd"), "the server answers 302 …: mend the …"),
    Case(
        "leads from https to http",
        leading("http:/b.zip"),
        "redirects to http:/…/b.zip, out of https, where anyone on the way can change the file: fetch the file by …",
        tls="trusted",
    ),
    Case("has a certificate that is trusted", at(), becomes="fetches it", tls="trusted"),
    Case(
        "has a certificate that nobody vouches for",
        at(),
        "its certificate can't be trusted (self-signed certificate)",
        tls="untrusted",
    ),
]
