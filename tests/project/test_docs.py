"""The pages agree with the repository: links, settings, outputs, the names of tests, packages and files."""

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from ruamel.yaml import YAML

from boatyard import params
from boatyard.core import import_graph
from boatyard.evaluation import temperature

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("docs", "benchmarks/log")
        for path in ROOT.glob(f"{folder}/*.md")
    ),
]
# Pages whose YAML blocks are sections of params.yaml.
WITH_SETTINGS = ("README.md", "docs/data.md", "docs/presets.md", "docs/training.md")
SETTINGS = [(page, block) for page in WITH_SETTINGS for block in Page.read(page).blocks("yaml")]


def read_yaml(path: str) -> Any:
    return YAML(typ="safe", pure=True).load(ROOT / path)


@pytest.mark.parametrize(("page", "block"), SETTINGS)
def test_every_block_of_settings_fits_the_schema(page: str, block: str, tmp_path: Path):
    settings = read_yaml("presets/solar_cells.yaml")
    for name, section in YAML(typ="safe", pure=True).load(block).items():
        # These two differ in their keys from kind to kind, so a page shows them whole.
        settings[name] = section if name in ("dataset", "split") else settings[name] | section
    if settings["split"]["method"] == "folders":
        settings["dataset"] = {
            "source": "folder", "licence": "x", "layout": {"kind": "split_folders", "root": "."}
        }  # fmt: skip
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)

    params.read(tmp_path / "params.yaml")


def test_the_data_page_has_every_source_and_split():
    text = "\n".join(Page.read("docs/data.md").blocks("yaml"))
    for source in ("pypi", "folder", "url", "torchvision", "kaggle"):
        assert f"source: {source}\n" in text
    for method in ("stratified", "counts", "folders"):
        assert f"method: {method}" in text


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_file_and_to_a_heading_in_it(page: str):
    broken = []
    for path, anchor in Page.read(page).links():
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in Page.read(str(target)).anchors()):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            linked = [
                (page.parent / path).resolve() for path, _ in Page.read(str(page)).links() if path.endswith(".md")
            ]
            waiting += linked
    assert {ROOT / page for page in PAGES} <= reached


def test_the_readme_shows_what_the_stages_print():
    """Each line of its output is one that the stage can print, whatever the numbers, and the stages are in order."""
    shown, _ = Page.read("README.md").blocks("text")
    *lines, last = shown.splitlines()
    # These two are joined from parts, so no string of the script says what they are.
    lines = [line for line in lines if not re.match(r"[\d,]+ train · |models/model\.onnx: |temperature ", line)]
    stages = ["download", "filter", "split", "featurize", "check_labels", "train", "report"]
    for stage, line in zip(stages, lines, strict=True):
        assert any(re.fullmatch(pattern, line) for pattern in printed(ROOT / f"stages/{stage}.py")), f"{stage}: {line}"
    (line,) = re.findall(r"^temperature .*", shown, re.MULTILINE)
    train = dict.fromkeys(("temperature", "loss_gain", "standard_error"), 1.0)
    for key, number in zip(train, re.findall(r"[\d.]+", line.removeprefix("temperature 1: ")), strict=True):
        train[key] = float(number) + 1e-9  # 0.0000 is a gain too small to be seen
    assert line == temperature.verdict({"temperature": 1, "fitted_temperature": train})
    assert f'@echo "{last.partition("…")[0]}' in (ROOT / "Makefile").read_text(encoding="utf-8")


def printed(script: Path) -> list[str]:
    """A regular expression for each formatted string with words in it that a script prints."""
    calls = [node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    prints = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    strings = [node.values for call in prints for node in ast.walk(call) if isinstance(node, ast.JoinedStr)]
    texts = [[str(part.value) if isinstance(part, ast.Constant) else None for part in parts] for parts in strings]
    return [
        "".join(".+" if text is None else re.escape(text) for text in parts)
        for parts in texts
        if re.search("[a-z]{3}", "".join(filter(None, parts)))
    ]


def test_the_readme_shows_the_comparison_of_the_comparing_page():
    _, verdict = Page.read("README.md").blocks("text")
    assert verdict in Page.read("docs/comparing.md").blocks("text")


@pytest.mark.parametrize("page", PAGES)
def test_scripts_that_a_page_names_exist(page: str):
    named = re.findall(r"\b(?:tests|benchmarks|stages)/[\w/]+\.py", Page.read(page).text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tests_named_on_the_determinism_page_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", Page.read("docs/determinism.md").text)
    assert len(named) > 20
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_every_note_of_the_determinism_page_is_explained_and_used():
    text = Page.read("docs/determinism.md").text
    explained = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    used = {
        int(note.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))) for note in re.findall("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", text)
    }
    assert explained == list(range(1, len(explained) + 1))
    assert used == set(explained)
    # Each 'same' of the table has a note.
    assert not re.findall(r"\| same *\|", text)


