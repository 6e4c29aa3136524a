"""A killed run continues with the next `dvc repro`, and ends in the same bytes as an undisturbed run."""

import os
import random
import re
import signal
from pathlib import Path

from background import Background, started
from clone import Clone
from small_run import STAGES, Run

from boatyard.features.store import RECORD

# Draws the moments at which the run is killed.
SEED = int(os.environ.get("KILL_SEED", "0"))
KILLS = 20

# Enough views and epochs to kill each part in the middle.
LONGER = {"features.views": 40, "train.epochs": 20, "train.patience": 20, "finetune.epochs": 3}


def moments(run: Run) -> list[tuple[str, float]]:
    """When to kill: one random moment in each twentieth of the run, as a stage and the seconds since its start.

    The stage is "" for the time before the first stage.
    """
    started = {"": 0.0} | run.started
    generator = random.Random(SEED)
    chosen = [(number + generator.random()) / KILLS * run.seconds for number in range(KILLS)]
    stages = [max((name for name in started if started[name] <= at), key=started.__getitem__) for at in chosen]
    return [(stage, at - started[stage]) for stage, at in zip(stages, chosen, strict=True)]


def test_a_run_killed_twenty_times_ends_in_the_bytes_of_an_undisturbed_run(run: Run, tmp_path: Path) -> None:
    clone = run.fresh(tmp_path / "clone", tmp_path / "home")
    print(f"KILL_SEED={SEED}")
    for stage, seconds in moments(run):
        kill(clone, stage, seconds)

    with started(clone, "dvc", "repro") as last:
        last.wait(300)
    if repaired(clone, last):
        clone.repro()

    assert clone.results() == run.clone.results()
    assert clone.changed_stages() == set()
    assert left_behind(clone) == []


def kill(clone: Clone, stage: str, seconds: float) -> None:
    """Start `dvc repro`, and kill it with all its processes `seconds` after the start of `stage` or of a later stage.

    Since earlier work is not repeated, the run may end before that. Then run the stage again, and kill it after half
    the time.
    """
    awaited = [f"Running stage '{name}'" for name in STAGES[STAGES.index(stage) :]] if stage else [""]
    options: tuple[str, ...] = ()
    while True:
        with started(clone, "dvc", "repro", *options) as repro:
            repro.wait_until(lambda: repro.ended or any(text in repro.output for text in awaited))
            repro.wait(seconds)
            repro.kill()
        print(f"{stage or 'dvc'} +{seconds:.1f} s: status {repro.process.returncode}, in {last_stage(repro)}")
        if repro.process.returncode == -signal.SIGKILL:
            return
        if not repaired(clone, repro):
            assert repro.process.returncode == 0, repro.output
            options, seconds = ("--force", "--single-item", stage), seconds / 2


def last_stage(repro: Background) -> str:
    return (re.findall(r"Running stage '(\w+)'", repro.output) or ["none"])[-1]


def repaired(clone: Clone, repro: Background) -> bool:
    """Whether DVC was killed while it wrote a file of its own. If so, do what docs/robustness.md advises."""
    if "Unable to read RWLock-file" in repro.output:
        clone.run("rm", ".dvc/tmp/rwlock")
    elif re.search(r"dvc\.lock' (is invalid|validation failed)", repro.output):
        clone.run("git", "restore", "dvc.lock")
    else:
        return False
    return True


def left_behind(clone: Clone) -> list[Path]:
    """Half-written files outside .dvc."""
    return [path for path in clone.folder.rglob("*.part") if not path.is_relative_to(clone.folder / ".dvc")]


def test_a_run_killed_three_times_repeats_no_work(run: Run, tmp_path: Path) -> None:
    """It is killed in the middle of featurize, of training the head, and of fine-tuning."""
    whole = run.clone.copy(tmp_path / "whole")
    for key, value in LONGER.items():
        whole.set_param(key, value)
    clone = whole.copy(tmp_path / "killed")
    whole.repro("train")

    with started(clone, "dvc", "repro", "train") as repro:
        repro.wait_until(lambda: stored_rows(clone) > 700)
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
    assert (
        len(list((clone.folder / ".work/finetuning").glob("*.safetensors"))) == 1
    )  # from which the next run continues
    output = clone.repro("train").output

    assert "finetune epoch  21" in output  # the epochs of the killed run are printed again
    assert {name: clone.lock()[name] for name in ("featurize", "train")} == {
        name: whole.lock()[name] for name in ("featurize", "train")
    }
    assert left_behind(clone) == []
    assert not list((clone.folder / ".work/finetuning").glob("*"))


def stored_rows(clone: Clone) -> int:
    """The number of rows of features in the work folder."""
    return sum(index.stat().st_size // RECORD for index in clone.folder.glob(".work/features/*/index*.bin"))


def views_line(output: str) -> str:
    return next(line for line in output.splitlines() if " views went through " in line)
