"""More epochs of fine-tuning continue the last run, found by dvc.lock in DVC's cache; a new run starts from a model."""

import re
import shutil
from pathlib import Path

from clone import Clone
from small_run import Run

from boatyard.core import tables

SETTINGS = {"finetune.schedule": "constant", "finetune.patience": 9, "train.epochs": 3, "finetune.blocks": 2}
STATE = "data/finetuning_state.safetensors"


def prepared(run: Run, folder: Path, epochs: int) -> Clone:
    clone = run.clone.copy(folder)
    for key, value in {**SETTINGS, "finetune.epochs": epochs}.items():
        clone.set_param(key, value)
    return clone


def test_more_epochs_continue_the_last_run_to_the_same_lock_as_one_long_run(run: Run, tmp_path: Path) -> None:
    long, clone = prepared(run, tmp_path / "long", 3), prepared(run, tmp_path / "clone", 1)
    whole = long.repro("train").output
    assert "continue" not in whole
    clone.repro("train")
    assert not list((clone.folder / ".work/finetuning").glob("*"))
    (clone.folder / STATE).unlink()
    clone.set_param("finetune.epochs", 3)

    output = clone.repro("train").output

    assert "fine-tuning continues after epoch 4\n" in output
    assert "trained 5 epochs in " in output  # three of the head, which are not stored, and two of fine-tuning
    assert clone.lock()["train"] == long.lock()["train"]
    # One epoch more changes none of the earlier ones.
    shutil.rmtree(clone.folder / ".dvc/cache/files/md5")
    clone.set_param("finetune.epochs", 4)
    assert "fine-tuning continues" not in clone.repro("--force", "--single-item", "train").output


def test_a_model_of_an_earlier_run_gives_its_backbone_and_its_head(run: Run, tmp_path: Path) -> None:
    clone = run.clone.copy(tmp_path / "clone")
    single = "models/weights/mine.safetensors"
    clone.run("python", "-m", "boatyard", "export", "--single-file", "--output", single, PYTHONPATH="src")
    clone.set_param("model.weights", "mine.safetensors")
    clone.set_param("train.epochs", 2)

    output = clone.repro("train").output

    # The run's backbone was frozen: the same weights and views, whose features are in .work.
    assert re.search(r"^0 of \d+ views went through", output, re.MULTILINE)
    assert "the backbone and the head start from mine.safetensors\n" in output
    before, now = (first_train_loss(folder) for folder in (run.clone.folder, clone.folder))
    assert now < before / 2  # from the seed the first epoch would be the same


def first_train_loss(folder: Path) -> float:
    return float(tables.read_csv(folder / "plots/history.csv")[0]["train_loss"])
