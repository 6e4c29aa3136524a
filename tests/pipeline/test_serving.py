"""Using the model of a run: its files give the answers that its metrics are of."""

import csv
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from clone import REPOSITORY, Clone
from small_run import Run

from boatyard import Classifier
from boatyard.evaluation.predictions import Prediction, read_predictions


def boatyard(clone: Clone, *arguments: str, fails: bool = False) -> str:
    """Run a command of the clone's own library; return its standard output."""
    return clone.run(
        sys.executable, "-m", "boatyard", *arguments, fails=fails, PYTHONPATH=str(clone.folder / "src")
    ).stdout


def predicted(clone: Clone, *arguments: str) -> dict[str, list[tuple[str, float]]]:
    """The answers by path relative to data/raw."""
    rows = [json.loads(line) for line in boatyard(clone, "predict", "--format", "jsonl", *arguments).splitlines()]
    return {
        row["path"].removeprefix("data/raw/"): [(place["label"], place["probability"]) for place in row["top"]]
        for row in rows
    }


def tabled(clone: Clone, name: str) -> dict[str, Prediction]:
    return {prediction.path: prediction for prediction in read_predictions(clone.folder / name)}


def test_predict_agrees_with_evaluate_on_every_test_photo(run: Run) -> None:
    evaluated = tabled(run.clone, "plots/predictions.csv")

    answers = predicted(run.clone, *(f"data/raw/{path}" for path in evaluated))

    assert answers == {path: list(prediction.top) for path, prediction in evaluated.items()}
    assert len(answers) > 10


def test_predict_with_tta_agrees_with_tta_evaluate(run: Run) -> None:
    evaluated = tabled(run.clone, "plots/tta_predictions.csv")

    answers = predicted(run.clone, "--tta", *(f"data/raw/{path}" for path in evaluated))

    views = run.clone.read_json("metrics/tta_evaluate.json")["views"]
    assert views in (3, 2)  # 'random' takes tta.views, 'flips' both of the default's mirrors
    assert answers == {path: list(prediction.top) for path, prediction in evaluated.items()}


def test_both_model_files_give_identical_answers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.clone.folder)
    one, other = Classifier.load("models/model.onnx"), Classifier.load("models/model.safetensors")

    for path in list(tabled(run.clone, "plots/predictions.csv"))[:8]:
        assert np.array_equal(one(f"data/raw/{path}").log_probabilities, other(f"data/raw/{path}").log_probabilities)


@pytest.mark.slow  # where tests run one at a time
def test_the_first_answer_comes_within_a_second_and_a_half(run: Run) -> None:
    photo = f"data/raw/{next(iter(tabled(run.clone, 'plots/predictions.csv')))}"
    times = []
    for _ in range(3):
        start = time.perf_counter()
        boatyard(run.clone, "predict", photo)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.5


def test_predict_does_not_import_torch(run: Run) -> None:
    photo = f"data/raw/{next(iter(tabled(run.clone, 'plots/predictions.csv')))}"
    command = [sys.executable, "-X", "importtime", "-m", "boatyard", "predict", photo]
    imported = run.clone.run(*command, PYTHONPATH=str(run.clone.folder / "src")).stderr
    assert re.search(r"\| +onnxruntime\b", imported)
    assert not re.search(r"\| +(torch|torchvision|timm|matplotlib|gradio|dvc)\b", imported)


@pytest.mark.slow
def test_the_export_command_writes_the_same_files_as_the_stage(clone: Clone) -> None:
    models = [clone.folder / "models" / name for name in ("model.onnx", "model.onnx_data")]
    made = [path.read_bytes() for path in models]
    for path in models:
        path.unlink()

    output = boatyard(clone, "export")

    assert [path.read_bytes() for path in models] == made
    agreement, weights = output.splitlines()
    assert re.fullmatch(r"models/model\.onnx: on \d+ photos, no probability differs .* by more than 0\.0001", agreement)
    assert weights == "models/model.onnx_data: its backbone's weights; keep both in the same folder"
    boatyard(clone, "export", "--model", "models/model.safetensors", "--photos", "data/raw/squares")
    assert [path.read_bytes() for path in models] == made


def test_export_without_photos_is_a_one_line_error(clone: Clone, tmp_path: Path) -> None:
    (clone.folder / "data/splits.csv").rename(tmp_path / "splits.csv")
    done = clone.run(*(sys.executable, "-m", "boatyard", "export"), fails=True, PYTHONPATH=str(clone.folder / "src"))
    (tmp_path / "splits.csv").rename(clone.folder / "data/splits.csv")

    assert done.returncode == 2
    assert done.stderr.startswith("error: data/splits.csv does not exist")


def test_the_model_card_has_the_figures_of_the_run(run: Run) -> None:
    card = (run.clone.folder / "models/MODEL_CARD.md").read_text(encoding="utf-8")
    metrics = run.clone.read_json("metrics/evaluate.json")

    assert f"**{100 * metrics['top1']:.1f} %**" in card
    assert f"on {metrics['images']} photos not used in training" in card
    assert "one of 3 classes: discs, squares, stripes." in card
    assert "data licence: private" in card


@pytest.mark.slow
def test_the_code_of_the_python_page_runs(run: Run) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/python.md").read_text(encoding="utf-8"), re.DOTALL)

    done = run.clone.run(sys.executable, "-c", "\n".join(blocks), PYTHONPATH=str(run.clone.folder / "src"))

    assert len(blocks) == 7
    assert re.search(r"^epoch 1: training loss \d\.\d{3}, validation top-1 [01]\.\d{3}$", done.stdout, re.MULTILINE)
    assert "not a photo in a known format" in done.stdout
    with (run.clone.folder / "plots/predictions.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    assert done.stdout.startswith(f"{first['predicted']} ")
