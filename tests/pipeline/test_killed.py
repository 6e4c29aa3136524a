"""A run that is killed goes on with the next `dvc repro`, and ends in the bytes of one that was left alone."""

import os
import random
import re
import signal
from pathlib import Path

from background import Background, started
from clone import Clone
from small_run import STAGES, Run

from boatyard.features.store import RECORD

# Where the moments fall; another seed draws others.
SEED = int(os.environ.get("KILL_SEED", "0"))
KILLS = 20

# Enough views and epochs that there is a middle to kill in.
LONGER = {"features.views": 40, "train.epochs": 20, "train.patience": 20, "finetune.epochs": 3}


def moments(run: Run) -> list[tuple[str, float]]:
    """Where to kill: a moment from each twentieth of the run, as a stage and the seconds since it has begun.

    The stage is "" for what DVC does before the first.
    """
    begun = {"": 0.0} | run.begun
    chance = random.Random(SEED)
    chosen = [(number + chance.random()) / KILLS * run.seconds for number in range(KILLS)]
    stages = [max((name for name in begun if begun[name] <= moment), key=begun.__getitem__) for moment in chosen]
    return [(stage, moment - begun[stage]) for stage, moment in zip(stages, chosen, strict=True)]


def test_a_run_killed_twenty_times_ends_in_the_bytes_of_one_left_alone(run: Run, tmp_path: Path) -> None:
    clone = run.fresh(tmp_path / "clone", tmp_path / "home")
    print(f"KILL_SEED={SEED}")
    for stage, seconds in moments(run):
        kill(clone, stage, seconds)

    with started(clone, "dvc", "repro") as last:
        last.wait(300)
    if is_mended(clone, last):
        clone.repro()

    assert clone.results() == run.clone.results()
    assert clone.changed_stages() == set()
    assert left_behind(clone) == []


def kill(clone: Clone, stage: str, seconds: float) -> None:
    """Start `dvc repro`, and kill it and all that it started so long after the stage has begun, or a later one.

    A run may be over by then, since what earlier ones have done is not done again: then the stage is run once more, and
    killed after half the time.
    """
    begun = [f"Running stage '{name}'" for name in STAGES[STAGES.index(stage) :]] if stage else [""]
    options: tuple[str, ...] = ()
    while True:
        with started(clone, "dvc", "repro", *options) as repro:
            repro.wait_until(lambda: repro.over or any(text in repro.output for text in begun))
            repro.wait(seconds)
            repro.kill()
        print(f"{stage or 'dvc'} +{seconds:.1f} s: status {repro.process.returncode}, at {place(repro)}")
        if repro.process.returncode == -signal.SIGKILL:
            return
        if not is_mended(clone, repro):
            assert repro.process.returncode == 0, repro.output
            options, seconds = ("--force", "--single-item", stage), seconds / 2


def place(repro: Background) -> str:
    """The stage that was running last."""
    return (re.findall(r"Running stage '(\w+)'", repro.output) or ["none"])[-1]


def is_mended(clone: Clone, repro: Background) -> bool:
    """Do what docs/robustness.md says where DVC was killed while it wrote a file of its own, if it was."""
    if "Unable to read RWLock-file" in repro.output:
        clone.run("rm", ".dvc/tmp/rwlock")
    elif re.search(r"dvc\.lock' (is invalid|validation failed)", repro.output):
        clone.run("git", "restore", "dvc.lock")
    else:
        return False
    return True


def left_behind(clone: Clone) -> list[Path]:
    """Half-written files, in the work folder too; DVC's own are its own."""
    return [path for path in clone.folder.rglob("*.part") if not path.is_relative_to(clone.folder / ".dvc")]


def test_a_run_killed_three_times_does_nothing_twice(run: Run, tmp_path: Path) -> None:
    """In the middle of featurize, of training the head and of fine-tuning."""
    whole = run.clone.copy(tmp_path / "whole")
    for key, value in LONGER.items():
        whole.set_param(key, value)
    clone = whole.copy(tmp_path / "killed")
    whole.repro("train")

    with started(clone, "dvc", "repro", "train") as repro:
        repro.wait_until(lambda: rows_kept(clone) > 700)
        repro.kill()
    assert clone.lock()["featurize"] == run.clone.lock()["featurize"]
    with started(clone, "dvc", "repro", "train") as repro:
        repro.wait_for("head epoch  10")
        repro.kill()
    computed, total = (int(word.replace(",", "")) for word in views_line(repro.output).split(" ")[0:3:2])
    assert 0 < computed < total - 400
    with started(clone, "dvc", "repro", "train") as repro:
        repro.wait_for("finetune epoch  22")
        repro.kill()
    assert len(list((clone.folder / ".work/finetuning").glob("*.pt"))) == 1  # what the next run goes on from
    output = clone.repro("train").output

    assert "finetune epoch  21" in output  # epochs of the killed run are told again
    assert {name: clone.lock()[name] for name in ("featurize", "train")} == {
        name: whole.lock()[name] for name in ("featurize", "train")
    }
    assert left_behind(clone) == []
    assert not list((clone.folder / ".work/finetuning").glob("*"))


def rows_kept(clone: Clone) -> int:
    """How many rows of features the work folder holds."""
    return sum(index.stat().st_size // RECORD for index in clone.folder.glob(".work/features/*/index*.bin"))


def views_line(output: str) -> str:
    return next(line for line in output.splitlines() if " views went through " in line)
