import base64
import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import ValidationError
from requests.utils import get_netrc_auth
from small_disk import BLOCK, small_disk
from sources_drawing import photo, sha256, silent, tarred, tree, write, zipped
from sources_server import Resource, Site, serving

from boatyard import sources
from boatyard.core.errors import UserError
from boatyard.params.dataset import Archive, FoldersLayout, UrlDataset
from boatyard.sources import http

ZIP = zipped({f"cat/{number}.png": photo(number, size=(200, 150)) for number in range(300)} | {"dog/a.png": photo(9)})
TAR = tarred({"dog/b.png": photo(1), "bird/c.png": photo(2)})


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        yield site


def fetch(tmp_path: Path, *archives: tuple[str, str]) -> sources.Fetched:
    asked = UrlDataset(
        source="url",
        archives=[Archive(url=url, sha256=checksum) for url, checksum in archives],
        licence="CC0",
        layout=FoldersLayout(kind="folders", root="."),
    )
    return sources.fetch(asked, tmp_path / "raw", tmp_path / "downloads", tmp_path / "incoming", silent)


def cached(tmp_path: Path) -> list[str]:
    return list(tree(tmp_path / "downloads"))


def test_several_archives_become_one_folder(tmp_path: Path, site: Site) -> None:
    site.resources = {"/a.zip": Resource(ZIP), "/b.tgz": Resource(TAR)}
    fetched = fetch(
        tmp_path, (f"{site.address}/a.zip?signature=secret", sha256(ZIP)), (f"{site.address}/b.tgz", sha256(TAR))
    )
    raw = tree(tmp_path / "raw")
    assert len(raw) == 303
    assert raw["dog/a.png"] == photo(9)
    assert raw["dog/b.png"] == photo(1)
    assert fetched == sources.Fetched(
        source=f"{site.address}/a.zip, {site.address}/b.tgz",
        version="",
        sha256=sha256(f"{sha256(ZIP)}\n{sha256(TAR)}".encode()),
        licence="CC0",
        images=303,
        classes=3,
        notes=(),
    )
    site.resources = {}
    fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP)), (f"{site.address}/b.tgz", sha256(TAR)))
    assert len(site.requests) == 2


def test_an_interrupted_download_resumes(tmp_path: Path, site: Site) -> None:
    site.resources = {"/a.zip": Resource(ZIP, stops=[5000, 20_000])}
    fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP)))
    assert site.requests == [("/a.zip", ""), ("/a.zip", "bytes=5000-"), ("/a.zip", "bytes=25000-")]
    assert len(tree(tmp_path / "raw")) == 301


def test_a_server_that_keeps_failing_and_the_next_run(tmp_path: Path, site: Site) -> None:
    site.resources = {"/a.zip": Resource(ZIP, stops=[7000, 0, 0, 0])}
    total = f"{len(ZIP):,}"
    with pytest.raises(
        UserError,
        match=rf"/a\.zip can't be downloaded: the server stopped after 7,000 of {total} bytes; the first 7,000 bytes",
    ):
        fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP)))
    assert not (tmp_path / "raw").exists()
    assert cached(tmp_path) == [f"{sha256(ZIP)}.part/archive.partial"]
    site.requests.clear()
    fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP)))
    assert site.requests == [("/a.zip", "bytes=7000-")]
    assert cached(tmp_path) == [sha256(ZIP)]


def test_a_full_disk_and_the_next_run(tmp_path: Path, site: Site) -> None:
    """What fits is kept, to the last block; the next run requests the rest."""
    site.resources = {"/a.zip": Resource(ZIP)}
    archive = (f"{site.address}/a.zip", sha256(ZIP))
    with small_disk(tmp_path / "downloads", 16) as disk:
        disk.leave(len(ZIP) // BLOCK * BLOCK)  # all but the end, which Python writes when it closes the file

        with pytest.raises(
            UserError, match=r"archive\.partial can't be written \(No space left on device\): free space"
        ):
            fetch(tmp_path, archive)

        disk.clear()
        assert fetch(tmp_path, archive).images == 301
    assert site.requests == [("/a.zip", ""), ("/a.zip", f"bytes={len(ZIP) // BLOCK * BLOCK}-")]


def test_a_file_that_changed_between_two_runs_is_downloaded_again(tmp_path: Path, site: Site) -> None:
    write(tmp_path / "downloads", {f"{sha256(ZIP)}.part/archive.partial": b"the beginning of another file"})
    site.resources = {"/a.zip": Resource(ZIP)}
    fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP)))
    assert site.requests == [("/a.zip", "bytes=29-"), ("/a.zip", "")]


