"""What becomes of dirty and of hostile data, kind by kind; docs/robustness.md says the same of the same kinds."""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import build_opener

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
from rights import nobody
from ruamel.yaml import YAML
from sources_drawing import sha256, tree, write
from sources_server import certificate, encrypted, serving

from boatyard.core import errors
from boatyard.core.errors import UserError
from boatyard.core.files import read_json
from boatyard.core.splits import mark
from boatyard.curation import catalog, inspections
from boatyard.images import decoding
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.models import backbones, model_file
from boatyard.sources import archives, http
from boatyard.sources.layouts import SPLIT_NAMES
from boatyard.sources.walk import MOST_LEVELS

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as photos.py itself does; pytest undoes that


def like(pattern: str) -> re.Pattern[str]:
    """Text in which '…' may be anything."""
    return re.compile(".*".join(map(re.escape, pattern.split("…"))), re.DOTALL)


@dataclass(frozen=True)
class Ended:
    status: int
    said: str
    complained: str


class Project:
    """A folder to run stages in, with params.yaml for photos in data/incoming."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]):
        self.folder = folder
        self._capsys = capsys
        yaml = YAML(typ="safe", pure=True)
        self._params = yaml.load(REPOSITORY / "params.yaml")
        self._params["filter"] |= {"min_images": 3}
        self.set_layout("folders")
        shutil.copy(REPOSITORY / "dvc.yaml", folder)

    def set_dataset(self, dataset: Mapping[str, Any]) -> None:
        self._params["dataset"] = dict(dataset)
        YAML(typ="safe", pure=True).dump(self._params, self.folder / "params.yaml")

    def set_layout(self, kind: str) -> None:
        self.set_dataset({"source": "folder", "licence": "private", "layout": {"kind": kind, "root": "."}})

    def run(self, stage: str, without_rights: bool = False) -> Ended:
        """A stage, in this process."""
        script = REPOSITORY / f"stages/{stage}.py"
        code = compile(script.read_bytes(), script, "exec")
        try:
            with nobody(self.folder) if without_rights else nullcontext():
                exec(code, {"__name__": "__main__"})
            status = 0
        except SystemExit as end:
            status = int(str(end.code))
        return Ended(status, *self._capsys.readouterr())

    def files(self) -> dict[str, bytes]:
        """All files but the locks of stages."""
        return {name: content for name, content in tree(self.folder).items() if not name.startswith(".work/locks/")}

    def raw(self) -> dict[str, bytes]:
        return tree(self.folder / "data/raw")

    def rejected(self) -> dict[str, str]:
        return {entry.path: entry.reason for entry in catalog.read_rejected(Path("data/rejected.csv"))}

    def kept(self) -> list[str]:
        return [entry.path for entry in catalog.read_catalog(Path("data/catalog.csv"))]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, capsys)


# Files


@pytest.mark.parametrize("case", hostile_photos.CASES, ids=lambda case: case.what)
def test_a_file(tmp_path: Path, case: hostile_photos.Case) -> None:
    contents = {f"a/{number:03d}.jpg": content for number, content in enumerate(case.make())}
    write(tmp_path, contents)
    found = list(inspections.inspect(tmp_path, sorted(contents), 2, inspections.none()))
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


def test_the_filter_lists_every_file_once_and_changes_none(project: Project) -> None:
    contents = dict(SOUND)
    for number, case in enumerate(hostile_photos.CASES):
        contents |= {f"a/{number:02d}-{part:03d}.jpg": content for part, content in enumerate(case.make()[:5])}
    write(Path("data/raw"), contents)

    ended = project.run("filter")

    rejected = project.rejected()
    assert (ended.status, ended.said.splitlines()[0]) == (
        0,
        f"{len(project.kept())} of {len(contents)} photos stay, in 2 classes",
    )
    assert sorted([*project.kept(), *rejected]) == sorted(contents)
    assert project.raw() == contents
    for number, case in enumerate(hostile_photos.CASES):
        reasons = {reason for path, reason in rejected.items() if path.startswith(f"a/{number:02d}-")}
        # A sound file may be a copy of another case's.
        allowed = [*map(like, case.reasons), re.compile("duplicate: .*")]
        assert all(any(pattern.fullmatch(reason) for pattern in allowed) for reason in reasons), (case.what, reasons)


# Names, folders, links


def in_raw(name: str) -> str:
    """Where a photo of a data set that came split is put."""
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
    ended = [project.run("download", without_rights=case.nobody)]
    if not ended[0].status:
        ended.append(project.run("filter"))

    if case.stops:
        assert [end.status for end in ended] == ([2] if case.stops == "download" else [0, 2])
        assert like(f"error: {case.told}\n").fullmatch(ended[-1].complained), ended[-1].complained
        assert ended[-1].said == ""
        assert ended[-1].complained.count("\n") == 1
        assert Path("data/raw").exists() == (case.stops == "filter")
        return
    assert [(end.status, end.complained) for end in ended] == [(0, ""), (0, "")]
    sound = {in_raw(name): content for name, content in SPLIT_SOUND.items()} if split else SOUND
    assert project.raw() == sound | case.raw
    lines = [line for end in ended for line in end.said.splitlines()]
    assert not case.said or any(like(case.said).fullmatch(line) for line in lines), lines
    rejected = project.rejected()
    assert set(rejected) == set(case.rejected)
    assert all(like(reason).fullmatch(rejected[path]) for path, reason in case.rejected.items()), rejected
    assert sorted([*project.kept(), *rejected]) == sorted(project.raw())
    assert read_json(Path("metrics/filter.json"))["leaks"] == (case.said == hostile_folders.LEAK)


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

        if case.told:
            assert (ended.status, ended.said) == (2, "")
            assert like(f"error: {case.told}\n").fullmatch(ended.complained), ended.complained
            assert ended.complained.count("\n") == 1
            assert project.files() == before  # nothing is left, inside the project or out of its place
        else:
            assert (ended.status, ended.complained) == (0, "")
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
        monkeypatch.setenv("SSL_CERT_FILE", str(proof))
        monkeypatch.setattr(http, "_OPENER", build_opener(http._NoWayDown))  # newer Pythons' reads that when it is made
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

    if case.told:
        assert (ended.status, ended.said, ended.complained.count("\n")) == (2, "", 1)
        told = case.told.replace("SIZE", f"{hostile_servers.SIZE:,}")
        assert re.match(rf"error: {re.escape(url)}:? {like(told).pattern}\n", ended.complained), ended.complained
        assert "secret" not in ended.complained
        assert not Path("data/raw").exists()
        assert open_site.requests == []
        beginnings = [path.stat().st_size for path in Path(".work/downloads").glob("*.part/*")]
        assert sum(beginnings) == case.kept
        whole = [path for path in Path(".work/downloads").glob("*") if path.is_file()]
        assert all(path.name == sha256(path.read_bytes()) != sha256(hostile_servers.ARCHIVE) for path in whole)
    else:
        assert (ended.status, ended.complained) == (0, "")
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
        told = errors.one_line(str(caught.value))
        start = f"model.weights: {path.name}" if case.weights else str(path)
        assert told == str(caught.value)
        assert like(f"{start} {case.told}").fullmatch(told), told
        assert len(told) < len(start) + 400
    assert not recwarn.list
    assert sorted(tmp_path.iterdir()) == made  # no code has run


@pytest.mark.parametrize("name", ["new.pth", "old.pth", "alone.pth"])
def test_torch_would_run_the_code_if_it_were_let(tmp_path: Path, name: str) -> None:
    hostile_models.pickled(tmp_path)
    torch.load(tmp_path / name, weights_only=False)
    assert (tmp_path / "trace").exists()


# The page


def table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table in Markdown."""
    lines = [(left, right), *((what, becomes.replace("|", "\\|")) for what, becomes in rows)]
    head, *body = [f"| {what} | {becomes} |\n" for what, becomes in lines]
    return "".join([head, "|---|---|\n", *body])


