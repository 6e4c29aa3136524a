"""Stages run alone: a user's mistake is a one-line error and exit status 2, and no unneeded library is imported."""

import re
import shutil
from pathlib import Path

import pytest
from clone import Clone
from small_run import Run

from boatyard.core import paths


@pytest.fixture
def broken(clone: Clone) -> Clone:
    clone.git("checkout", "--quiet", ".")
    return clone


def replace(clone: Clone, old: str, new: str) -> None:
    path = clone.folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    "stage", ["download", "filter", "split", "featurize", "train", "evaluate", "tta_evaluate", "report"]
)
def test_every_stage_refuses_an_unknown_key(broken: Clone, stage: str) -> None:
    replace(broken, "resamples:", "resample:")

    done = broken.run("python", f"stages/{stage}.py", fails=True)

    assert done.returncode == 2
    assert done.stderr == "error: params.yaml: evaluate.resample: unknown key; did you mean 'resamples'? (and 1 more)\n"
    assert done.stdout == ""


def test_repro_shows_the_error_and_a_corrected_file_restores_everything(broken: Clone) -> None:
    before = broken.lock()
    broken.set_param("train.lr", -1.0)

    done = broken.run("dvc", "repro", fails=True)

    assert "error: params.yaml: train.lr: -1.0 is invalid; input should be greater than 0\n" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    # DVC has removed the stage's outputs before it ran the stage; it restores them from its cache.
    assert not (broken.folder / "models/model.safetensors").exists()
    broken.set_param("train.lr", 0.001)
    assert broken.repro().ran == set()
    assert broken.lock() == before
    assert broken.git("status", "--porcelain") == ""
    assert (broken.folder / "models/model.safetensors").exists()


def test_no_photos_is_a_one_line_error(run: Run, tmp_path: Path) -> None:
    empty = Clone.of_working_tree(tmp_path / "clone", run.clone.home)
    empty.set_param("dataset", run.clone.params()["dataset"])

    done = empty.run("python", "stages/download.py", fails=True)

    assert done.returncode == 2
    assert done.stderr.startswith("error: data/incoming has no files: put your photos there, one folder per class")
    assert done.stderr.count("\n") == 1


def test_a_missing_input_is_an_error_that_says_how_to_get_it(run: Run, tmp_path: Path) -> None:
    fresh = Clone.of_working_tree(tmp_path / "clone", run.clone.home)

    done = fresh.run("python", "stages/split.py", fails=True)

    assert done.returncode == 2
    assert done.stderr == (
        "error: data/catalog.csv does not exist: run `dvc repro` to make it, or `dvc pull` to fetch it\n"
    )


def test_a_stage_runs_the_library_of_its_own_checkout(broken: Clone) -> None:
    """It does not use the installed one: `dvc exp run --queue` runs in a copy of the experiment's commit."""
    library = broken.folder / "src/boatyard/__init__.py"
    library.write_text('raise SystemExit("this checkout\'s own")\n', encoding="utf-8")

    assert "this checkout's own" in broken.run("python", "stages/split.py", fails=True).stderr


@pytest.mark.parametrize("stage", ["download", "filter", "split", "check_labels", "report"])
def test_a_stage_without_a_network_does_not_import_torch(broken: Clone, stage: str) -> None:
    imported = broken.run("python", "-X", "importtime", f"stages/{stage}.py").stderr

    assert "boatyard.core.files" in imported
    assert not re.search(r"\| +(torch|torchvision|timm|onnx|onnxruntime)\b", imported)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["featurize", "evaluate", "tta_evaluate"])
def test_a_stage_with_an_exported_backbone_does_not_import_torch(broken: Clone, stage: str) -> None:
    """Its features are stored, or, if they are gone, ONNX Runtime computes them: with the same outputs."""
    before = outputs(broken)
    for features in ("stored", "computed"):
        imported = broken.run("python", "-X", "importtime", f"stages/{stage}.py", BOATYARD_DEVICE="cpu").stderr
        assert "boatyard.features.embeddings" in imported
        assert "onnxruntime" in imported or (stage, features) == ("featurize", "stored")
        assert not re.search(r"\| +(torch|torchvision|timm)\b", imported)
        assert outputs(broken) == before
        shutil.rmtree(broken.folder / paths.FEATURE_ROWS)
    # If the graph is gone too, the network is built from the model file or from params.yaml.
    shutil.rmtree(broken.folder / paths.GRAPHS)
    broken.run("python", f"stages/{stage}.py", BOATYARD_DEVICE="cpu")
    assert outputs(broken) == before
    assert any((broken.folder / paths.GRAPHS).iterdir())


def outputs(clone: Clone) -> dict[str, bytes]:
    made = [paths.EVALUATE_METRICS, paths.TTA_METRICS, paths.PREDICTIONS, paths.TTA_PREDICTIONS]
    made += [paths.FEATURES / name for name in ("plain.npy", "views.npy", "photos.csv")]
    return {path.name: (clone.folder / path).read_bytes() for path in made}
