"""How dirty and hostile data is handled, case by case; the tables of docs/robustness.md list the same cases."""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hostile_archives
import hostile_folders
import hostile_models
import hostile_photos
import hostile_servers
import numpy as np
import pytest
import torch
from block_photos import blocks_of
from hostile_folders import SOUND, SPLIT_SOUND
from inspection_cache import in_memory
from permissions import nobody
from ruamel.yaml import YAML
from sources_drawing import sha256, tree, write
from sources_server import certificate, encrypted, serving, trust

from boatyard.core import errors, tables
from boatyard.core.errors import UserError
from boatyard.core.files import read_json
from boatyard.core.splits import mark
from boatyard.curation import catalog, inspections
from boatyard.curation.catalog import Photo, Rejected
from boatyard.images import decoding
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.models import backbones, model_file
from boatyard.sources import archives, http
from boatyard.sources.layouts import SPLIT_NAMES
from boatyard.sources.walk import MAX_DEPTH

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as decoding.py does; pytest undoes that


def like(pattern: str) -> re.Pattern[str]:
    """A pattern in which '…' is any text."""
    return re.compile(".*".join(map(re.escape, pattern.split("…"))), re.DOTALL)


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str


class Project:
    """A folder to run stages in, with a params.yaml for photos in data/incoming."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]):
        self.folder = folder
        self._capsys = capsys
        yaml = YAML(typ="safe", pure=True)
        self._params = yaml.load(REPOSITORY / "presets/solar_cells.yaml")
        self._params["filter"] |= {"min_images": 3}
        self.set_layout("folders")
        shutil.copy(REPOSITORY / "dvc.yaml", folder)

    def set_dataset(self, dataset: Mapping[str, Any]) -> None:
        self._params["dataset"] = dict(dataset)
        YAML(typ="safe", pure=True).dump(self._params, self.folder / "params.yaml")

    def set_layout(self, kind: str) -> None:
        self.set_dataset({"source": "folder", "licence": "private", "layout": {"kind": kind, "root": "."}})

    def run(self, stage: str, as_nobody: bool = False) -> Ended:
        """Run a stage in this process."""
        script = REPOSITORY / f"stages/{stage}.py"
        code = compile(script.read_bytes(), script, "exec")
        try:
            with nobody(self.folder) if as_nobody else nullcontext():
                exec(code, {"__name__": "__main__"})
            status = 0
        except SystemExit as end:
            status = int(str(end.code))
        return Ended(status, *self._capsys.readouterr())

    def files(self) -> dict[str, bytes]:
        """All files except the stages' locks."""
        return {name: content for name, content in tree(self.folder).items() if not name.startswith(".work/locks/")}

    def raw(self) -> dict[str, bytes]:
        return tree(self.folder / "data/raw")

    def rejected(self) -> dict[str, str]:
        return {entry.path: entry.reason for entry in tables.read_rows(Path("data/rejected.csv"), Rejected)}

    def kept(self) -> list[str]:
        return [entry.path for entry in tables.read_rows(Path("data/catalog.csv"), Photo)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capsys)


# Files


@pytest.mark.parametrize("case", hostile_photos.CASES, ids=lambda case: case.what)
def test_a_file(tmp_path: Path, case: hostile_photos.Case) -> None:
    contents = {f"a/{number:03d}.jpg": content for number, content in enumerate(case.make())}
    write(tmp_path, contents)
    found = list(inspections.inspect(tmp_path, sorted(contents), 2, in_memory()))
    assert [entry.path for entry in found] == sorted(contents)
    for entry in found:
        if case.reasons:
            assert isinstance(entry, catalog.Rejected)
            assert any(like(reason).fullmatch(entry.reason) for reason in case.reasons), entry.reason
            with pytest.raises(UnreadablePhoto):
                open_photo(tmp_path / entry.path)
        else:
            assert isinstance(entry, catalog.Photo), entry
            pixels = open_photo(tmp_path / entry.path)
            seen = blocks_of(pixels) if min(pixels.size) >= 8 else np.asarray(pixels)
            assert case.blocks is not None
            assert (entry.mode, entry.width, entry.height) == (case.mode, *pixels.size)
            assert seen.shape == case.blocks.shape
            assert abs(seen.astype(int) - case.blocks).max() <= case.tolerance
    assert tree(tmp_path) == contents  # nothing is repaired in place


