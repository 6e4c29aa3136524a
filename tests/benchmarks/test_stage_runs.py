"""benchmarks/stage_runs.py on a small history, and its imports against the package's own import graph."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import stage_runs
from stage_runs import Runs

from boatyard.core import import_graph

PHOTOS = """
from typing import TYPE_CHECKING

from boatyard.data import names

if TYPE_CHECKING:
    from boatyard.data import labels

TEMPLATES = "templates"
# A few lines more, so that git finds this file again after its imports changed.
"""


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    return subprocess.run(
        ["git", "-C", folder, *identity, *command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def commit(folder: Path, contents: Mapping[str, str | None]) -> str:
    """Write files, None to delete one, commit them and return the commit."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a commit")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage that imports two modules of a package `data`, which has a third that only its types need."""
    git(tmp_path, "init", "-q", "-b", "main")
    monkeypatch.setattr(stage_runs, "ROOT", tmp_path)
    commit(
        tmp_path,
        {
            "stages/filter.py": "def main():\n    from boatyard.data.photos import TEMPLATES\n",
            "src/boatyard/__init__.py": "",
            "src/boatyard/data/__init__.py": "",
            "src/boatyard/data/photos.py": PHOTOS,
            "src/boatyard/data/names.py": "SUFFIX = '.jpg'\n" * 5,
            "src/boatyard/data/labels.py": "LABELS = 'boats'\n" * 5,
            "src/boatyard/data/splits.py": "SPLITS = 'train'\n" * 5,
            "src/boatyard/data/templates/page.html": "<p>a page</p>\n" * 5,
            "src/boatyard/model/head.py": "WIDTH = 256\n" * 5,
        },
    )
    return tmp_path


def move(folder: Path) -> str:
    """`photos` and `labels` go into a package `images`, `names` into `core`, `splits` into `curation`."""
    to = {"photos.py": "images", "labels.py": "images", "templates/page.html": "images"}
    to |= {"names.py": "core", "splits.py": "curation"}
    contents: dict[str, str | None] = {"src/boatyard/data/__init__.py": None}
    for name, package in to.items():
        old = f"src/boatyard/data/{name}"
        text = (folder / old).read_text().replace("boatyard.data import names", "boatyard.core import names")
        contents |= {old: None, f"src/boatyard/{package}/{name}": text.replace("boatyard.data", "boatyard.images")}
    contents["stages/filter.py"] = "def main():\n    from boatyard.images.photos import TEMPLATES\n"
    return commit(folder, contents)


def replay(moved: str, *, every_commit: bool = False) -> stage_runs.Replay:
    return stage_runs.Replay(stage_runs.history("HEAD", every_commit=every_commit), moved)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("stages/filter.py", Runs(1, 1)),
        ("src/boatyard/__init__.py", Runs(1, 1)),
        ("src/boatyard/data/__init__.py", Runs(1, 1)),
        ("src/boatyard/data/photos.py", Runs(1, 1)),
        ("src/boatyard/data/names.py", Runs(1, 1)),
        ("src/boatyard/data/templates/page.html", Runs(1, 1)),
        ("src/boatyard/data/labels.py", Runs(0, 1)),
        ("src/boatyard/data/splits.py", Runs(0, 0)),
        ("src/boatyard/model/head.py", Runs(0, 0)),
    ],
)
def test_a_module_counts_for_the_package_that_it_moves_to(repository: Path, changed: str, expected: Runs):
    text = (repository / changed).read_text()
    commit(repository, {changed: f"{text}# changed\n"})

    found = replay(move(repository))

    assert found.runs("filter", after_move=False) == Runs(expected.per_file + 1, expected.by_folder + 1)
    assert found.deleted() == ["src/boatyard/data/__init__.py"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("src/boatyard/images/templates/page.html", Runs(1, 1)),
        ("src/boatyard/images/labels.py", Runs(0, 1)),
        ("src/boatyard/images/new.py", Runs(0, 1)),
        ("src/boatyard/curation/splits.py", Runs(0, 0)),
    ],
)
def test_after_the_move_the_folders_themselves_count(repository: Path, changed: str, expected: Runs):
    moved = move(repository)
    commit(repository, {changed: "# changed\n"})

    assert replay(moved).runs("filter", after_move=False) == Runs(expected.per_file + 1, expected.by_folder + 1)


def test_imports_after_the_move_replace_those_before_it(repository: Path):
    script = repository / "stages/filter.py"
    commit(repository, {"stages/filter.py": f"{script.read_text()}    from boatyard.data import splits\n"})
    commit(repository, {"src/boatyard/data/splits.py": "SPLITS = 'train'\n" * 6})

    found = replay(move(repository))

    assert found.runs("filter", after_move=False) == Runs(3, 3)
    assert found.runs("filter", after_move=True) == Runs(2, 2)
    assert found.runs("split", after_move=True) == Runs(0, 0), "there is no such stage"


def test_a_merge_counts_once_or_as_its_commits(repository: Path):
    git(repository, "switch", "-q", "-c", "branch")
    for number in range(2):
        commit(repository, {"src/boatyard/data/names.py": f"SUFFIX = {number}\n" * 5})
    git(repository, "switch", "-q", "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "a merge", "branch")
    moved = move(repository)

    assert replay(moved).runs("filter", after_move=False) == Runs(2, 2)
    assert replay(moved, every_commit=True).runs("filter", after_move=False) == Runs(3, 3)


def test_imports_are_those_of_the_import_graph():
    root = import_graph.PACKAGE.parents[1]
    paths = [path for folder in ("src", "stages") for path in (root / folder).rglob("*.py")]
    files = {path.relative_to(root).as_posix(): str(path) for path in paths}
    sources = {str(path): stage_runs.parse(path.read_bytes()) for path in paths}
    for stage in stage_runs.SECONDS:
        script = root / f"stages/{stage}.py"

        modules = import_graph.closure(import_graph.imports_of(script.read_text(encoding="utf-8")))

        expected = {path.relative_to(root).as_posix() for path in (script, *map(import_graph.path_of, modules))}
        found = stage_runs.imported(stage, files, sources)
        assert found == expected, stage