@pytest.mark.parametrize("more", [b"", b"longer than it is now"])
def test_a_partial_file_that_is_complete_or_too_long(tmp_path: Path, site: Site, more: bytes) -> None:
    write(tmp_path / "downloads", {f"{sha256(ZIP)}.part/archive.partial": ZIP + more})
    site.resources = {"/a.zip": Resource(ZIP)}
    fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP)))
    assert len(site.requests) == (2 if more else 1)
    assert cached(tmp_path) == [sha256(ZIP)]


def test_a_wrong_checksum_and_the_corrected_one(tmp_path: Path, site: Site) -> None:
    site.resources = {"/a.zip": Resource(ZIP)}
    with pytest.raises(UserError, match=rf"/a\.zip has sha256 {sha256(ZIP)}, but .* is {'0' * 64}"):
        fetch(tmp_path, (f"{site.address}/a.zip", "0" * 64))
    assert not (tmp_path / "raw").exists()
    site.resources = {}
    assert fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP))).images == 301


@pytest.mark.parametrize(
    ("resource", "requests"),
    [
        (Resource(status=404), 1),
        (Resource(status=403), 1),
        (Resource(status=401), 1),
        (Resource(status=500), 3),
        (Resource(status=503), 3),
        (Resource(b"<html>log in</html>"), 1),
        (Resource(status=302, headers={"Location": "file:///etc/passwd"}), 1),
        (Resource(b"no address to go to", status=302), 1),
    ],
)
def test_which_answers_are_retried_without_secrets(
    tmp_path: Path, site: Site, resource: Resource, requests: int
) -> None:
    site.resources = {"/a.zip": resource}
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, (f"{site.address}/a.zip?token=secret", sha256(ZIP)))
    assert "secret" not in str(caught.value)
    assert len(site.requests) == requests
    assert not any((tmp_path / "downloads" / name).stat().st_size for name in cached(tmp_path))


def test_a_server_that_is_busy_at_first(tmp_path: Path, site: Site) -> None:
    site.resources = {"/a.zip": Resource(status=503)}
    asked: list[tuple[str, str]] = site.requests

    class Recovering(list[tuple[str, str]]):
        def append(self, request: tuple[str, str]) -> None:
            asked.append(request)
            if len(asked) == 2:
                site.resources = {"/a.zip": Resource(ZIP)}

    site.requests = Recovering()
    assert fetch(tmp_path, (f"{site.address}/a.zip", sha256(ZIP))).images == 301


def test_no_server(tmp_path: Path, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(UserError, match=r"can't be downloaded: no connection \(.*refused"):
        fetch(tmp_path, (f"http://127.0.0.1:{port}/a.zip", sha256(ZIP)))


def test_a_redirect_is_followed(tmp_path: Path, site: Site) -> None:
    site.resources = {"/a": Resource(status=302, headers={"Location": "/b.zip"}), "/b.zip": Resource(ZIP, stops=[5000])}
    fetch(tmp_path, (f"{site.address}/a", sha256(ZIP)))
    assert site.requests == [("/a", ""), ("/b.zip", ""), ("/a", "bytes=5000-"), ("/b.zip", "bytes=5000-")]


@pytest.mark.parametrize("written", ["some boats.zip", "some%20boats.zip"])
def test_a_local_file(tmp_path: Path, written: str) -> None:
    (tmp_path / "some boats.zip").write_bytes(ZIP)
    fetched = fetch(tmp_path, (f"file://{tmp_path}/{written}", sha256(ZIP)))
    assert (fetched.source, fetched.images) == ("some boats.zip", 301)
    assert (tmp_path / "some boats.zip").read_bytes() == ZIP
    with pytest.raises(UserError, match=rf"^some boats\.zip has sha256 {sha256(ZIP)}, but .* is {'0' * 64}"):
        fetch(tmp_path, (f"file://{tmp_path}/{written}", "0" * 64))


def test_a_file_in_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, {"data/a.zip": ZIP}))
    assert fetch(tmp_path, ("file://data/a.zip", sha256(ZIP))).images == 301


