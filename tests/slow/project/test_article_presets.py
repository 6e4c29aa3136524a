"""The articles' presets train their recipe and write all that docs/articles.md names, with random weights."""

from pathlib import Path

import drawn_photos
import pytest
from clone import Clone
from small_run import STAGES

from boatyard.core import files
from boatyard.models import backbones
from boatyard.models.network import head, parameter_count

CLASSES = len(drawn_photos.CLASSES)
# What drawn photos and the lack of a network make necessary, and fewer views, for the time.
CHANGES = {
    "dataset": {"source": "folder", "licence": "private", "layout": {"kind": "folders", "root": "."}},
    "filter": {"min_images": 8, "keep": [], "drop": []},
    "model.weights": "none",
    "features.views": 2,
    "evaluate.resamples": 200,
}


@pytest.mark.parametrize(
    ("name", "trained", "total"),
    [
        ("boats", 2048 * 256 + 256 + 256 * CLASSES + CLASSES, 24_034_375 - 257 * (7 - CLASSES)),
        ("animals", 2048 * 256 + 256 + 256 * CLASSES + CLASSES, 24_034_375 - 257 * (7 - CLASSES)),
        ("caltech101", 4096 * 256 + 256 + 256 * CLASSES + CLASSES, 135_335_076 - 257 * (100 - CLASSES)),
    ],
)
def test_an_articles_recipe_runs_to_the_report(name: str, trained: int, total: int, tmp_path: Path):
    clone = Clone.of_working_tree(tmp_path / "clone", tmp_path / "home")
    drawn_photos.draw(clone.folder / "data/incoming")
    clone.run("cp", f"presets/{name}.yaml", "params.yaml")
    for key, value in CHANGES.items():
        clone.set_param(key, value)
    if name == "animals":
        clone.set_param("split", {"method": "counts", "train": 12, "validation": 4})

    repro = clone.repro()

    assert repro.ran == set(STAGES)
    metrics = files.read_json(clone.folder / "metrics/train.json")
    assert (metrics["parameters_trained"], metrics["parameters"]) == (trained, total)
    assert len((clone.folder / "plots/per_class.csv").read_text(encoding="utf-8").splitlines()) == 1 + CLASSES
    assert "random views of one training photo" in (clone.folder / "report/index.html").read_text(encoding="utf-8")


def test_vgg16_with_the_articles_head_has_the_articles_parameters():
    backbone = backbones.create("vgg16", "none")
    new = head(backbone.width, 256, 0.4, 100)
    assert parameter_count(new) == 1_074_532
    assert parameter_count(backbone.network) + parameter_count(new) == 135_335_076
