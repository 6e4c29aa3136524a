"""HTTP downloads: an interrupted one resumes where it stopped, and a partial file is never mistaken for a whole one."""

import re
import ssl
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url

from boatyard.core.errors import UserError, cannot_write
from boatyard.sources.interface import Progress

TIMEOUT = 60.0  # seconds without an answer or a byte
ATTEMPTS = 3  # consecutive attempts without a new byte
PAUSE = 1.0  # seconds before the second attempt, doubled for each further one
CHUNK = 1 << 16

MANUALLY = "download the file yourself and use a file:// address"
HINTS = {
    401: f"it requires a login: {MANUALLY}",
    403: f"it denies access: correct the address, or {MANUALLY}",
    404: "correct the address",
    410: "the file was removed: find another address",
}
RETRIED = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(UserError):
    """The server or the network is at fault, not this machine's disk."""


class _Interrupted(Exception):
    """The connection failed or ended early; another attempt may resume from there."""


def public(url: str) -> str:
    """The address without its possible secrets: user, password, and the query with its signatures.

    The same for each address of an fsspec chain (zip://photos.zip::https://…). Ambiguous parts are left out.
    """
    links = [url] if url.startswith(("http://", "https://")) else url.split("::")
    return "::".join(_public(link) for link in links if "://" in link)


def _public(link: str) -> str:
    scheme, _, rest = link.partition("://")
    place = re.split("[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    before, _, after = place.rpartition("@")
    if "@" in path and ":" in before:  # most likely a password that contains a slash
        return f"{scheme}://…@{after}"
    host = host.rpartition("@")[2]
    if not re.fullmatch(r"[^:]*(:\d*)?|\[[^]]*\](:\d*)?", host):  # not a port: a password that contains ? or #
        return f"{scheme}://…"
    return f"{scheme}://{host}{slash}{path}"


def partial(target: Path) -> Path:
    """The path of the partial file while `target` is incomplete."""
    return target.with_name(f"{target.name}.partial")


def download(url: str, target: Path, progress: Progress) -> None:
    """Download `url` to `target`, whole or not at all. After an interruption, a later call resumes.

    Raises:
        DownloadError: the server refuses, keeps failing, answers with a web page, or redirects out of https.
        UserError: the disk is full or the folder can't be written.
    """
    part = partial(target)
    longest, failures = _size(part), 0
    with _Session() as session:
        while True:
            try:
                _attempt(session, url, part, progress)
                part.replace(target)
                return
            except _Interrupted as interrupted:
                failures = 0 if _size(part) > longest else failures + 1
                longest = max(longest, _size(part))
                if failures == ATTEMPTS:
                    kept = f"; the first {longest:,} bytes are kept, and the next run resumes there" if longest else ""
                    raise DownloadError(f"{public(url)} can't be downloaded: {interrupted}{kept}") from interrupted
                time.sleep(PAUSE * 2**failures / 2)
            except OSError as error:  # the disk's: those of the network are `_Interrupted`
                raise cannot_write(part, error) from error


def _attempt(session: requests.Session, url: str, part: Path, progress: Progress) -> None:
    """Append to `part` what is missing; return only if it is complete, as far as the server states the length."""
    part.touch()
    start = _size(part)
    with _get(session, url, start) as response, part.open("r+b") as writing:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range", "").partition("/")[2] == str(start):
                return  # complete
            part.unlink()  # longer than the file is now: it must be from an older one
            raise _Interrupted(_answer(response))
        start, total = _extent(response, start)
        with progress(f"downloading {public(url)}", total, "B") as bar:
            bar.update(start)
            writing.truncate(start)
            writing.seek(start)
            for chunk in _chunks(response):
                if not writing.tell() and chunk[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
                    raise DownloadError(f"{public(url)} answers with a web page, not a file: {MANUALLY}")
                writing.write(chunk)
                bar.update(len(chunk))
    if total is not None and _size(part) != total:
        raise _Interrupted(f"the server stopped after {_size(part):,} of {total:,} bytes")


def _get(session: requests.Session, url: str, start: int) -> requests.Response:
    """The server's answer: one that contains the bytes from `start` on, or says that there are none."""
    name = public(url)
    headers = {"User-Agent": "boatyard", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
    except requests.TooManyRedirects as error:
        raise DownloadError(f"{name} redirects more than {session.max_redirects} times: correct the address") from error
    except requests.ReadTimeout as error:
        raise _Interrupted("the server does not answer (timed out)") from error
    except ValueError as error:  # the exceptions of requests and urllib3 for invalid addresses
        why = f" ({error})" if name == url else ""  # the message may repeat the address with its secrets
        raise DownloadError(f"{name} is not a valid address{why}: correct it") from error
    except (OSError, urllib3.exceptions.HTTPError) as error:
        cause = _root_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise DownloadError(f"{name} has a certificate that is not trusted ({cause.verify_message})") from error
        raise _Interrupted(f"no connection ({cause})") from error
    status = response.status_code
    if 200 <= status < 300 or (start and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        return response
    response.close()
    if status in RETRIED:
        raise _Interrupted(_answer(response))
    raise DownloadError(f"{name}: {_answer(response)}: {HINTS.get(status, f'correct the address, or {MANUALLY}')}")


def _answer(response: requests.Response) -> str:
    return f"the server answers {response.status_code} {response.reason}"


def _root_cause(error: BaseException) -> BaseException:
    """The operating system's error inside those of urllib3 and requests, whose messages repeat the address."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def _extent(response: requests.Response, start: int) -> tuple[int, int | None]:
    """The answer's first byte, and the length of the whole file (None if the server does not state it)."""
    length: int | None = response.raw.length_remaining  # None also if what the server states is not a length
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return 0, length
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(start):
        raise _Interrupted(f"the server was asked for the bytes from {start:,} on and sent {span or 'others'}")
    if total.isdecimal() and len(total) < 20:  # Python refuses to parse thousands of digits
        return start, int(total)
    return start, None if length is None else start + length


def _chunks(response: requests.Response) -> Iterator[bytes]:
    # Not iter_content, which would decompress an archive that a server labels as compressed content.
    response.raw.enforce_content_length = False  # the caller compares the length and reports both numbers
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise _Interrupted(f"the connection broke ({_root_cause(error)})") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Session(requests.Session):
    """Redirects never leave https, and credentials come from the address only, not from ~/.netrc."""

    def __init__(self) -> None:
        super().__init__()
        system = ssl.get_default_verify_paths()
        # As pip does: the system's certificates, among which may be a company's. Those of requests if there are none.
        self.verify = system.cafile or system.capath or True
        self.auth = _credentials_of_address  # without any `auth`, requests reads ~/.netrc

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        target = urljoin(resp.url, target)
        scheme = urlsplit(target).scheme
        if scheme not in {"http", "https"}:
            raise DownloadError(f"{public(resp.url)} redirects to a {scheme}: address: correct the address")
        if resp.url.startswith("https:") and scheme != "https":
            raise DownloadError(
                f"{public(resp.url)} redirects to {public(target)}, which is not encrypted, so anyone on the way can "
                f"change the file: {MANUALLY}"
            )
        return target

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Without ~/.netrc, and never to another host."""
        if self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
            prepared_request.headers.pop("Authorization", None)


def _credentials_of_address(request: requests.PreparedRequest) -> requests.PreparedRequest:
    user, password = get_auth_from_url(str(request.url))
    return HTTPBasicAuth(user, password)(request) if user or password else request
