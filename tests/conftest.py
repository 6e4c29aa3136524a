"""Fixtures for all tests. No test sees a setting of the machine or of the person who runs the tests."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import properties  # noqa: F401  it registers the profile of `make fuzz`
import pytest
from PIL import Image

pytest_plugins = ["pipeline_run"]

PIPELINE, SLOW = (Path(__file__).parent / name for name in ("pipeline", "slow"))

# Processes started in the background ignore Ctrl-C, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/slow as slow, and start with tests/pipeline: under `pytest -n` it takes longest."""
    for item in items:
        if SLOW in item.path.parents:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: PIPELINE not in item.path.parents)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under `pytest -n`, run the tests of a file, and all of tests/pipeline, in one process: they share fixtures."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = config.rootpath / nodeid.partition("::")[0]
            return str(PIPELINE if PIPELINE in file.parents else file)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


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


@pytest.fixture
def photo(model_repository: Path) -> Path:
    """A photo in that copy."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 110, 3), dtype=np.uint8)
    path = model_repository / "photo.png"
    Image.fromarray(pixels).save(path)
    return path