def test_an_archive_that_fsspec_opens(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://bucket/a.zip", "wb") as stream:
        stream.write(ZIP)
    fetched = fetch(tmp_path, ("memory://bucket/a.zip", sha256(ZIP)))
    assert (fetched.source, fetched.images) == ("memory://bucket/a.zip", 301)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file:///nowhere/a.zip", "dataset.archives[0].url: there is no file /nowhere/a.zip"),
        ("memory://bucket/nowhere.zip", "memory://bucket/nowhere.zip: there is no such file"),
        ("nosuch://bucket/a.zip", "nosuch://bucket/a.zip can't be read (ValueError: Protocol not known: nosuch"),
    ],
)
def test_addresses_that_can_not_be_opened(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, (url, sha256(ZIP)))
    assert str(caught.value).startswith(problem)
    assert cached(tmp_path) == []


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_s3_without_its_package(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^s3://bucket/a\.zip: s3:// addresses need another package: pip install 'dvc\[s3\]'"
    ):
        fetch(tmp_path, ("s3://bucket/a.zip", sha256(ZIP)))


# Credentials and proxies.


def test_credentials_in_the_address_go_to_its_host_only(tmp_path: Path, site: Site) -> None:
    with serving() as other:
        other.resources = {"/b.zip": Resource(ZIP)}
        site.resources = {
            "/a": Resource(status=302, headers={"Location": "/b"}),
            "/b": Resource(status=302, headers={"Location": f"{other.address}/b.zip"}),
        }
        address = site.address.replace("://", "://user:secret@")
        assert fetch(tmp_path, (f"{address}/a", sha256(ZIP))).source == f"{site.address}/a"
    basic = f"Basic {base64.b64encode(b'user:secret').decode()}"
    assert (site.credentials, other.credentials) == ([basic, basic], [])
    assert other.requests == [("/b.zip", "")]


def test_credentials_in_netrc_are_not_sent(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert get_netrc_auth(site.address) == ("user", "secret")  # what requests would send
    site.resources = {"/a": Resource(status=302, headers={"Location": "/b.zip"}), "/b.zip": Resource(ZIP)}
    fetch(tmp_path, (f"{site.address}/a", sha256(ZIP)))
    assert (len(site.requests), site.credentials) == (2, [])


def test_a_proxy_of_the_environment_is_used(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.address)
    site.resources = {"http://nowhere.invalid/a.zip": Resource(ZIP)}
    assert fetch(tmp_path, ("http://nowhere.invalid/a.zip", sha256(ZIP))).images == 301


def test_an_archive_that_is_labelled_as_compressed_content_stays_as_it_is(tmp_path: Path, site: Site) -> None:
    site.resources = {"/b.tgz": Resource(TAR, headers={"Content-Encoding": "gzip"})}
    assert fetch(tmp_path, (f"{site.address}/b.tgz", sha256(TAR))).images == 2


# Addresses.


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/a/b.zip?sig=secret#secret", "https://example.org/a/b.zip"),
        ("https://user:secret@example.org:8443/b.zip", "https://example.org:8443/b.zip"),
        ("https://secret@[::1]:8443/b.zip", "https://[::1]:8443/b.zip"),
        ("https://example.org/@boats/b.zip", "https://example.org/@boats/b.zip"),
        ("https://user:se/cret@example.org/b.zip", "https://…@example.org/b.zip"),
        ("https://user:se@c/ret@example.org/b.zip", "https://…@example.org/b.zip"),
        ("https://us/er:secret@example.org/b.zip", "https://…@example.org/b.zip"),
        ("https://user:se?cret@example.org/b.zip", "https://…"),
        ("https://user:se#cret@example.org/b.zip", "https://…"),
        ("https://example.org/b.zip?sig=secret::secret", "https://example.org/b.zip"),
        ("http://[::1", "http://…"),
        ("s3://bucket/a::b.zip", "s3://bucket/a"),
        ("s3://key:se/cret@bucket/b.zip", "s3://…@bucket/b.zip"),
        ("zip://a.zip::https://user:secret@example.org/b.zip?sig=secret", "zip://a.zip::https://example.org/b.zip"),
        ("zip://a.zip::https://user:se/cret@example.org/b.zip", "zip://a.zip::https://…@example.org/b.zip"),
        ("zip://a.zip::https://user:se::cret@example.org/b.zip", "zip://a.zip::https://…"),
        ("zip://a.zip::simplecache::s3://bucket/b.zip", "zip://a.zip::s3://bucket/b.zip"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert http.public(url) == shown


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://[::1", "http://… is not a valid address: correct it"),
        ("http://127.0.0.1:x/a.zip?token=secret", "http://… is not a valid address: correct it"),
        ("http://127.0.0.1:1/a b.zip?token=secret", "http://127.0.0.1:1/a b.zip can't be downloaded: no connection"),
        ("http://user:secret@127.0.0.1:1/a.zip", "http://127.0.0.1:1/a.zip can't be downloaded: no connection"),
        ("https://user:se/cret@127.0.0.1/a.zip", "https://…@127.0.0.1/a.zip is not a valid address: correct"),
        ("zip://a.zip::https://user:secret@127.0.0.1:1/b.zip?x=secret", "zip://a.zip::https://127.0.0.1:1/b.zip"),
        ("zip://a.zip::nosuch://user:secret@host/b.zip", "zip://a.zip::nosuch://host/b.zip can't be read (ValueError)"),
    ],
)
def test_errors_show_no_secrets(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, (url, sha256(ZIP)))
    assert str(caught.value).startswith(problem)
    assert not any(secret in str(caught.value) for secret in ("secret", "cret", "'se'"))


