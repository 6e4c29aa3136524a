"""Every file in presets/: complete, up to date with the schema, what its header says, and in docs/results.md."""

import re
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from ruamel.yaml import YAML

from boatyard import params
from boatyard.params import write
from boatyard.params.schema import Params

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "presets"
ARTICLES = ("boats", "animals", "caltech101")
OFFLINE = [f"{folder}/{name}" for folder in ("offline", "improved") for name in ARTICLES]
NAMES = sorted(["solar_cells", *ARTICLES, *OFFLINE])
STAGES = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


def read(name: str) -> Params:
    return params.read(PRESETS / f"{name}.yaml")


def header(name: str) -> str:
    """The comment at the top, unwrapped: a line for each of its items."""
    text = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").partition("\nseed:")[0]
    items = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<!\n)\n(?!\n|- |[A-Z][\w ]*:)", " ", items)


def measured(name: str) -> list[str]:
    """The figures in a header's item `Here`: with their spread over seeds, or with the interval of one run."""
    here = header(name).partition("\nHere: ")[2].partition("\nNeeds: ")[0]
    figures = re.findall(r"0\.\d{3} ± 0\.\d{3}|1\.000 ± 0\.000|0\.\d{3} \(95 % interval 0\.\d{3} to 0\.\d{3}\)", here)
    return [re.sub(r"\(95 % interval (.+) to (.+)\)", r"[\1, \2]", figure) for figure in figures]


def result_row(name: str) -> str:
    """The row of docs/results.md for a preset."""
    rows = re.findall(r"^\| \[.+$", Page.read("docs/results.md").text, re.MULTILINE)
    (row,) = (row for row in rows if f"(../presets/{name}.yaml)" in row)
    return row


def test_there_are_three_presets_for_each_article_and_the_default():
    found = [path.relative_to(PRESETS).with_suffix("").as_posix() for path in PRESETS.rglob("*.yaml")]
    assert sorted(found) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_fits_the_schema_and_its_header_says_what_it_needs_and_reaches(name: str):
    read(name)
    items = {line.partition(":")[0] for line in header(name).splitlines()}
    assert {"Published", "Here", "Needs"} <= items
    if name != "solar_cells":
        assert {"Time", "Run"} <= items
        assert f"\nRun: cp presets/{name}.yaml params.yaml && dvc repro\n" in header(name)
    assert ("Measured by" in items) == (name in OFFLINE)
    assert "@" not in header(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_keys_and_comments_of_a_preset_are_those_of_the_schema(name: str):
    text = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
    assert write.write_comments(write.add_keys(text), STAGES) == text, "run `make presets`"
    assert max(map(len, text.partition("\nseed:")[0].splitlines())) <= 120


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ARTICLES])
def test_the_results_page_has_a_row_for_a_measured_preset_with_the_figures_of_its_header(name: str):
    figures = measured(name) or ["not measured"]
    assert figures[0] in result_row(name)
    assert figures[0] in header(name) or name == "solar_cells"
    assert [figure for figure in figures if figure not in Page.read("docs/results.md").text] == []


@pytest.mark.parametrize("name", ARTICLES)
def test_the_results_page_has_a_row_for_an_articles_preset_which_is_not_measured(name: str):
    assert "not measured" in result_row(name)
    assert "not measured" in header(name)
    # Its header has the figures of the two others of that article.
    elsewhere = result_row(f"offline/{name}") + result_row(f"improved/{name}")
    assert [figure for figure in measured(name) if figure not in elsewhere] == []


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
def test_a_preset_has_the_articles_backbone_weights_data_and_split(
    name: str, backbone: str, source: str, split: dict[str, object]
):
    settings = read(name)
    assert (settings.model.backbone, settings.model.weights) == (backbone, "IMAGENET1K_V1")
    assert settings.dataset.source == source
    assert settings.split.model_dump(exclude={"near_duplicates"}) == split


