"""Every "see …" in a message leads somewhere: to a file of the repository, or to one that the stage itself writes."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import Page
from ruamel.yaml import YAML

from boatyard.core import paths

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path.relative_to(ROOT).as_posix() for folder in ("src", "stages") for path in ROOT.glob(f"{folder}/**/*.py")
)
TRACKED = set(
    subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
)
STAGES = YAML(typ="safe", pure=True).load(ROOT / paths.PIPELINE)["stages"]
# An imperative: at the beginning of a sentence or of a part of one.
SEE = re.compile(r"(?:^|[(.;:,–]\s*)see\s+(.*?)(?:[);,]|: |\. |$)", re.IGNORECASE)


def messages(source: str) -> Iterator[str]:
    """The strings of a module, without docstrings and examples of settings; a path of core/paths.py is filled in."""
    tree = ast.parse(source)
    hidden = set[int]()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):
                hidden.add(id(node.value))
            case ast.keyword(arg="examples"):
                hidden |= {id(inner) for inner in ast.walk(node)}
            case ast.JoinedStr():
                hidden |= {id(inner) for inner in ast.walk(node) if inner is not node}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(map(_part, node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _part(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.FormattedValue(value=ast.Attribute(value=ast.Name(id="paths"), attr=name)):
            return str(getattr(paths, name))
        case _:
            return "…"


def broken(source: str, outputs: set[str]) -> list[str]:
    """The targets of "see …" that are neither tracked by git nor among a stage's outputs."""
    return [target for text in messages(source) for target in SEE.findall(text) if not leads(target, outputs)]


def leads(target: str, outputs: set[str]) -> bool:
    named = re.findall(r"`?((?:[\w.-]+/)+[\w.-]*|[A-Z]+\.md)(?:#([\w-]+))?`?", target)
    return bool(named) and all(
        (path in TRACKED | outputs or any(name.startswith(f"{path.rstrip('/')}/") for name in TRACKED))
        and (not anchor or anchor in Page.read(path).anchors())
        for path, anchor in named
    )


def outputs_of(name: str) -> set[str]:
    """What the stage with this script writes, by dvc.yaml."""
    stage = STAGES.get(Path(name).stem, {}) if name.startswith("stages/") else {}
    listed = [each for key in ("outs", "metrics", "plots") for each in stage.get(key, [])]
    return {next(iter(each)) if isinstance(each, dict) else each for each in listed}


@pytest.mark.parametrize("name", SOURCES)
def test_every_see_leads_to_a_file(name: str):
    assert broken((ROOT / name).read_text(encoding="utf-8"), outputs_of(name)) == []


def test_they_are_found():
    found = {name for name in SOURCES for text in messages((ROOT / name).read_text("utf-8")) if SEE.search(text)}
    assert {"stages/filter.py", "stages/split.py", "stages/check_labels.py", "src/boatyard/core/files.py"} <= found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('print("it failed; see docs/data.md")', []),
        ('print("it failed; see docs/data.md#layouts")', []),
        ('print("it failed; see docs/data.md#nowhere")', ["docs/data.md#nowhere"]),
        ('print("it failed (see docs/nothing.md)")', ["docs/nothing.md"]),
        ('print("See the manual.")', ["the manual."]),
        ('print(f"{count} photos (see {paths.LEAKS})")', ["data/leaks.csv"]),
        ('print(f"{count} photos (see {elsewhere})")', ["…"]),
        ('print("see presets/ for complete files")', []),
        ('"""A docstring, see below."""', []),
        ('print("open the page and see it")', []),
    ],
)
def test_a_message_that_leads_nowhere_is_found(code: str, expected: list[str]):
    assert broken(code, set()) == expected


def test_a_stages_own_outputs_count():
    assert broken('print(f"(see {paths.LEAKS})")', outputs_of("stages/split.py")) == []
    assert broken('print(f"(see {paths.LEAKS})")', outputs_of("stages/filter.py")) == ["data/leaks.csv"]
