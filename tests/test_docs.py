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