def test_the_scheme_of_an_address_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.ZIP").write_bytes(ZIP)
    archive = Archive(url=f"FILE://{tmp_path}/A.ZIP", sha256=sha256(ZIP))
    assert fetch(tmp_path, (archive.url, archive.sha256)).images == 301


@pytest.mark.parametrize("name", ["a\0b", "a%00b", "a" * 256, "/b" * 600])
def test_a_file_address_that_no_file_can_have(name: str) -> None:
    with pytest.raises(ValidationError):
        Archive(url=f"file:///{name}", sha256="0" * 64)


def test_a_file_name_that_is_too_long_until_it_is_decoded(tmp_path: Path) -> None:
    name = "船" * 80 + ".zip"
    (tmp_path / name).write_bytes(ZIP)
    assert fetch(tmp_path, (f"file://{tmp_path}/{quote(name)}", sha256(ZIP))).images == 301


def test_a_full_disk_is_not_reported_as_a_problem_of_the_address(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://bucket/full.zip", "wb") as stream:
        stream.write(ZIP)
    with small_disk(tmp_path / "downloads", 16) as disk:
        disk.leave(len(ZIP) // BLOCK * BLOCK)
        with pytest.raises(UserError, match=r"archive can't be written \(No space left on device\): free space"):
            fetch(tmp_path, ("memory://bucket/full.zip", sha256(ZIP)))
        disk.clear()
        assert fetch(tmp_path, ("memory://bucket/full.zip", sha256(ZIP))).images == 301


# Files and folders in the way.


@pytest.mark.parametrize("name", ["downloads", f"downloads/{sha256(ZIP)}.part"], ids=["downloads", "part"])
def test_a_file_where_a_folder_is_needed(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: b"x"})
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, ("memory://bucket/a.zip", sha256(ZIP)))
    assert str(caught.value) == f"{tmp_path / name} is not a directory, and one is needed there: move it away"


@pytest.mark.parametrize("asked", [sha256(ZIP), "0" * 64], ids=["its sum", "another sum"])
def test_a_folder_where_a_cached_archive_is_needed(tmp_path: Path, site: Site, asked: str) -> None:
    site.resources = {"/a.zip": Resource(ZIP)}
    folder = tmp_path / "downloads" / sha256(ZIP)
    folder.mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, (f"{site.address}/a.zip", asked))
    assert str(caught.value) == f"{folder} is a directory, and a file is needed there: move it away"
