"""Files over HTTP: a stopped download goes on where it stopped, and a part is never taken for the whole."""

import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from boatyard.core.errors import UserError, cannot_write
from boatyard.sources.base import Progress

TIMEOUT = 60.0  # seconds without an answer or a byte
ATTEMPTS = 3  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one
CHUNK = 1 << 16

BY_HAND = "fetch the file by hand and use a file:// address"
HINTS = {
    401: f"it asks for a log-in: {BY_HAND}",
    403: f"it refuses access: mend the address, or {BY_HAND}",
    404: "mend the address",
    410: "the file was taken away: look for another address",
}
WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


class _Stopped(Exception):
    """The connection failed or ended early; another attempt may go on from there."""


def public(url: str) -> str:
    """An address without what may be secret in it: user, password, and the query with its signatures.

    So is each address of a chain of fsspec's (zip://photos.zip::https://…). What can't be told apart is left out.
    """
    links = [url] if url.startswith(("http://", "https://")) else url.split("::")
    return "::".join(_public(link) for link in links if "://" in link)


def _public(link: str) -> str:
    scheme, _, rest = link.partition("://")
    place = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    before, _, after = place.rpartition("@")
    if "@" in path and ":" in before:  # most likely a password with a slash in it
        return f"{scheme}://…@{after}"
    host = host.rpartition("@")[2]
    if not re.fullmatch(r"[^:]*(:\d*)?|\[[^]]*\](:\d*)?", host):  # no port: a password with ? or # in it
        return f"{scheme}://…"
    return f"{scheme}://{host}{slash}{path}"


def partial(target: Path) -> Path:
    """Where the beginning of `target` is kept while it is not whole."""
    return target.with_name(f"{target.name}.partial")


def download(url: str, target: Path, progress: Progress) -> None:
    """Fetch `url` to `target`, whole or not at all. What came before a stop is kept, and a later call goes on from it.

    Raises:
        UserError: the server refuses, stops again and again, answers with a web page, or leaves https.

    """
    part = partial(target)
    most, fruitless = _size(part), 0
    while True:
        try:
            _attempt(url, part, progress)
            part.replace(target)
            return
        except _Stopped as stopped:
            fruitless = 0 if _size(part) > most else fruitless + 1
            most = max(most, _size(part))
            if fruitless == ATTEMPTS:
                kept = f"; the first {most:,} bytes are kept, so that another run goes on from there" if most else ""
                raise UserError(f"{public(url)} can't be fetched: {stopped}{kept}") from stopped
            time.sleep(PAUSE * 2**fruitless / 2)
        except OSError as error:  # none of the network's, which are `_Stopped`
            raise cannot_write(part, error) from error


def _attempt(url: str, part: Path, progress: Progress) -> None:
    """Add to `part` what is missing; return only if it is whole as far as the server says how long it is."""
    part.touch()
    start = _size(part)
    headers = {"User-Agent": "boatyard", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with _answer(url, headers, part) as response, part.open("r+b") as writing:
        if response.status == RANGE_NOT_SATISFIABLE:
            return
        start, total = _extent(response, start)
        with progress(f"downloading {public(url)}", total, "B") as bar:
            bar.update(start)
            writing.truncate(start)
            writing.seek(start)
            while chunk := _read(response):
                if not start and chunk[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
                    raise UserError(f"{public(url)} answers with a web page, not a file: {BY_HAND}")
                writing.write(chunk)
                bar.update(len(chunk))
    if total is not None and _size(part) != total:
        raise _Stopped(f"the server stopped after {_size(part):,} of {total:,} bytes")


def _answer(url: str, headers: dict[str, str], part: Path) -> http.client.HTTPResponse:
    """The server's answer if it is one that brings bytes, or says that none are missing."""
    shown = public(url)
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        return cast(http.client.HTTPResponse, _OPENER.open(request, timeout=TIMEOUT))
    except urllib.error.HTTPError as error:
        answer = f"the server answers {error.code} {error.reason}"
        if error.code == RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range", "").partition("/")[2] == str(_size(part)):
                return cast(http.client.HTTPResponse, error)
            part.unlink()  # longer than the file is now: the beginning of another one
            raise _Stopped(answer) from error
        if error.code in WORTH_ANOTHER_TRY:
            raise _Stopped(answer) from error
        raise UserError(f"{shown}: {answer}: {HINTS.get(error.code, f'mend the address, or {BY_HAND}')}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise UserError(f"{shown}: its certificate can't be trusted ({error.reason.verify_message})") from error
        raise _Stopped(f"no connection ({error.reason})") from error
    except (http.client.InvalidURL, ValueError) as error:
        why = f" ({error})" if shown == url else ""  # it may repeat the address, with its secrets
        raise UserError(f"{shown} is no address that can be fetched{why}: mend it") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Stopped(f"the server does not answer ({error or type(error).__name__})") from error


def _extent(response: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
    """Where the answer begins, and how long the whole file is (None: the server does not say)."""
    length = response.length  # None where the server does not say, or says what is no length
    if response.status != PARTIAL_CONTENT:
        return 0, length
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(start):
        raise _Stopped(f"the server was asked for the bytes from {start:,} on, and sent {span or 'others'}")
    if total.isdecimal() and len(total) < 20:  # Python makes no number of thousands of digits
        return start, int(total)
    return start, None if length is None else start + length


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Stopped(f"the connection broke ({error or type(error).__name__})") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _NoWayDown(urllib.request.HTTPRedirectHandler):
    """Redirects that stay encrypted if the address was."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise UserError(
                f"{public(req.full_url)} redirects to {public(newurl)}, out of https, where anyone on the way can "
                f"change the file: {BY_HAND}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_NoWayDown)
