"""The model card describes the run, and its code uses the model without Boatyard."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pretend_run
import pytest
import small_model
from PIL import Image
from ruamel.yaml import YAML

from boatyard import Classifier
from boatyard.core.files import write_bytes
from boatyard.export import onnx_file
from boatyard.models import model_file
from boatyard.models.model_header import Header
from boatyard.report.markdown import model_card
from boatyard.report.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretend_run.read(pretend_run.make(tmp_path_factory.mktemp("run"), pretend_run.SIX, 20))


def header(run: Run, **changes: object) -> Header:
    about = Header(run.labels, "efficientnet_lite0", 256, 0.4, pretend_run.PREPROCESSING, 1.0, {})
    return Header(**{**vars(about), **changes})


def test_its_numbers_are_the_runs(run: Run) -> None:
    text = model_card(run, header(run))

    assert f"**{100 * run.test['top1']:.1f} %**, 95 % interval" in text
    assert f"{run.test['images']} photos not used in training" in text
    assert "3,702,214 parameters, of which 331,210 were trained here" in text
    assert text.count("data licence: CC BY 4.0") == 1
    assert f"SHA-256 of the download: `{'ab' * 32}`" in text
    worst = min(run.results, key=lambda row: (row.top1, row.label))
    assert f"It does worst on {worst.label}, {100 * worst.top1:.1f} %" in text
    for label in run.labels:
        assert f"\n| {label} | " in text


def test_it_describes_the_input(run: Run) -> None:
    size = pretend_run.PREPROCESSING.size
    squashed = replace(pretend_run.PREPROCESSING, crop="squash")

    assert f"| input | the central square of a photo, {size} × {size} pixels, RGB |" in model_card(run, header(run))
    assert f"| input | the whole photo, squeezed to a square, {size} × {size} pixels, RGB |" in model_card(
        run, header(run, preprocessing=squashed)
    )


def test_its_metadata_block_is_yaml(run: Run) -> None:
    _, block, _ = model_card(run, header(run)).split("---\n", 2)

    assert YAML(typ="safe").load(block)["pipeline_tag"] == "image-classification"


def test_many_classes_are_not_all_named_in_a_sentence(run: Run) -> None:
    text = model_card(run, header(run, classes=[f"class {number}" for number in range(1000)]))

    assert "one of 1,000 classes: class 0, class 1," in text
    assert "class 19 and 980 more." in text


def test_hostile_names_stay_text(run: Run) -> None:
    text = model_card(run, header(run, classes=["<script>alert(1)", "[x](http://x)", "a|b", "`c`"]))

    assert "<script" not in text
    assert "[x](" not in text
    assert "a\\|b" in text


BACKBONES = [
    ("efficientnet_lite0", 64, 0.875, 8),
    ("timm/mobilenetv3_small_050", 64, 1.0, 0),
    ("resnet18", 48, 0.9, 8),
    ("squeezenet1_1", 64, 0.875, 0),
    ("vit_b_32", 64, 1.0, 8),
    ("googlenet", 64, 0.8, 0),
    ("efficientnet_lite0", 64, "squash", 0),
    ("resnet18", 48, "squash", 8),
    ("efficientnet_lite0+resnet18+squeezenet1_1", 64, 1.0, 0),
]


@pytest.mark.parametrize(("backbone", "size", "crop", "hidden"), BACKBONES)
def test_its_code_runs_as_shown_and_agrees_with_boatyard(
    run: Run, tmp_path: Path, backbone: str, size: int, crop: float | Literal["squash"], hidden: int
) -> None:
    network, about = small_model.network(backbone, size, crop, hidden)
    model_file.save(tmp_path / "model.safetensors", network, about)
    write_bytes(tmp_path / "model.onnx", onnx_file.build(small_model.graph(network, size), about))
    pixels = np.random.default_rng(3).integers(0, 256, (70, 110, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # rotated by 90°
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    answer = Classifier.load(tmp_path / "model.onnx")(tmp_path / "photo.jpg")

    blocks = re.findall(r"```python\n(.*?)\n```", model_card(run, about), re.DOTALL)

    assert len(blocks) == 2
    homes = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for home in homes.values():
        Path(home).mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    for code in blocks:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment | homes, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        label, probability = done.stdout.split()
        assert label == answer.label
        assert float(probability) == pytest.approx(answer.probability, abs=1e-4)
        assert "boatyard import" not in code
        lines = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
        assert len(lines) <= 17 + (5 * len(backbone.split("+")) if "+" in backbone else 0)
        if "onnxruntime" in code:  # its telemetry keeps an id in these folders
            assert [path for home in homes.values() for path in Path(home).rglob("*")] == []