def files_table() -> str:
    def becomes(case: hostile_photos.Case) -> str:
        return f"stays, {case.seen}" if case.seen else f"left out: {' or '.join(f'`{one}`' for one in case.reasons)}"

    return table("a file", "what filter does", ((case.what, becomes(case)) for case in hostile_photos.CASES))


def folders_table() -> str:
    def becomes(case: hostile_folders.Case) -> str:
        return f"{case.stops} stops: `{case.told}`" if case.stops else case.becomes

    return table(
        "in data/incoming", "what becomes of it", ((case.what, becomes(case)) for case in hostile_folders.CASES)
    )


def archives_table() -> str:
    def becomes(case: hostile_archives.Case) -> str:
        return f"`{case.told}`" if case.told else case.becomes

    return table("in an archive", "what download does", ((case.what, becomes(case)) for case in hostile_archives.CASES))


def servers_table() -> str:
    def becomes(case: hostile_servers.Case) -> str:
        return f"stops: `{case.told.replace('SIZE', '…')}`" if case.told else case.becomes

    return table("a server that", "what download does", ((case.what, becomes(case)) for case in hostile_servers.CASES))


def models_table() -> str:
    rows = ((case.what, f"`{case.told}`") for case in hostile_models.CASES)
    return table("a model file, or weights for one", "the one line", rows)


def limits_table() -> str:
    rows = [
        ("pixels of a photo", f"{decoding.MAX_PIXELS // 1_000_000} megapixels, {decoding.MAX_SIDE:,} a side"),
        ("scans of a JPEG", f"{decoding.MAX_SCANS}; a usual progressive one has 10"),
        (
            "what an archive unpacks to",
            f"{archives.MOST_GROWTH} times its size and {archives.ALLOWANCE >> 20} MiB",
        ),
        ("files in an archive", f"{archives.MOST_FILES:,}"),
        ("folders in one another", f"{MOST_LEVELS}"),
        ("a server's silence", f"{http.TIMEOUT:g} s; {http.ATTEMPTS} attempts in a row without a new byte"),
    ]
    return table("what", "limit", rows)


TABLES = [files_table, folders_table, archives_table, servers_table, models_table, limits_table]


@pytest.mark.parametrize("of", TABLES)
def test_the_page_says_the_same(of: Callable[[], str]) -> None:
    """`python tests/project/test_robustness.py` prints the tables anew."""
    page = (REPOSITORY / "docs/robustness.md").read_text(encoding="utf-8")
    assert of() in page


if __name__ == "__main__":
    print("\n".join(of() for of in TABLES))
