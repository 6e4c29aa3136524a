import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources_drawing import photo, silent, tree, zipped
from sources_server import Resource, Site, serving

from boatyard import sources
from boatyard.core.errors import UserError
from boatyard.params.dataset import FoldersLayout, KaggleDataset

DOWNLOAD = "/api/v1/datasets.DatasetApiService/DownloadDataset"
ZIP = zipped({"boats/buoy/1.jpg": photo(1), "boats/ferry/2.jpg": photo(2)})


def fetch(tmp_path: Path) -> sources.Fetched:
    layout = FoldersLayout(kind="folders", root="boats")
    asked = KaggleDataset(source="kaggle", name="someone/boats", version=3, licence="CC0", layout=layout)
    return sources.fetch(asked, tmp_path / "raw", tmp_path / "downloads", tmp_path / "incoming", silent)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError, match=r"^dataset\.source is kaggle, which needs kagglehub: pip install kagglehub$"):
        fetch(tmp_path)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server instead of Kaggle's, at the address that kagglehub's own tests use."""
    pytest.importorskip("kagglehub", reason="kagglehub is an optional extra")
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("no_proxy", "localhost")
    with serving(port=7777) as site:
        yield site


def test_a_data_set_of_a_version(tmp_path: Path, site: Site) -> None:
    site.resources = {DOWNLOAD: Resource(ZIP, headers={"Content-Type": "application/zip"})}
    fetched = fetch(tmp_path)
    assert tree(tmp_path / "raw") == {"buoy/1.jpg": photo(1), "ferry/2.jpg": photo(2)}
    assert (fetched.source, fetched.version, fetched.images) == ("kaggle someone/boats", "3", 2)
    fetch(tmp_path)
    assert len(site.requests) == 1
    assert len(tree(tmp_path / "cache")) == 3  # two photos and the marker of a complete download


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (
            401,
            "it answers 401: create a token on kaggle.com (Settings, API), put it into the environment variable KAGGLE",
        ),
        (403, "it answers 403: create a token"),
        (404, "there is no such data set or version: correct dataset.name or dataset.version"),
        (500, "KaggleApiHTTPError: 500 Server Error"),
    ],
)
def test_kaggle_refuses(tmp_path: Path, site: Site, status: int, problem: str) -> None:
    site.resources = {DOWNLOAD: Resource(b"{}", status=status, headers={"Content-Type": "application/json"})}
    with pytest.raises(UserError) as caught:
        fetch(tmp_path)
    assert str(caught.value).startswith(f"someone/boats version 3 can't be fetched from Kaggle: {problem}")


def test_an_interrupted_download_is_not_mistaken_for_a_complete_one(tmp_path: Path, site: Site) -> None:
    headers = {"Content-Type": "application/zip"}
    site.resources = {DOWNLOAD: Resource(ZIP, headers=headers, stops=[100])}
    with pytest.raises(UserError, match=r"^someone/boats version 3 can't be fetched from Kaggle: "):
        fetch(tmp_path)
    site.resources = {DOWNLOAD: Resource(ZIP, headers=headers)}
    assert fetch(tmp_path).images == 2
