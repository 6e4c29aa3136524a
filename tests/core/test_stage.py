import ast
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Prints that it has started, then takes as long as torch does on a slow machine.
SLOW = 'print("importing", flush=True); import time; time.sleep(60)'
RUN = "from boatyard.core.stage import run_stage\n\nimport slow\n\n\nrun_stage(lambda: None)\n"


def python(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *arguments], text=True, **pipes, **options)  # type: ignore[call-overload]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A stage with a slow import."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "stage.py").write_text(RUN)
    return tmp_path / "stage.py"


def test_ctrl_c_ends_a_stage_that_is_still_importing_at_once_and_silently(script: Path) -> None:
    process = python(script)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"

    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=50)

    assert time.monotonic() - pressed < 2
    assert (process.returncode, *output) == (-signal.SIGINT, "", "")


def test_ctrl_c_stays_ignored_if_it_was(script: Path) -> None:
    process = python(script, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_sets_what_ctrl_c_does_before_any_other_import(path: Path) -> None:
    docstring, first = ast.parse(path.read_text(encoding="utf-8")).body[:2]
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(first) == "from boatyard.core.stage import run_stage"
