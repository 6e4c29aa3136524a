"""More epochs of fine-tuning continue the last run, found by dvc.lock in DVC's cache."""

import shutil
from pathlib import Path

from clone import Clone
from small_run import Run

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
