"""Experiments, in the workspace and in DVC's queue, and what DVC commands say about them."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from clone import Clone
from dvc_plots import PLOTS, plots
from small_run import Run


@dataclass(frozen=True)
class Experiments:
    """DVC's output after an experiment in the workspace and, based on that, one in the queue."""

    metrics: dict[str, Any]
    params: dict[str, Any]
    plots: dict[str, list[dict[str, Any]]]
    params_file: str
    shown: dict[str, dict[str, Any]]  # by name
    model_before: str
    model_after: str


@pytest.fixture(scope="module")
def experiments(clone: Clone) -> Experiments:
    before = clone.lock()
    clone.dvc("exp", "run", "--name", "here", "--set-param", "train.lr=0.01")
    metrics = json.loads(clone.dvc("metrics", "diff", "--json"))
    params = json.loads(clone.dvc("params", "diff", "--json"))
    drawn = plots(clone, "diff", "HEAD")
    params_file = (clone.folder / "params.yaml").read_text(encoding="utf-8")
    after = clone.lock()
    clone.dvc("exp", "run", "--queue", "--name", "queued", "--set-param", "model.head.dropout=0.1")
    clone.dvc("exp", "run", "--run-all", "--jobs", "1")
    clone.dvc("queue", "stop")  # else the worker would wait for more tasks for a while
    table = json.loads(clone.dvc("exp", "show", "--json"))
    shown = {entry["name"]: entry for row in table for group in row["experiments"] or [] for entry in group["revs"]}

    def model(lock: dict[str, Any]) -> str:
        return str(next(out["md5"] for out in lock["train"]["outs"] if out["path"] == "models/model.safetensors"))

    return Experiments(metrics, params, drawn, params_file, shown, model(before), model(after))


def test_an_experiment_changes_one_value_and_no_comment(experiments: Experiments, run: Run) -> None:
    before = (run.clone.folder / "params.yaml").read_text(encoding="utf-8")

    (change,) = experiments.params["params.yaml"].items()
    assert (change[0], change[1]["old"], change[1]["new"]) == ("train.lr", 0.001, 0.01)
    assert re.findall("#.*", experiments.params_file) == re.findall("#.*", before)


def test_metrics_diff_compares_with_the_commit(experiments: Experiments, run: Run) -> None:
    old = run.clone.read_json("metrics/train.json")

    assert set(experiments.metrics) <= {f"metrics/{name}.json" for name in ("train", "evaluate", "tta_evaluate")}
    assert experiments.model_after != experiments.model_before
    loss = experiments.metrics["metrics/train.json"]["validation_loss"]
    assert loss["old"] == old["validation_loss"] != loss["new"]


def test_plots_diff_draws_both_commits(experiments: Experiments) -> None:
    revisions = {
        name: {row["rev"] for row in experiments.plots[name][0]["content"]["data"]["values"]} for name in PLOTS
    }

    assert revisions == {name: {"HEAD", "workspace"} for name in PLOTS}


def test_a_queued_experiment_runs_in_a_copy(experiments: Experiments, clone: Clone) -> None:
    queued = experiments.shown["queued"]["data"]

    assert queued["params"]["params.yaml"]["data"]["model"]["head"] == {"hidden": 256, "dropout": 0.1}
    assert queued["metrics"]["metrics/train.json"]["data"]["epochs"] >= 1
    assert queued["outs"]["models/model.safetensors"]["hash"] not in (experiments.model_before, experiments.model_after)
    # The workspace still has the experiment that ran in it.
    assert clone.params()["model"]["head"]["dropout"] == 0.4
    assert experiments.shown["here"]["data"]["params"]["params.yaml"]["data"]["train"]["lr"] == 0.01
