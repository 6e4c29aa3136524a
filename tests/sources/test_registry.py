"""A source that is registered is read from params.yaml, explained in messages, and fetched by the download stage."""

import runpy
import shutil
import sys
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_type_hints

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from sources_drawing import photo, tree, write

from boatyard import params
from boatyard.core.errors import UserError
from boatyard.core.files import read_json
from boatyard.params.dataset import SOURCES, DatasetSection, Layout
from boatyard.params.schema import Params
from boatyard.params.types import PositiveCount
from boatyard.sources import layouts
from boatyard.sources.interface import Listing, SourceFiles, Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = {"kind": "folders", "root": ".", "rename": {}}
TOY = {"source": "toy", "photos": 2, "licence": "none", "layout": FOLDERS}


class ToyDataset(DatasetSection):
    """Photos drawn in memory."""

    source: Literal["toy"]
    photos: PositiveCount = Field(examples=[3])
    licence: str = Field(examples=["CC0"])
    layout: Layout


def fetch_toy(section: ToyDataset, workspace: Workspace) -> Listing:
    for number in range(section.photos):
        write(workspace.scratch, {f"red/{number}.png": photo(number), f"blue/{number}.png": photo(100 + number)})
    return layouts.read(section.layout, SourceFiles(workspace.scratch, "toy", "toy photos", "1", "", movable=True))


def write_params(folder: Path, **changes: Any) -> Path:
    """A params.yaml with the toy's section; a change to None removes the key."""
    settings = YAML(typ="safe").load(REPOSITORY / "presets/solar_cells.yaml")
    settings["dataset"] = {key: value for key, value in (TOY | changes).items() if value is not None}
    YAML().dump(settings, folder / "params.yaml")
    return folder / "params.yaml"


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy's entry and its module; then the schema is built anew, as at the next start of a stage."""
    monkeypatch.setitem(SOURCES, ToyDataset, "toy")
    monkeypatch.setitem(sys.modules, "boatyard.sources.toy", SimpleNamespace(fetch=fetch_toy))
    with monkeypatch.context() as patch:
        union = Annotated[reduce(or_, SOURCES), Field(discriminator="source")]
        patch.setitem(Params.model_fields, "dataset", FieldInfo.from_annotation(union))
        Params.model_rebuild(force=True)
        yield
    Params.model_rebuild(force=True)


@pytest.mark.parametrize("section", SOURCES)
def test_a_source_fetches_what_its_section_describes(section: type[DatasetSection]) -> None:
    fetch = import_module(f"boatyard.sources.{SOURCES[section]}").fetch
    assert get_type_hints(fetch) == {"dataset": section, "workspace": Workspace, "return": Listing}


def test_an_unregistered_source_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.source: 'toy' is unknown; choose one of 'pypi', .*'kaggle'$"):
        params.read(write_params(tmp_path))


@pytest.mark.usefixtures("_registered")
def test_its_section_is_read_and_written_back(tmp_path: Path) -> None:
    settings = params.read(write_params(tmp_path))
    assert isinstance(settings.dataset, ToyDataset)
    assert settings.model_dump()["dataset"] == TOY
    assert list(settings.model_dump()["dataset"]) == list(TOY)
    assert Params.model_validate(settings.model_dump()) == settings
    assert Params.model_validate(dict(settings)) == settings


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"source": "boats"}, "dataset.source: 'boats' is unknown; choose one of 'pypi', .*, 'kaggle', 'toy'"),
        ({"source": None}, "dataset.source: missing; choose one of 'pypi', .*, 'kaggle', 'toy'"),
        ({"photo": 3, "photos": None}, r"dataset\.photo: unknown key; did you mean 'photos'\? \(and 1 more\)"),
        ({"photos": None}, "dataset.photos: missing; add it, for example `photos: 3`"),
        ({"photos": 0}, "dataset.photos: 0 is invalid; .* greater than or equal to 1"),
        ({"layout": {"kind": "folders"}}, r"dataset\.layout\.root: missing; add it, for example `root: \.`"),
        ({"layout": {"kind": "heap"}}, "dataset.layout.kind: 'heap' is unknown; choose one of 'folders', .*"),
    ],
)
def test_its_keys_are_checked_and_explained(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = write_params(tmp_path, **changes)
    with pytest.raises(UserError, match=rf"^{path}: {problem}$"):
        params.read(path)


@pytest.mark.usefixtures("_registered")
def test_the_download_stage_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(tmp_path)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(REPOSITORY / "stages/download.py"), run_name="__main__")
    assert capsys.readouterr().out == "4 photos in 2 classes from toy photos 1 · licence none\n"
    photos = {"red/0.png": 0, "red/1.png": 1, "blue/0.png": 100, "blue/1.png": 101}
    assert tree(tmp_path / "data/raw") == {path: photo(number) for path, number in sorted(photos.items())}
    metrics = read_json(tmp_path / "metrics/download.json")
    assert (metrics["source"], metrics["version"], metrics["images"]) == ("toy photos", "1", 4)
