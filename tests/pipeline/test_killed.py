"""A run that is killed goes on with the next `dvc repro`, and ends in the bytes of one that was left alone."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from background import Background, started
from clone import Clone
from small_run import STAGES, Run

# Other moments, which are no more likely to matter than these: docs/interruptions.md.
SEED, KILLS = int(os.environ.get("KILL_SEED", "0")), 20
# How long each stage of the small run takes, beside the others.
SECONDS = {
    **{"download": 1.1, "filter": 1.7, "split": 1.1, "featurize": 16.5},
    **{"train": 6.1, "evaluate": 14.9, "tta_evaluate": 10.7, "report": 4.7},
}

# Enough views and epochs that there is a middle to kill in.
LONGER = {"features.views": 40, "train.epochs": 20, "train.patience": 20, "finetune.epochs": 3}


def moments(seconds: float) -> list[tuple[str, float]]:
    """The stages to kill in, and how many seconds after the stage has begun: one of each twentieth of a run."""
    chance = random.Random(SEED)
    chosen = []
    for number in range(KILLS):
        place = (number + chance.random()) / KILLS * sum(SECONDS.values())
        for stage in STAGES:
            if place < SECONDS[stage]:
                break
            place -= SECONDS[stage]
        chosen.append((stage, place * seconds / sum(SECONDS.values())))
    return chosen


def test_a_run_killed_twenty_times_ends_in_the_bytes_of_one_left_alone(run: Run, tmp_path: Path) -> None:
    clone = run.fresh(tmp_path / "clone", tmp_path / "home")
    story = [f"seed {SEED}"]
    killed = 0
    for stage, seconds in moments(run.seconds):
        # A kill that came after the stage's end has let the run get further than planned.
        begun = [f"Running stage '{name}'" for name in STAGES[STAGES.index(stage) :]]
        with started(clone, "dvc", "repro") as repro:
            repro.wait_until(lambda: repro.over or any(text in repro.output for text in begun))
            repro.wait(seconds)
            killed += not repro.over
            repro.kill()
        story.append(f"{stage} +{seconds:.2f} s: {repro.process.returncode} {repair(clone, repro)}\n{repro.output}")

    last = clone.run("dvc", "repro")

    told = "\n".join([*story, last.stdout, last.stderr])
    assert killed >= KILLS * 0.6, told
    assert clone.results() == run.clone.results(), told
    assert clone.changed_stages() == set(), told
    assert left_behind(clone) == [], told


def repair(clone: Clone, repro: Background) -> str:
    """Do what docs/interruptions.md says where DVC was killed while it wrote one of two files of its own."""
    assert repro.process.returncode in (0, -signal.SIGKILL), repro.output
    done = []
    for name, mend in (("dvc.lock", ("git", "restore", "dvc.lock")), (".dvc/tmp/rwlock", ("rm", ".dvc/tmp/rwlock"))):
        path = clone.folder / name
        if path.exists() and path.stat().st_size % 8192 == 0:  # empty, or cut off where a buffer ended
            clone.run(*mend)
            done.append(f"mended {name}")
    return ", ".join(done)


def left_behind(clone: Clone) -> list[Path]:
    """Half-written files, in the work folder too."""
    return [path for path in clone.folder.rglob("*.part") if not path.is_relative_to(clone.folder / ".dvc")]
