from pathlib import Path

import pytest
from ruamel.yaml import YAML

from boatyard import params
from boatyard.params import write

ROOT = Path(__file__).parents[2]
PRESETS = ("animals", "boats", "caltech101", "solar_cells")
STAGES = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


def test_there_is_a_preset_for_each_published_system_and_the_default():
    assert sorted(path.stem for path in (ROOT / "presets").iterdir()) == list(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_schema_and_names_the_published_and_the_measured_result(name: str):
    preset = ROOT / f"presets/{name}.yaml"
    params.read(preset)
    header = preset.read_text(encoding="utf-8").partition("\nseed:")[0].splitlines()
    assert {"# Published", "# Here", "# Needs"} <= {line.partition(":")[0] for line in header}


@pytest.mark.parametrize("name", PRESETS)
def test_the_keys_and_comments_of_a_preset_are_those_of_the_schema(name: str):
    text = (ROOT / f"presets/{name}.yaml").read_text(encoding="utf-8")
    assert write.write_comments(write.add_keys(text), STAGES) == text, "run `make presets`"


@pytest.mark.parametrize(
    ("name", "backbone", "source", "split"),
    [
        ("boats", "resnet50", "kaggle", {"method": "stratified", "train": 0.6, "validation": 0.2, "test": 0.2}),
        ("animals", "resnet50", "torchvision", {"method": "counts", "train": 60, "validation": 10}),
        (
            "caltech101",
            "vgg16",
            "torchvision",
            {"method": "stratified", "train": 0.5, "validation": 0.25, "test": 0.25},
        ),
    ],
)
def test_a_preset_is_complete_and_has_the_articles_backbone_data_and_split(
    name: str, backbone: str, source: str, split: dict[str, object]
):
    settings = params.read(ROOT / "presets" / f"{name}.yaml")
    assert settings.model.backbone == backbone
    assert settings.model.weights == "default"
    assert settings.dataset.source == source
    assert settings.split.model_dump(exclude={"near_duplicates"}) == split
    assert (settings.augment.scale, settings.augment.rotation) == ([0.8, 1.0], 15)


def test_the_animals_are_the_ten_of_the_article():
    settings = params.read(ROOT / "presets/animals.yaml")
    names = [name.partition(".")[2].removesuffix("-101") for name in settings.filter.keep]
    assert names == [
        *("bear", "chimp", "giraffe", "gorilla", "llama", "ostrich", "porcupine", "skunk", "triceratops", "zebra")
    ]
