"""A run that is killed goes on with the next `dvc repro`, and ends in the bytes of one that was left alone."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from clone import Clone
from small_run import Run

# Enough views and epochs that there is a middle to kill in.
SETTINGS = {"features.views": 40, "train.epochs": 20, "train.patience": 20, "finetune.epochs": 3}


def rows_kept(clone: Clone) -> int:
    """How many rows of features the work folder holds."""
    return sum(len(keys.read_bytes().splitlines()) for keys in clone.folder.glob(".work/features/*/keys*.txt"))


def lines_with(text: str) -> Callable[[Clone], bool]:
    return lambda clone: text in (clone.home / "out.txt").read_text()


def test_a_run_killed_three_times_ends_in_the_bytes_of_one_left_alone(run: Run, tmp_path: Path) -> None:
    whole = run.clone.copy(tmp_path / "whole")
    for key, value in SETTINGS.items():
        whole.set_param(key, value)
    killed = whole.copy(tmp_path / "killed")
    whole.repro("train")

    kill(killed, lambda clone: rows_kept(clone) > 700)  # in the middle of featurize
    assert killed.lock()["featurize"] == run.clone.lock()["featurize"]
    out = kill(killed, lines_with("head epoch  10"))
    computed, total = (int(word.replace(",", "")) for word in views_line(out).split(" ")[0:3:2])
    assert 0 < computed < total - 400
    kill(killed, lines_with("finetune epoch  22"))
    assert len(list((killed.folder / ".work/finetuning").glob("*.pt"))) == 1  # what the next run goes on from
    output = killed.repro("train").output

    assert "finetune epoch  21" in output  # epochs of the killed run are told again
    assert {name: killed.lock()[name] for name in ("featurize", "train")} == {
        name: whole.lock()[name] for name in ("featurize", "train")
    }
    assert not list((killed.folder / ".work").rglob("*.part"))
    assert not list((killed.folder / ".work/finetuning").glob("*"))


def views_line(output: str) -> str:
    return next(line for line in output.splitlines() if " views went through " in line)


def kill(clone: Clone, moment: Callable[[Clone], bool]) -> str:
    """Start `dvc repro`, and SIGKILL it and all that it started when `moment` says so; what it printed."""
    out = clone.home / "out.txt"
    with out.open("w") as file:
        process = subprocess.Popen(
            ["dvc", "repro", "train"],
            cwd=clone.folder,
            env=clone._environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 240
        while not moment(clone):
            assert process.poll() is None, f"over before the moment came:\n{out.read_text()[-3000:]}"
            assert time.monotonic() < end, f"the moment never came:\n{out.read_text()[-3000:]}"
            time.sleep(0.005)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return out.read_text()