def test_the_sharing_page_lists_every_output_that_is_pushed():
    stages = read_yaml("dvc.yaml")["stages"]
    assert sorted(path for path, _, _ in listed_outputs()) == sorted(pushed(stages))


def test_the_sharing_page_has_the_sizes_of_the_default_run():
    stages = read_yaml("dvc.lock")["stages"]
    preset = read_yaml("presets/solar_cells.yaml")
    ran_with = {
        key: value for stage in stages.values() for key, value in stage.get("params", {}).get("params.yaml", {}).items()
    }
    if any(value != at(preset, key) for key, value in ran_with.items()):
        pytest.skip("dvc.lock is of another run than the default one")
    outputs = {out["path"]: out for stage in stages.values() for out in stage["outs"]}
    for path, files, size in listed_outputs():
        number, unit = size.split()
        size_in_bytes = float(number) * {"kB": 1e3, "MB": 1e6}[unit]
        assert int(files.replace(",", "")) == outputs[path].get("nfiles", 1), path
        assert size_in_bytes == pytest.approx(outputs[path]["size"], rel=0.3, abs=1000), path


def listed_outputs() -> list[tuple[str, str, str]]:
    """The outputs in the table of the sharing page: path, number of files, size."""
    return re.findall(r"^\| `(.+)` \| .+ \| ([\d,]+) \| (.+) \|$", Page.read("docs/sharing.md").text, re.MULTILINE)


def at(settings: Any, key: str) -> Any:
    for name in key.split("."):
        settings = settings[name]
    return settings


def pushed(stages: dict[str, Any]) -> list[str]:
    """The outputs of dvc.yaml that go to a remote."""
    outputs = [output for stage in stages.values() for kind in ("outs", "plots") for output in stage.get(kind, [])]
    with_options = [next(iter(output.items())) if isinstance(output, dict) else (output, {}) for output in outputs]
    return [path for path, options in with_options if options.get("cache", True) and options.get("push", True)]


def test_the_pipeline_page_lists_the_stages_in_order():
    rows = re.findall(r"^\| (\w+) \|", Page.read("docs/pipeline.md").text, re.MULTILINE)
    assert rows == ["stage", *read_yaml("dvc.yaml")["stages"]]


def test_the_diagram_of_packages_is_what_the_modules_import():
    """Each arrow is an import, and each import between packages is an arrow or a path of arrows."""
    (diagram,) = Page.read("docs/architecture.md").blocks("mermaid")
    chains = [line.split(" --> ") for line in diagram.strip().splitlines()[1:]]
    arrows = {(one.strip(), other.strip()) for chain in chains for one, other in pairwise(chain)}
    packages = {package for arrow in arrows for package in arrow}
    imported = {
        (reached.split(".")[1], module.split(".")[1])
        for module in import_graph.modules()
        for reached in import_graph.imports(module, type_checking=True)
        if len(module.split(".")) > 2 and len(reached.split(".")) > 1
    }
    imported = {(one, other) for one, other in imported if one != other}

    def before(package: str) -> set[str]:
        return set[str]().union(*({one} | before(one) for one, other in arrows if other == package))

    assert packages == {path.parent.name for path in import_graph.PACKAGE.glob("*/__init__.py")}
    assert arrows <= imported
    assert {(one, other) for one, other in imported if one not in before(other)} == set()


def test_the_architecture_page_lists_the_packages_and_names_files_that_exist():
    page = Page.read("docs/architecture.md")
    rows = re.findall(r"^\| `src/boatyard/(\w+)/` \|", page.section("Packages"), re.MULTILINE)
    assert sorted(rows) == sorted(path.parent.name for path in import_graph.PACKAGE.glob("*/__init__.py"))

    named = re.findall(r"`((?:src|stages|tests)/[\w/]*|[\w/]+/\w+\.py)`", page.text)
    assert len(named) > 40
    missing = [name for name in named if not (ROOT / name).exists() and not (import_graph.PACKAGE / name).exists()]
    assert missing == []


def test_the_installation_page_lists_every_setting_of_the_machine():
    documented = set(re.findall(r"^\| `(BOATYARD_\w+)` \|", Page.read("docs/installation.md").text, re.MULTILINE))
    source = import_graph.path_of("boatyard.core.machine").read_text(encoding="utf-8")
    assert documented == set(re.findall(r"BOATYARD_[A-Z]+", source))