@pytest.mark.parametrize("folder", ["", "offline/"])
@pytest.mark.parametrize(
    ("name", "epochs", "patience", "batch_size"),
    [("boats", 100, 3, 512), ("animals", 30, 30, 32), ("caltech101", 30, 5, 128)],
)
def test_a_preset_has_the_articles_recipe(folder: str, name: str, epochs: int, patience: int, batch_size: int):
    settings = read(folder + name)
    assert settings.model.head.model_dump() == {"hidden": 256, "dropout": 0.4}
    train = settings.train
    assert (train.epochs, train.patience, train.batch_size) == (epochs, patience, batch_size)
    assert (train.optimiser, train.lr, train.schedule, train.weight_decay) == ("adam", 0.001, "constant", 0)
    assert (train.label_smoothing, train.class_weights, settings.finetune.epochs) == (0, "none", 0)
    assert (settings.image.size, settings.image.crop) == (224, 224 / 256)
    assert settings.features.views == 10
    augment = settings.augment
    assert (augment.scale, augment.aspect, augment.rotation) == ([0.8, 1.0], [0.75, 1.3333], 15)
    assert (augment.horizontal_flip, augment.vertical_flip) == (True, False)
    assert (augment.brightness, augment.contrast, augment.saturation, augment.hue) == (0, 0, 0, 0)
    # Five random views, and the plain one.
    assert (settings.tta.policies, settings.tta.views) == (["random"], 6)


@pytest.mark.parametrize("name", ARTICLES)
def test_the_offline_recipe_differs_only_in_its_photos_source_and_its_backbone(name: str):
    def recipe(preset: str) -> dict[str, Any]:
        return read(preset).model_dump(exclude={"dataset": True, "model": {"backbone", "weights"}, "filter": {"drop"}})

    assert recipe(name) == recipe(f"offline/{name}")
    # Torchvision leaves this class out by itself.
    assert read(f"offline/{name}").filter.drop == (["BACKGROUND_Google"] if name == "caltech101" else [])


@pytest.mark.parametrize("name", OFFLINE)
def test_an_offline_preset_needs_only_the_package_registry(name: str):
    settings = read(name)
    assert settings.dataset.source == "folder"
    assert set(settings.model.backbone.split("+")) <= {f"efficientnet_lite{number}" for number in range(3)}
    assert settings.model.weights == "default"


# What each article's own code does: a line that is true of one article may be false of another.
NOT_REPEATED = {
    "boats": [
        *("train mode", "near duplicates", "under two classes", "os.system", "ColorJitter", "log-probabilities"),
        *("single photo", "last epoch"),
    ],
    "animals": ["train mode", "model file for each epoch"],
    "caltech101": ["train mode", "near duplicates", "ColorJitter", "single photo", "last epoch"],
}


@pytest.mark.parametrize("name", ARTICLES)
def test_an_articles_preset_names_the_article_and_what_is_not_repeated(name: str):
    text = header(name)
    assert "docs/articles.md" in text
    not_repeated = re.findall(r"^- (.+)$", text.partition("\nNot repeated ")[2], re.MULTILINE)
    assert len(not_repeated) == len(NOT_REPEATED[name])
    assert all(words in line for words, line in zip(NOT_REPEATED[name], not_repeated, strict=True))


@pytest.mark.parametrize("folder", ["", "offline/", "improved/"])
def test_the_animals_are_the_ten_of_the_article(folder: str):
    settings = read(f"{folder}animals")
    assert settings.filter.keep == [
        *("bear", "chimp", "giraffe", "gorilla", "llama", "ostrich", "porcupine", "skunk", "triceratops", "zebra")
    ]
    # Caltech-256 numbers its classes, and says 134.llama-101.
    renamed = settings.dataset.layout.rename
    assert [re.sub(r"^\d{3}\.|-101$", "", name) for name in renamed] == list(renamed.values()) == settings.filter.keep
