"""One real run of the whole pipeline on drawn photos, shared by all tests that read from it."""

import subprocess
import time

import pytest
from clone import Clone, Repro
from remote_kinds import PAGE
from small_run import Run, prepare


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run, for tests that only read; a test that changes anything uses `clone`."""
    folder = tmp_path_factory.mktemp("pipeline")
    clone, drawn = prepare(folder / "clone", folder / "home")
    repro, started, seconds = timed_repro(clone)
    status = clone.git("status", "--porcelain", "--untracked-files=all")
    clone.commit("Run")
    return Run(clone, drawn, repro, status, started, seconds)


def timed_repro(clone: Clone) -> tuple[Repro, dict[str, float], float]:
    """The output of `dvc repro`, the seconds from its start to the start of each stage, and to its end."""
    started, output = {}, ""
    start = time.monotonic()
    with subprocess.Popen(
        ["dvc", "repro"], cwd=clone.folder, env=clone.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            output += line
            started |= dict.fromkeys(Repro(line).ran, time.monotonic() - start)
    assert process.returncode == 0, output[-4000:]
    return Repro(output), started, time.monotonic() - start


@pytest.fixture(scope="module")
def clone(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the run, one for each test file."""
    return run.clone.copy(tmp_path_factory.mktemp("copy") / "clone")


@pytest.fixture(scope="session")
def own_photos(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the run with its photos in DVC and not in git, as docs/sharing.md describes; only to copy or read."""
    clone = run.clone.copy(tmp_path_factory.mktemp("own_photos") / "clone")
    clone.run("sh", "-ec", "git rm --quiet -r --cached data/incoming/*/")
    add, repro, commit = PAGE.commands("Your own photos")
    clone.run("sh", "-ec", add)
    assert Repro(clone.run("sh", "-ec", repro).stdout).ran == {"download"}
    clone.run("sh", "-ec", commit)
    return clone
