import ast
import re
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from ruamel.yaml import YAML

from boatyard import params

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/data.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_section_in_the_data_page_fits_the_schema(block: str, tmp_path: Path):
    yaml = YAML(typ="safe", pure=True)
    settings = yaml.load(ROOT / "presets/solar_cells.yaml") | yaml.load(block)
    if settings["split"]["method"] == "folders":
        settings["dataset"] = {
            "source": "folder", "licence": "x", "layout": {"kind": "split_folders", "root": "."}
        }  # fmt: skip
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)
    params.read(tmp_path / "params.yaml")


def test_the_data_page_has_every_source_and_split():
    text = "\n".join(BLOCKS)
    for source in ("pypi", "folder", "url", "torchvision", "kaggle"):
        assert f"source: {source}\n" in text
    for method in ("stratified", "counts", "folders"):
        assert f"method: {method}" in text


PAGES = ["README.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str):
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_the_tests_that_the_page_on_determinism_names_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/determinism.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path}::{name}"


def test_every_note_of_the_page_on_determinism_is_explained_and_used():
    text = (ROOT / "docs/determinism.md").read_text(encoding="utf-8")
    explained = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    used = {
        int(note.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))) for note in re.findall("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", text)
    }
    assert explained == list(range(1, len(explained) + 1))
    assert used == set(explained)
    # Each 'same' of the table has a note.
    assert not re.findall(r"\| same *\|", text)


def test_the_sharing_page_lists_every_output_that_is_pushed():
    rows = re.findall(r"^\| `(.+)` \| .+ \| ([\d,]+) \| (.+) \|$", Page.read("docs/sharing.md").text, re.MULTILINE)
    stages, locked = (YAML(typ="safe", pure=True).load(ROOT / name)["stages"] for name in ("dvc.yaml", "dvc.lock"))

    assert sorted(path for path, _, _ in rows) == sorted(pushed(stages))

    of_default_run = {out["path"]: out for stage in locked.values() for out in stage["outs"]}
    for path, files, size in rows:
        if path in of_default_run:
            number, unit = size.split()
            size_in_bytes = float(number) * {"kB": 1e3, "MB": 1e6}[unit]
            assert int(files.replace(",", "")) == of_default_run[path].get("nfiles", 1), path
            assert size_in_bytes == pytest.approx(of_default_run[path]["size"], rel=0.3, abs=1000), path


def pushed(stages: dict[str, Any]) -> list[str]:
    """The outputs of dvc.yaml that go to a remote."""
    outputs = [output for stage in stages.values() for kind in ("outs", "plots") for output in stage.get(kind, [])]
    with_options = [next(iter(output.items())) if isinstance(output, dict) else (output, {}) for output in outputs]
    return [path for path, options in with_options if options.get("cache", True) and options.get("push", True)]


def test_the_sharing_page_leads_to_its_own_sections():
    page = Page.read("docs/sharing.md")
    sections = {heading.lower().replace(" ", "-") for heading in page.headings()}

    targets = re.findall(r"\]\(#([^)]+)\)", page.text)

    assert targets
    assert set(targets) <= sections
