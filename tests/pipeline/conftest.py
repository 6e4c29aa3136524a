"""One real run of the whole pipeline on drawn photos, shared by every test of this folder that looks at it."""

import pytest
from clone import Clone, Repro
from remote_kinds import PAGE
from small_run import Run, prepare


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that tests read from; a test that changes anything takes `clone`."""
    folder = tmp_path_factory.mktemp("pipeline")
    clone, drawn = prepare(folder / "clone", folder / "home")
    repro = clone.repro()
    status = clone.git("status", "--porcelain", "--untracked-files=all")
    clone.commit("Run")
    return Run(clone, drawn, repro, status)


@pytest.fixture(scope="module")
def clone(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the run, one for each test file."""
    return run.clone.copy(tmp_path_factory.mktemp("copy") / "clone")


@pytest.fixture(scope="session")
def own_photos(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the run whose photos DVC has and git has not, as docs/sharing.md tells; only to be copied or read."""
    clone = run.clone.copy(tmp_path_factory.mktemp("own_photos") / "clone")
    clone.run("sh", "-ec", "git rm --quiet -r --cached data/incoming/*/")
    add, repro, commit = PAGE.commands("Your own photos")
    clone.run("sh", "-ec", add)
    assert Repro(clone.run("sh", "-ec", repro).stdout).ran == {"download"}
    clone.run("sh", "-ec", commit)
    return clone
