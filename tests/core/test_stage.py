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


SCRIPTS = sorted({*(REPOSITORY / "stages").glob("*.py")} - {REPOSITORY / "stages/boatyard.py"})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_stage_sets_what_ctrl_c_does_before_any_other_import(path: Path) -> None:
    docstring, first = ast.parse(path.read_text(encoding="utf-8")).body[:2]
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(first) == "from boatyard.core.stage import run_stage"


WHERE = "from boatyard.core import where\n\nimport boatyard\n\nprint(boatyard.__file__, where.__file__)\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The copy of a commit with a library of its own, which is not the installed one."""
    for name, content in {"__init__.py": "", "core/__init__.py": "", "core/where.py": ""}.items():
        path = tmp_path / "src/boatyard" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/where.py").write_text(WHERE)
    (tmp_path / "stages/boatyard.py").write_bytes((REPOSITORY / "stages/boatyard.py").read_bytes())
    return tmp_path


@pytest.mark.parametrize("started_in", [".", "stages", "/"])
def test_a_script_runs_the_library_of_its_own_tree(tree: Path, started_in: str) -> None:
    process = python(tree / "stages/where.py", cwd=tree / started_in)
    library = tree / "src/boatyard"
    assert process.communicate() == (f"{library / '__init__.py'} {library / 'core/where.py'}\n", "")


def test_processes_that_a_script_starts_run_the_library_of_its_own_tree(tree: Path) -> None:
    """As torch starts one for each GPU."""
    (tree / "stages/many.py").write_text(
        "import multiprocessing, boatyard\n"
        "def where() -> None:\n    print(boatyard.__file__)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=where)\n"
        "    process.start()\n    process.join()\n"
    )
    process = python(tree / "stages/many.py", cwd="/")
    assert process.communicate() == (f"{tree / 'src/boatyard/__init__.py'}\n", "")


def test_git_tracks_no_link() -> None:
    """On Windows, git may write a link as a text file."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "src", "stages"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert [line for line in listed.stdout.splitlines() if line.startswith("120000")] == []
