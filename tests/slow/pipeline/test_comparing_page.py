"""The commands of docs/comparing.md, executed in order on a run of the pipeline."""

import re
import shlex
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from clone import Clone
from pages import Page
from ruamel.yaml import YAML

PAGE = Page.read("docs/comparing.md")
COMMANDS = PAGE.commands()
(JOB,) = PAGE.blocks("yaml")

# The command `boatyard` of the tested tree, not of the installed one.
SHELL = 'set -euo pipefail; export PYTHONPATH="$PWD/src"; boatyard() { python -m boatyard "$@"; }; '


@dataclass(frozen=True)
class Walk:
    """The clone after the last command, and the output of each command."""

    clone: Clone
    printed: list[tuple[str, str]]

    def outputs(self, command: str) -> list[str]:
        return [output for run, output in self.printed if run == command]


@pytest.fixture(scope="module")
def walk(clone: Clone) -> Walk:
    (clone.home / ".gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.org\n", encoding="utf-8")
    printed = [(command, clone.run("bash", "-c", SHELL + command).stdout) for command in COMMANDS]
    clone.dvc("queue", "stop")  # else the worker would wait for more tasks for a while
    return Walk(clone, printed)


def test_dvc_diffs_show_the_changed_parameter(walk: Walk) -> None:
    (params,), (metrics,) = walk.outputs("dvc params diff"), walk.outputs("dvc metrics diff")
    assert re.search(r"train\.lr\s+0\.001\s+0\.003", params)
    assert re.search(r"metrics/train\.json\s+validation_loss", metrics)
    assert (walk.clone.folder / "dvc_plots/index.html").is_file()


def test_the_grid_has_a_row_for_each_value(walk: Walk) -> None:
    (table,) = walk.outputs("dvc exp show --only-changed")
    assert "rate-1" in table
    assert "rate-2" in table
    assert "train.lr" in table


def test_the_comparisons_show_the_changed_parameter(walk: Walk) -> None:
    by_hand, applied = walk.outputs("boatyard compare")
    (experiment,) = walk.outputs("boatyard compare rate-2")
    assert "| train.lr | 0.001 | 0.003 |" in by_hand
    assert "| train.lr | 0.001 | 0.0003 |" in applied
    assert "| train.lr | 0.003 | 0.0003 |" in experiment
    for text in (by_hand, applied, experiment):
        assert re.match(r"## (Better|Worse|No evidence of a change): top-1 \d+\.\d % → \d+\.\d %\n", text)
        assert "Photos: the same " in text
        assert "do not match its files" not in text
        assert "the merge base with main" in text or "(rate-2)" in text
        assert "Code: " not in text


def test_the_comment_names_the_commit(walk: Walk) -> None:
    text = (walk.clone.folder / "comparison.md").read_text(encoding="utf-8")
    head = walk.clone.git("rev-parse", "HEAD")[:7]
    assert f"After: `{head}` (higher-rate). Before: " in text
    assert "| train.lr | 0.001 | 0.0003 |" in text


def test_the_ci_job_writes_the_same_comment(walk: Walk, tmp_path: Path) -> None:
    """It runs in a fresh clone at a detached commit without DVC's cache, as actions/checkout leaves it."""
    job = YAML(typ="safe", pure=True).load(JOB)
    (step,) = [step["run"] for step in job["jobs"]["compare"]["steps"] if step.get("name") == "Compare"]
    walk.clone.git("clone", "--quiet", ".", str(tmp_path / "checkout"))
    server = Clone(tmp_path / "checkout", walk.clone.home)
    server.git("checkout", "--quiet", "--detach")
    server.run("bash", "-c", step, GITHUB_BASE_REF="main")

    here = (walk.clone.folder / "comparison.md").read_text(encoding="utf-8")
    there = (server.folder / "comparison.md").read_text(encoding="utf-8")
    both = [re.sub(r"(?m)^After: .*$", "", text) for text in (here, there)]
    assert both[0] == both[1]


def test_the_ci_job_installs_everything_that_the_command_imports(walk: Walk) -> None:
    modules = {
        "numpy": "numpy",
        "pillow": "PIL",
        "ruamel.yaml": "ruamel",
        "dvc>=3.67,<4": "dvc",
    }
    (install,) = re.findall(r"pip install (.*)", JOB)
    installs = {modules[package] for package in shlex.split(install)}
    code = "import sys; from boatyard.compare import command; command.run('main'); print(*sys.modules, file=sys.stderr)"
    bare = "import sys; print(*sys.modules, file=sys.stderr)"  # an editable install adds modules to every process

    def loaded(code: str) -> set[str]:
        done = walk.clone.run("python", "-c", code, PYTHONPATH=str(walk.clone.folder / "src"))
        return {name.partition(".")[0] for name in done.stderr.split()}

    # ruamel.yaml's C extension is optional.
    installed = packages_distributions().keys() - {"boatyard", "_ruamel_yaml"}
    needed = (loaded(code) - loaded(bare)) & installed
    assert {"numpy", "ruamel"} <= needed <= installs
