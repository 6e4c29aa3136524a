"""A scratch folder in which a benchmark runs this pipeline, on photos and settings of its own."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from boatyard.core import files, paths
from boatyard.core.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every benchmark is told: the settings and the photos."""
    parser.add_argument("preset", type=Path, help="a complete params.yaml, such as presets/boats.yaml")
    parser.add_argument("archive", type=Path, help="zip or tar with a folder of photos per class")
    parser.add_argument("--root", default=".", help="the folder in the archive that holds the class folders")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="other settings than the preset's: train.lr=0.01 …"
    )


def prepare(folder: Path) -> None:
    """Make `folder` a DVC repository with this one's code, without git."""
    for name in ("stages", "src", "models/weights"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    (folder / paths.INCOMING).mkdir(parents=True, exist_ok=True)
    if not (folder / ".dvc").exists():
        dvc(folder, "init", "--no-scm")
        for option in ("core.analytics", "core.check_update"):
            dvc(folder, "config", option, "false")


def environment(folder: Path) -> dict[str, str]:
    """What a command needs to run the folder's own code: the stages say `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src")}


def dvc(folder: Path, *command: str) -> None:
    """Run DVC in `folder`; a stage that fails has said why, so its exit status becomes ours."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *command, "--quiet"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        sys.exit(done.returncode)


def read_metrics(folder: Path, stage: str) -> dict[str, Any]:
    return files.read_json(folder / f"metrics/{stage}.json")


def from_archive(archive: Path, root: str) -> dict[str, Any]:
    """The section `dataset` for an archive with a folder of photos per class."""
    try:
        sha256 = files.sha256_of(archive)
    except OSError as error:
        raise UserError(f"{archive} can't be read ({error.strerror}): name a zip or a tar of photos") from None
    return {
        "source": "url",
        "archives": [{"url": archive.resolve().as_uri(), "sha256": sha256}],
        "licence": "as published",
        "layout": {"kind": "folders", "root": root},
    }


def write_params(folder: Path, preset: Path, dataset: dict[str, Any], assignments: Iterable[str]) -> None:
    """Write params.yaml: the preset with another section `dataset`, and with `assignments`, key=value each.

    Raises:
        UserError: the preset can't be read, or has no such setting.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    settings = files.read_yaml(preset) | {"dataset": dataset}
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        *sections, name = key.split(".")
        place: Any = settings
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise UserError(f"--set {assignment}: {preset} has no setting {key!r}")
        try:
            place[name] = YAML(typ="safe").load(value)
        except YAMLError:
            raise UserError(f"--set {assignment}: not a value as YAML writes it") from None
    with (folder / paths.PARAMS).open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)
