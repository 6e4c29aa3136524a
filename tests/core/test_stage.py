import ast
import fcntl
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boatyard.core.errors import UserError
from boatyard.core.locking import lock

REPOSITORY = Path(__file__).parents[2]
# Prints that it has started, then takes as long as torch does on a slow machine.
SLOW = 'print("importing", flush=True); import time; time.sleep(60)'
RUN = "from boatyard.core.stage import run_stage\n\nimport slow\n\n\nrun_stage(lambda: None)\n"
HOLD = """
import sys
from pathlib import Path
from boatyard.core.locking import lock
with lock('featurize', Path(sys.argv[1])):
    print('locked', flush=True)
    input()
"""


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


def test_a_running_stage_locks_out_a_second_one_until_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / ".work/locks/featurize"
    first = python("-c", HOLD, path)
    assert first.stdout is not None
    assert first.stdout.readline() == "locked\n"

    with pytest.raises(UserError) as caught:
        lock("featurize", path)
    assert str(caught.value) == (
        f"stage 'featurize' is running in this folder already (process {first.pid}): wait until it has ended, or end it"
    )

    first.kill()
    first.communicate()
    lock("featurize", path).close()
    lock("featurize", path).close()


def test_a_file_system_without_locks_lets_a_stage_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock("featurize", tmp_path / "featurize").close()


def test_a_lock_that_cannot_be_made_is_an_error_for_the_user(tmp_path: Path) -> None:
    (tmp_path / ".work").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=re.escape("/.work/locks/featurize can't be written (Not a directory): free")):
        lock("featurize", tmp_path / ".work/locks/featurize")
