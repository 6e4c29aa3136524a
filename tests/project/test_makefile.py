"""The Makefile's contract with .venv, tested with a python that only records its arguments."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# `-m venv X` puts the same stub into X; `-m pip` fails while a file 'no-network' exists, the installation of servers
# while 'no-servers' does; `-c` goes to the real python.
STUB = f"""#!/bin/sh
echo "$*" >> "$CALLS"
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") [ ! -e no-network ] ;;
  "-m pytest") [ ! -e broken ] ;;
  tests/remotes/packages.py*) [ ! -e no-servers ] ;;
  "-m dvc") command -v python >> "$CALLS" ;;
  "-c import torch, torchvision") [ -e torch ] ;;
  -c*) exec {sys.executable} "$@" ;;
esac
"""


class Project:
    """A folder with the Makefile, the files it installs from, and the stub as python."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("Makefile", "requirements.txt", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, folder)
        self.write_python("python3", STUB)

    def write_python(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def make(
        self, *arguments: str, fails: bool = False, path: str = os.environ["PATH"]
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.folder}/bin:{path}", "CALLS": str(self.folder / "calls")}
        done = subprocess.run(["make", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done

    def calls(self) -> list[str]:
        """The arguments of each call of python since the last time, without the version check."""
        path = self.folder / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [call for call in calls if not call.startswith("-c")]

    def prerequisites(self, target: str) -> list[str]:
        (line,) = [line for line in (self.folder / "Makefile").open() if line.startswith(f"{target}: ")]
        return line.partition(":")[2].partition("##")[0].split()


CHECK = ["-m ruff check", "-m ruff format --check", "-m mypy"]
FAST = "-m pytest --numprocesses 2"
INSTALL = [
    "-m pip install --quiet --require-hashes -r requirements.txt",
    "-m pip install --quiet --no-deps --no-build-isolation -e .",
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_default_goal_lists_every_target(project: Project) -> None:
    lines = project.make().stdout.splitlines()

    assert [line.split()[:2] for line in lines] == [
        ["make", target]
        for target in (
            *("help", "repro", "presets", "test", "test-slow", "test-browser", "test-remotes", "test-all"),
            *("fuzz", "check", "audit", "lock"),
        )
    ]
    assert project.calls() == []


def test_the_first_call_creates_the_environment_and_the_second_installs_nothing(project: Project) -> None:
    project.make("check")
    assert project.calls() == ["-m venv .venv", *INSTALL, *CHECK]

    project.make("test")
    assert project.calls() == [*CHECK, FAST]


def test_test_all_runs_all_tests_once(project: Project) -> None:
    project.write_python("chrome", "#!/bin/sh\n")

    project.make("test-all", f"CHROMIUM={project.folder}/bin/chrome")

    assert project.calls() == [
        *("-m venv .venv", *INSTALL, *CHECK, FAST, "-m pytest -m slow and not remotes", "-m pytest tests/browser"),
        *("tests/remotes/packages.py", "-m pytest -m remotes"),
    ]


def test_ci_runs_all_tests_without_the_callers_settings(project: Project) -> None:
    project.make("check")
    project.calls()
    (project.folder / ".ci").mkdir()
    shutil.copy(REPOSITORY / ".ci/run", project.folder / ".ci")
    project.write_python("make", '#!/bin/sh\necho "make $*" >> "$CALLS"\nenv > "$CALLS.environment"\n')
    settings = {"BOATYARD_ENGINE": "torch", "DVC_STUDIO_TOKEN": "x", "PYTEST_ADDOPTS": "-x", "JOBS": "9"}
    path = f"{project.folder}/bin:{os.environ['PATH']}"

    subprocess.run(
        [project.folder / ".ci/run"], check=True, env=settings | {"PATH": path, "CALLS": str(project.folder / "calls")}
    )

    made = [call.split()[1:] for call in project.calls() if call.startswith("make ")]
    first, *others = project.prerequisites("test-all")
    assert made == [[first], others]
    assert not settings.keys() & {line.split("=")[0] for line in (project.folder / "calls.environment").open()}


def test_remotes_are_tested_after_their_servers_are_installed(project: Project) -> None:
    project.make("test-remotes")
    assert project.calls()[-2:] == ["tests/remotes/packages.py", "-m pytest -m remotes"]

    (project.folder / "no-servers").touch()
    project.make("test-remotes", fails=True)
    assert project.calls() == ["tests/remotes/packages.py"]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_requirement_is_installed_into_the_same_environment(project: Project, name: str) -> None:
    project.make("check")
    project.calls()
    later = (project.folder / ".venv/installed").stat().st_mtime + 5
    os.utime(project.folder / name, (later, later))

    project.make("check")

    assert project.calls() == [*INSTALL, *CHECK]


def test_an_aborted_install_is_started_from_scratch(project: Project) -> None:
    (project.folder / "no-network").touch()
    project.make("check", fails=True)
    assert project.calls() == ["-m venv .venv", INSTALL[0]]
    half = project.folder / ".venv/half-a-package"
    half.touch()

    (project.folder / "no-network").unlink()
    project.make("check")

    assert project.calls() == ["-m venv .venv", *INSTALL, *CHECK]
    assert not half.exists()


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", None], ids=["too old", "none"])
def test_an_unsuitable_python_is_a_one_line_error(project: Project, script: str | None) -> None:
    if script:
        project.write_python("python3.10", script)

    done = project.make("check", "PYTHON=python3.10", fails=True)

    assert [line for line in done.stderr.splitlines() if line.startswith("error")] == [
        "error: Boatyard needs Python 3.11 or newer, and 'python3.10' is older or missing: name another, as in "
        "'make PYTHON=python3.12 check'"
    ]
    assert not (project.folder / ".venv").exists()


def test_own_torch_is_kept_and_everything_else_is_installed(project: Project) -> None:
    assert ".venv is missing: create it first" in project.make("check", "TORCH=own", fails=True).stderr
    subprocess.run(
        ["sh", "-c", "mkdir -p .venv/bin && cp bin/python3 .venv/bin/python"], cwd=project.folder, check=True
    )
    own = project.folder / ".venv/own"
    own.touch()

    assert "torchvision of .venv is missing or broken" in project.make("check", "TORCH=own", fails=True).stderr
    (project.folder / "torch").touch()
    project.calls()
    project.make("check", "TORCH=own")

    assert own.exists()
    assert project.calls()[0] == "-m pip install --quiet --require-hashes --no-deps -r .venv/requirements.txt"
    pinned, left = (_pins(project.folder / name) for name in ("requirements.txt", ".venv/requirements.txt"))
    without = pinned - left
    assert left < pinned
    assert {"torch", "torchvision"} <= without
    assert all(name in ("torch", "torchvision", "triton") or name.startswith(("nvidia-", "cuda-")) for name in without)
    assert "timm" in left


def _pins(path: Path) -> set[str]:
    return {line.split("==")[0] for line in path.read_text().splitlines() if "==" in line and not line.startswith(" ")}


def test_an_unknown_torch_is_refused(project: Project) -> None:
    assert "TORCH is 'cpu': choose pinned or own" in project.make("check", "TORCH=cpu", fails=True).stderr


def test_the_browser_tests_run_in_the_given_browser(project: Project) -> None:
    project.write_python("chrome", "#!/bin/sh\n")
    project.make("check")
    project.calls()

    project.make("test-browser", f"CHROMIUM={project.folder}/bin/chrome")

    assert project.calls() == ["-m pytest tests/browser"]


@pytest.mark.parametrize("user", ["root", "with sudo"])
def test_a_missing_browser_is_installed(project: Project, user: str) -> None:
    project.write_python("id", f"#!/bin/sh\necho {0 if user == 'root' else 1000}\n")
    project.write_python("sudo", '#!/bin/sh\nshift; exec "$@"\n')
    project.write_python("apt-get", '#!/bin/sh\necho "apt-get $*" >> "$CALLS"\n')

    project.make("test-browser", f"DEBIANS={project.folder}/chromium")

    assert project.calls()[-3:] == [
        "apt-get -qq update",
        "apt-get -qq --yes --no-install-recommends install chromium",
        "-m pytest tests/browser",
    ]


@pytest.mark.parametrize("reason", ["another browser", "no sudo"])
def test_a_browser_that_cannot_be_installed_is_a_one_line_error(project: Project, reason: str) -> None:
    project.write_python("id", f"#!/bin/sh\necho {1000 if reason == 'no sudo' else 0}\n")
    project.write_python("sudo", "#!/bin/sh\nexit 1\n")
    project.write_python("apt-get", '#!/bin/sh\necho "apt-get $*" >> "$CALLS"\n')
    browser = f"{project.folder}/chromium"

    done = project.make("test-browser", f"{'DEBIANS' if reason == 'no sudo' else 'CHROMIUM'}={browser}", fails=True)

    assert [line for line in done.stderr.splitlines() if line.startswith("error")] == [
        f"error: the browser tests need Chromium, and '{browser}' is missing: 'sudo apt-get install chromium', or "
        "name yours, as in 'make test-browser CHROMIUM=/usr/bin/google-chrome'"
    ]
    assert not any("apt-get" in call or "pytest" in call for call in project.calls())


def test_repro_without_git_says_so(project: Project) -> None:
    project.make("check")
    tools = project.folder / "tools"
    tools.mkdir()
    for name in ("make", "sh"):
        (tools / name).symlink_to(shutil.which(name) or "")

    done = project.make("repro", fails=True, path=str(tools))

    assert done.stderr.splitlines()[0] == "error: git is missing, and Boatyard needs it: install it"


def test_repro_needs_git_and_finds_the_environments_python(project: Project) -> None:
    assert "not in a git repository, which DVC needs" in project.make("repro", fails=True).stderr
    project.calls()
    subprocess.run(["git", "init", "--quiet"], cwd=project.folder, check=True)

    done = project.make("repro")

    assert project.calls() == ["-m dvc repro", f"{project.folder}/.venv/bin/python"]
    assert done.stdout.splitlines()[-1] == f"The report: {project.folder}/report/index.html"


def test_fuzz_runs_until_its_time_is_up_or_a_property_fails(project: Project) -> None:
    round_of_examples = "-m pytest --exitfirst -m hypothesis --hypothesis-profile fuzz"
    project.make("check")
    project.calls()

    project.make("fuzz", "MINUTES=0")
    assert project.calls() == []
    (project.folder / "broken").touch()
    project.make("fuzz", fails=True)
    assert project.calls() == [round_of_examples]


def test_audit_has_its_own_environment(project: Project) -> None:
    (project.folder / ".ci").mkdir()
    (project.folder / ".ci/audit-requirements.txt").touch()
    asked = ".ci/audit.py requirements.txt .ci/audit-requirements.txt"

    project.make("audit")
    assert project.calls() == [
        "-m venv .work/audit", "-m pip install --quiet --require-hashes -r .ci/audit-requirements.txt", asked
    ]  # fmt: skip
    assert not (project.folder / ".venv").exists()

    project.make("audit")
    assert project.calls() == [asked]