def test_filter_lists_every_file_once_and_changes_none(project: Project) -> None:
    contents = dict(SOUND)
    for number, case in enumerate(hostile_photos.CASES):
        contents |= {f"a/{number:02d}-{part:03d}.jpg": content for part, content in enumerate(case.make()[:5])}
    write(Path("data/raw"), contents)

    ended = project.run("filter")

    rejected = project.rejected()
    assert (ended.status, ended.stdout.splitlines()[0]) == (
        0,
        f"{len(project.kept())} of {len(contents)} photos are kept, in 2 classes",
    )
    assert sorted([*project.kept(), *rejected]) == sorted(contents)
    assert project.raw() == contents
    for number, case in enumerate(hostile_photos.CASES):
        reasons = {reason for path, reason in rejected.items() if path.startswith(f"a/{number:02d}-")}
        # A sound file may be a copy of one of another case.
        allowed = [*map(like, case.reasons), re.compile("duplicate: .*")]
        assert all(any(pattern.fullmatch(reason) for pattern in allowed) for reason in reasons), (case.what, reasons)


# Names, folders, links


def in_raw(name: str) -> str:
    """The path in data/raw of a photo of a data set that is already split."""
    split, label, photo = name.split("/")
    return f"{label}/{mark(SPLIT_NAMES[split], photo)}"


@pytest.mark.parametrize("case", hostile_folders.CASES, ids=lambda case: case.what)
def test_a_folder(project: Project, case: hostile_folders.Case) -> None:
    incoming = Path("data/incoming")
    split = case.layout == "split_folders"
    write(incoming, SPLIT_SOUND if split else SOUND)
    case.make(incoming)
    project.set_layout(case.layout)

    Path("data").chmod(0o777)
    ended = [project.run("download", as_nobody=case.nobody)]
    if not ended[0].status:
        ended.append(project.run("filter"))

    if case.stops:
        assert [end.status for end in ended] == ([2] if case.stops == "download" else [0, 2])
        assert like(f"error: {case.message}\n").fullmatch(ended[-1].stderr), ended[-1].stderr
        assert ended[-1].stdout == ""
        assert ended[-1].stderr.count("\n") == 1
        assert Path("data/raw").exists() == (case.stops == "filter")
        return
    assert [(end.status, end.stderr) for end in ended] == [(0, ""), (0, "")]
    sound = {in_raw(name): content for name, content in SPLIT_SOUND.items()} if split else SOUND
    assert project.raw() == sound | case.raw
    lines = [line for end in ended for line in end.stdout.splitlines()]
    assert not case.printed or any(like(case.printed).fullmatch(line) for line in lines), lines
    rejected = project.rejected()
    assert set(rejected) == set(case.rejected)
    assert all(like(reason).fullmatch(rejected[path]) for path, reason in case.rejected.items()), rejected
    assert sorted([*project.kept(), *rejected]) == sorted(project.raw())
    assert read_json(Path("metrics/filter.json"))["leaks"] == (case.printed == hostile_folders.LEAK)


# Archives


@pytest.mark.parametrize("case", hostile_archives.CASES, ids=lambda case: case.what)
def test_an_archive(project: Project, case: hostile_archives.Case) -> None:
    folder = project.folder / "there"
    for content in case.make():
        write(folder, {"photos.zip": content})
        archive = {"url": f"file://{folder}/photos.zip", "sha256": sha256(content)}
        layout = {"kind": "folders", "root": "."}
        project.set_dataset({"source": "url", "archives": [archive], "licence": "CC0", "layout": layout})
        before = project.files()

        ended = project.run("download")

        if case.message:
            assert (ended.status, ended.stdout) == (2, "")
            assert like(f"error: {case.message}\n").fullmatch(ended.stderr), ended.stderr
            assert ended.stderr.count("\n") == 1
            assert project.files() == before  # nothing is left, inside or outside of the project
        else:
            assert (ended.status, ended.stderr) == (0, "")
            assert project.raw() == hostile_archives.SOUND | case.raw
            assert not any(path.stat().st_mode & 0o7111 for path in Path("data/raw").glob("*/*"))


# Servers


