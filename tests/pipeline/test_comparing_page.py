"""docs/comparing.md, run: its commands one after the other as they stand there, on a run of the pipeline."""

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

# The command that installing puts on the path, of the tree that is tested.
SHELL = 'set -euo pipefail; export PYTHONPATH="$PWD/src"; boatyard() { python -m boatyard "$@"; }; '


@dataclass(frozen=True)
class Walk:
    """The clone after the last command, and what each command printed."""

    clone: Clone
    printed: list[tuple[str, str]]

    def outputs(self, command: str) -> list[str]:
        return [output for run, output in self.printed if run == command]


@pytest.fixture(scope="module")
def walk(clone: Clone) -> Walk:
    (clone.home / ".gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.org\n", encoding="utf-8")
    printed = [(command, clone.run("bash", "-c", SHELL + command).stdout) for command in COMMANDS]
    clone.dvc("queue", "stop")  # the worker would stay for a while, waiting for more
    return Walk(clone, printed)


def test_the_parameter_is_seen_by_all(walk: Walk) -> None:
    (params,), (metrics,) = walk.outputs("dvc params diff"), walk.outputs("dvc metrics diff")
    assert re.search(r"train\.lr\s+0\.001\s+0\.003", params)
    assert re.search(r"metrics/train\.json\s+validation_loss", metrics)
    assert (walk.clone.folder / "dvc_plots/index.html").is_file()


def test_the_grid_has_a_row_for_each_value(walk: Walk) -> None:
    (table,) = walk.outputs("dvc exp show --only-changed")
    assert "rate-1" in table
    assert "rate-2" in table
    assert "train.lr" in table


def test_the_comparisons_tell_the_parameter_apart(walk: Walk) -> None:
    by_hand, applied = walk.outputs("boatyard compare")
    (experiment,) = walk.outputs("boatyard compare rate-2")
    assert "| train.lr | 0.001 | 0.003 |" in by_hand
    assert "| train.lr | 0.001 | 0.0003 |" in applied
    assert "| train.lr | 0.003 | 0.0003 |" in experiment
    for text in (by_hand, applied, experiment):
        assert re.match(r"## (Better|Worse|No evidence of a change): top-1 \d+\.\d % → \d+\.\d %\n", text)
        assert "Photos: the same " in text
        assert "do not match its files" not in text
        assert "where it left main" in text or "(rate-2)" in text
        assert "Code: " not in text


def test_the_comment_is_that_of_the_commit(walk: Walk) -> None:
    text = (walk.clone.folder / "comparison.md").read_text(encoding="utf-8")
    head = walk.clone.git("rev-parse", "HEAD")[:7]
    assert f"After: `{head}` (higher-rate). Before: " in text
    assert "| train.lr | 0.001 | 0.0003 |" in text


def test_the_job_of_a_build_server_makes_the_same_comment(walk: Walk, tmp_path: Path) -> None:
    """A fresh clone at a detached commit, without any file of DVC's, as actions/checkout leaves it."""
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


def test_the_job_installs_all_that_the_command_imports(walk: Walk) -> None:
    modules = {
        "numpy": "numpy",
        "pillow": "PIL",
        "ruamel.yaml": "ruamel",
        "dvc>=3.67,<4": "dvc",
    }
    (install,) = re.findall(r"pip install (.*)", JOB)
    brought = {modules[package] for package in shlex.split(install)}
    code = "import sys; from boatyard.compare import command; command.run('main'); print(*sys.modules, file=sys.stderr)"
    bare = "import sys; print(*sys.modules, file=sys.stderr)"  # what an editable install brings into every process

    def loaded(code: str) -> set[str]:
        done = walk.clone.run("python", "-c", code, PYTHONPATH=str(walk.clone.folder / "src"))
        return {name.partition(".")[0] for name in done.stderr.split()}

    # ruamel.yaml takes its C part where there is one, and does without elsewhere.
    installed = packages_distributions().keys() - {"boatyard", "_ruamel_yaml"}
    needed = (loaded(code) - loaded(bare)) & installed
    assert {"numpy", "ruamel"} <= needed <= brought
