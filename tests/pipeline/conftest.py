"""One real run of the whole pipeline on drawn photos, shared by every test of this folder that looks at it."""

import time

import pytest
from clone import Clone
from small_run import Run, prepare


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that tests read from; a test that changes anything takes `clone`."""
    folder = tmp_path_factory.mktemp("pipeline")
    clone, drawn = prepare(folder / "clone", folder / "home")
    start = time.monotonic()
    repro = clone.repro()
    seconds = time.monotonic() - start
    status = clone.git("status", "--porcelain", "--untracked-files=all")
    clone.commit("Run")
    return Run(clone, drawn, repro, status, seconds)


@pytest.fixture(scope="module")
def clone(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the run, one for each test file."""
    return run.clone.copy(tmp_path_factory.mktemp("copy") / "clone")
