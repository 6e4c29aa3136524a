"""`pip install boatyard` without extras: `predict` runs in an environment that has neither torch nor DVC.

Needs the package index, as `make` does, and asks it for the versions of requirements.txt.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import drawn_photos
import pytest

REPOSITORY = Path(__file__).parents[3]
MEGABYTES = 300  # measured: 249 with Python 3.11 on Linux x86-64, pip and setuptools included


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel of this tree."""
    folder = tmp_path_factory.mktemp("light")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    shutil.copytree(REPOSITORY / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    # Without hashes, in which the wheel would need one.
    pinned = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9][^\\\n]*==[^\\\n]*?) *\\?$", pinned, re.MULTILINE)
    assert len(pins) > 100
    (folder / "constraints.txt").write_text("\n".join(pins))
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=folder, check=True)
    (wheel,) = (folder / "dist").iterdir()
    install = ["install", "--quiet", "--constraint", "constraints.txt", wheel]
    subprocess.run([folder / "venv/bin/python", "-m", "pip", *install], cwd=folder, check=True)
    return folder / "venv"


def run(environment: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [environment / "bin/boatyard", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_predict_gives_the_probabilities_of_the_full_installation(environment: Path, model_repository: Path) -> None:
    (model_repository / "discs").mkdir()
    for number in range(3):
        drawn_photos.draw_photo(model_repository, "discs", number)
    for options in ([], ["--tta-policy", "random"]):
        arguments = ["predict", "discs", "--format", "csv", *options]
        command = [sys.executable, "-m", "boatyard", *arguments]
        full = subprocess.run(command, cwd=model_repository, capture_output=True, text=True, check=True)

        light = run(environment, model_repository, *arguments)

        assert (light.returncode, light.stderr) == (0, "")
        assert light.stdout == full.stdout
        assert len(light.stdout.splitlines()) == 4


def test_it_has_neither_torch_nor_dvc_and_is_small(environment: Path) -> None:
    find = "import importlib.util as u; print([m for m in {!r} if u.find_spec(m)])"
    heavy = ["torch", "torchvision", "timm", "dvc", "scipy", "matplotlib", "gradio", "onnxscript"]
    code = find.format([*heavy, "onnxruntime"])
    found = subprocess.run([environment / "bin/python", "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "['onnxruntime']"
    size = sum(path.lstat().st_size for path in environment.rglob("*") if path.is_file())
    assert size < MEGABYTES * 2**20


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        ("predict discs --model models/model.safetensors", "torch", "train"),
        ("predict discs --picture drawn", "matplotlib", "picture"),
        ("export", "torch", "train"),
        ("serve", "jinja2", "serve"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(
    arguments: str, package: str, extra: str, environment: Path, model_repository: Path
) -> None:
    (model_repository / "discs").mkdir()
    drawn_photos.draw_photo(model_repository, "discs", 0)

    done = run(environment, model_repository, *arguments.split())

    message = f"error: {package} is not installed, and this needs it: pip install 'boatyard[{extra}]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