@pytest.mark.parametrize("case", hostile_servers.CASES, ids=lambda case: case.what)
def test_a_server(project: Project, monkeypatch: pytest.MonkeyPatch, case: hostile_servers.Case) -> None:
    monkeypatch.setattr(http, "PAUSE", 0.001)
    monkeypatch.setattr(http, "TIMEOUT", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    proof = certificate(project.folder)
    if case.tls == "trusted":
        trust(proof, monkeypatch)
    with serving(encrypted(proof) if case.tls else None) as site, serving() as open_site:
        site.resources, open_site.resources = dict(case.site()), hostile_servers.at("/b.zip")()
        for resource in site.resources.values():
            resource.headers = {
                name: value.replace("http:/b", f"{open_site.address}/b") for name, value in resource.headers.items()
            }
        url = f"{site.address}/photos.zip"
        archive = {"url": f"{url}?token=secret", "sha256": sha256(hostile_servers.ARCHIVE)}
        layout = {"kind": "folders", "root": "."}
        project.set_dataset({"source": "url", "archives": [archive], "licence": "CC0", "layout": layout})

        ended = project.run("download")

    if case.message:
        assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        message = case.message.replace("SIZE", f"{hostile_servers.SIZE:,}")
        assert re.match(rf"error: {re.escape(url)}:? {like(message).pattern}\n", ended.stderr), ended.stderr
        assert "secret" not in ended.stderr
        assert not Path("data/raw").exists()
        assert open_site.requests == []
        beginnings = [path.stat().st_size for path in Path(".work/downloads").glob("*.part/*")]
        assert sum(beginnings) == case.kept
        whole = [path for path in Path(".work/downloads").glob("*") if path.is_file()]
        assert all(path.name == sha256(path.read_bytes()) != sha256(hostile_servers.ARCHIVE) for path in whole)
    else:
        assert (ended.status, ended.stderr) == (0, "")
        assert project.raw() == hostile_servers.CONTENTS


# Model files


@pytest.mark.parametrize("case", hostile_models.CASES, ids=lambda case: case.what)
def test_a_model_file(tmp_path: Path, case: hostile_models.Case, recwarn: pytest.WarningsRecorder) -> None:
    case.make(tmp_path)
    recwarn.clear()
    made = sorted(tmp_path.iterdir())
    assert made
    for path in made:
        with pytest.raises(UserError) as caught:
            backbones.create("squeezenet1_1", path.name, tmp_path) if case.weights else model_file.load(path)
        message = errors.one_line(str(caught.value))
        start = f"model.weights: {path.name}" if case.weights else str(path)
        assert message == str(caught.value)
        assert like(f"{start} {case.message}").fullmatch(message), message
        assert len(message) < len(start) + 400
    assert not recwarn.list
    assert sorted(tmp_path.iterdir()) == made  # no code has run


@pytest.mark.parametrize("name", ["new.pth", "old.pth", "alone.pth"])
def test_torch_would_run_the_code_by_default(tmp_path: Path, name: str) -> None:
    hostile_models.pickled(tmp_path)
    torch.load(tmp_path / name, weights_only=False)
    assert (tmp_path / "trace").exists()


# The page


def table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table in Markdown."""
    lines = [(left, right), *((what, result.replace("|", "\\|")) for what, result in rows)]
    head, *body = [f"| {what} | {result} |\n" for what, result in lines]
    return "".join([head, "|---|---|\n", *body])


def files_table() -> str:
    def result(case: hostile_photos.Case) -> str:
        return f"kept, {case.seen}" if case.seen else f"left out: {' or '.join(f'`{one}`' for one in case.reasons)}"

    return table("a file", "what filter does", ((case.what, result(case)) for case in hostile_photos.CASES))


def folders_table() -> str:
    def result(case: hostile_folders.Case) -> str:
        return f"{case.stops} stops: `{case.message}`" if case.stops else case.result

    return table("in data/incoming", "result", ((case.what, result(case)) for case in hostile_folders.CASES))


def archives_table() -> str:
    def result(case: hostile_archives.Case) -> str:
        return f"`{case.message}`" if case.message else case.result

    return table("in an archive", "what download does", ((case.what, result(case)) for case in hostile_archives.CASES))


def servers_table() -> str:
    def result(case: hostile_servers.Case) -> str:
        return f"stops: `{case.message.replace('SIZE', '…')}`" if case.message else case.result

    return table("a server that", "what download does", ((case.what, result(case)) for case in hostile_servers.CASES))


def models_table() -> str:
    rows = ((case.what, f"`{case.message}`") for case in hostile_models.CASES)
    return table("a model file, or weights for one", "error", rows)


def limits_table() -> str:
    rows = [
        ("pixels of a photo", f"{decoding.MAX_PIXELS // 1_000_000} megapixels, {decoding.MAX_SIDE:,} a side"),
        ("scans of a JPEG", f"{decoding.MAX_SCANS}; a normal progressive one has 10"),
        (
            "what an archive unpacks to",
            f"{archives.MAX_RATIO} times its size and {archives.ALLOWANCE >> 20} MiB",
        ),
        ("files in an archive", f"{archives.MAX_FILES:,}"),
        ("depth of nested folders", f"{MAX_DEPTH}"),
        ("time-out of a server", f"{http.TIMEOUT:g} s; {http.ATTEMPTS} attempts in a row without a new byte"),
    ]
    return table("what", "limit", rows)


TABLES = [files_table, folders_table, archives_table, servers_table, models_table, limits_table]


@pytest.mark.parametrize("of", TABLES)
def test_the_page_has_the_same_tables(of: Callable[[], str]) -> None:
    """`python tests/project/test_robustness.py` prints the tables."""
    page = (REPOSITORY / "docs/robustness.md").read_text(encoding="utf-8")
    assert of() in page


if __name__ == "__main__":
    print("\n".join(of() for of in TABLES))
