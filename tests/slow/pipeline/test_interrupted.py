"""After Ctrl-C in a terminal, all processes end within two seconds and without a traceback."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from background import Background, started
from clone import Clone
from PIL import Image
from small_run import Run

from boatyard.features.store import RECORD

REPRO = ("dvc", "repro", "featurize")
STAGE = ("python", "stages/featurize.py")
PREDICT = ("python", "-m", "boatyard", "predict")
# If Ctrl-C interrupts DVC in the constructor of a progress bar, Python prints an ignored exception when it deletes the
# half-built bar (docs/robustness.md). This matches tracebacks with lines of DVC and tqdm alone.
HALF_A_BAR = re.compile(
    r"Exception ignored in: <function tqdm\.__del__ .*\nTraceback .*\n"
    r"(?:  File \".*/site-packages/(?:tqdm|dvc)/.*\n(?:    .*\n)+)+\w+: .*\n"
)


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Clone:
    """A copy of the run's clone without any work of featurize and train."""
    copy = run.clone.copy(tmp_path / "clone")
    copy.run("rm", "-r", ".work", "data/features")
    return copy


def press(running: Background) -> None:
    """Press Ctrl-C and check that all processes end in time. The caller checks the output."""
    pressed = time.monotonic()
    running.ctrl_c()
    running.process.wait(60)
    while running.processes() and time.monotonic() - pressed < 2:  # Python's resource tracker ends after the others
        time.sleep(0.01)
    assert running.processes() == []
    assert time.monotonic() - pressed < 2
    assert "Traceback" not in HALF_A_BAR.sub("", running.output)


def test_press_ignores_half_built_bars_only() -> None:
    half_a_bar = "from dvc.progress import Tqdm; bar = Tqdm.__new__(Tqdm); del bar"
    printed = subprocess.run([sys.executable, "-c", half_a_bar], capture_output=True, text=True, check=True).stderr

    assert HALF_A_BAR.fullmatch(printed)
    assert not HALF_A_BAR.search(printed.replace("/site-packages/dvc/", "/src/boatyard/"))
    assert not HALF_A_BAR.search(printed.partition("\n")[2])  # a traceback that Python did not ignore


@pytest.mark.parametrize("command", [("dvc", "repro", "train"), ("python", "stages/train.py")], ids=" ".join)
def test_while_a_stage_imports_its_libraries(copy: Clone, command: tuple[str, ...]) -> None:
    copy.set_param("train.lr", 0.5)
    with started(copy, *command) as running:
        running.wait_until(lambda: running.has_loaded("libtorch_cpu", "stages/train.py"))
        press(running)
    assert running.process.returncode != 0
    assert not (copy.folder / ".work/locks/train").exists()  # the imports had not ended
    assert ("failed to reproduce 'train'" in running.output) == (command[0] == "dvc")


@pytest.mark.parametrize("command", [REPRO, STAGE], ids=" ".join)
def test_while_a_stage_works(copy: Clone, command: tuple[str, ...]) -> None:
    copy.set_param("features.views", 200)
    with started(copy, *command) as running:
        running.wait_until(lambda: stored_rows(copy))
        press(running)
    assert running.process.returncode != 0
    assert 0 < stored_rows(copy) < 42 * 200
    assert ("failed to reproduce 'featurize'" in running.output) == (command == REPRO)


def stored_rows(clone: Clone) -> int:
    """The number of rows of features in the work folder."""
    return sum(index.stat().st_size // RECORD for index in clone.folder.glob(".work/features/*/index*.bin"))


def test_while_several_processes_fine_tune(run: Run, copy: Clone) -> None:
    run.clone.run("cp", "-r", "data/features", str(copy.folder / "data"))
    copy.set_param("finetune.epochs", 50)
    copy.set_param("finetune.patience", 50)
    with started(copy, "python", "stages/train.py", BOATYARD_PROCESSES="2") as running:
        running.wait_for("finetune epoch  ")
        assert len(running.processes()) > 2
        press(running)
    assert running.process.returncode != 0
    assert len(list((copy.folder / ".work/finetuning").glob("*.safetensors"))) == 1  # from which the next run continues


def test_between_two_stages(copy: Clone) -> None:
    with started(copy, "dvc", "repro") as running:
        running.wait_for("Stage 'download' didn't change")
        press(running)
    assert running.process.returncode != 0
    # DVC does not write its lock atomically, and Ctrl-C may interrupt it: docs/robustness.md says what to do.
    assert re.search(r"ERROR: interrupted by the user|Unable to read RWLock-file", running.output)


@pytest.mark.parametrize("moment", ["imports", "works"])
def test_predict(copy: Clone, moment: str) -> None:
    photos = copy.folder / "photos"
    photos.mkdir()
    noise = Image.effect_noise((1000, 1000), 50)
    noise.resize((11_000, 11_000)).save(photos / "0.png", compress_level=1)  # takes seconds to decode
    for number in range(1, 10):
        (photos / f"{number}.png").hardlink_to(photos / "0.png")
    moments: dict[str, Callable[[], object]] = {
        "imports": lambda: running.has_loaded("onnxruntime"),
        "works": lambda: classified(running),
    }
    names = ("--output", "answers.csv", "--format", "csv", "photos")
    with started(copy, *PREDICT, *names, PYTHONPATH=str(copy.folder / "src")) as running:
        running.wait_until(moments[moment])
        press(running)
    assert running.process.returncode == 130
    assert running.output.endswith("stopped\n")
    assert classified(running) == (moment == "works")
    assert not [*copy.folder.glob("*answers*")]


def classified(predict: Background) -> bool:
    """Whether at least one of the 10 photos is classified."""
    return re.search(r"\| [1-9]/10", predict.output) is not None
