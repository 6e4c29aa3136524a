"""Fixtures for all tests. No test sees a setting of the machine or of the person who runs the tests."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import properties  # noqa: F401  it registers the profile of `make fuzz`
import pytest

pytest_plugins = ["pipeline_run"]

TESTS = Path(__file__).parent
PIPELINE = TESTS / "pipeline"

# Processes started in the background ignore Ctrl-C, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/slow as slow. Under `pytest -n`, run the tests of a file, and those of tests/pipeline, in
    one process, because they share fixtures; the latter first, because they take longest.
    """
    for item in items:
        file = item.path.relative_to(TESTS)
        if file.parts[0] == "slow":
            item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.xdist_group("pipeline" if file.parts[0] == "pipeline" else file.as_posix()))
    items.sort(key=lambda item: PIPELINE not in item.path.parents)


@pytest.fixture(autouse=True)
def _no_machine_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("BOATYARD_", "DVC_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _ctrl_c_stays_pytests() -> Iterator[None]:
    """A stage that a test runs in this process changes the handler."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def small_model_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a repository with a small model's files and nothing else; only to be read."""
    import small_model

    root = tmp_path_factory.mktemp("model")
    small_model.write(root)
    return root


@pytest.fixture
def model_repository(small_model_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the test runs."""
    root = tmp_path / "repository"
    shutil.copytree(small_model_files, root)
    monkeypatch.chdir(root)
    return root
