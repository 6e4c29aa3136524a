"""Two runs in one folder: the second names the first and ends, and the results are those of one run."""

from pathlib import Path

import psutil
from background import Background, started
from clone import Clone
from small_run import Run


def suspended(running: Background) -> psutil.Process:
    """The featurize stage of a running command, suspended while it computes."""
    running.wait_until(lambda: "featurizing:" in running.output)
    (stage,) = running.processes("stages/featurize.py")
    stage.suspend()
    return stage


def without_features(run: Run, folder: Path) -> Clone:
    """A copy of the run's clone in which featurize must run again."""
    clone = run.clone.copy(folder)
    clone.run("rm", "-r", ".work/features", "data/features", ".dvc/cache/runs")
    lock = clone.folder / "dvc.lock"
    lock.write_text(lock.read_text(encoding="utf-8").replace("  featurize:\n", "  gone:\n"), encoding="utf-8")
    return clone


def test_a_second_repro_names_the_first_and_does_not_disturb_it(run: Run, tmp_path: Path) -> None:
    clone = without_features(run, tmp_path / "clone")
    with started(clone, "dvc", "repro", "featurize") as first:
        stage = suspended(first)

        second = clone.run("dvc", "repro", "featurize", fails=True)

        assert f"(PID {first.process.pid}): " in second.stderr
        assert "is busy, it is being blocked by" in second.stderr
        stage.resume()
        first.wait(120)
    assert first.process.returncode == 0, first.output
    assert clone.lock()["featurize"] == run.clone.lock()["featurize"]


def test_a_stage_whose_dvc_was_killed_still_locks_out_a_second_one(run: Run, tmp_path: Path) -> None:
    """DVC's own lock ends with the killed process, while the stage goes on."""
    clone = without_features(run, tmp_path / "clone")
    with started(clone, "sh", "-c", "dvc repro featurize; sleep 600") as terminal:
        stage = suspended(terminal)
        (dvc,) = terminal.processes("repro")
        dvc.kill()

        second = clone.run("dvc", "repro", "featurize", fails=True)

        told = f"error: stage 'featurize' is already running in this folder (process {stage.pid}): "
        assert f"{told}wait until it has ended, or end it\n" in second.stderr
        stage.resume()
        psutil.wait_procs([stage], timeout=120)
    assert clone.repro("featurize").ran == {"featurize"}
    assert clone.lock()["featurize"] == run.clone.lock()["featurize"]
