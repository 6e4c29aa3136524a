import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from boatyard import params

ROOT = Path(__file__).parents[1]
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


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
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
