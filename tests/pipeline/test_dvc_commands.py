"""DVC commands on a run and on experiments based on it."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
import vl_convert
from clone import Clone
from small_run import STAGES, Run

PLOTS = {
    *("Loss", "Top-1", "plots/history.csv"),
    *("plots/class_counts.csv", "plots/image_sizes.csv", "plots/per_class.csv", "plots/reliability.csv"),
    *("plots/predictions.csv", "plots/tta_predictions.csv", "plots/tta_per_class.csv"),
}


def plots(clone: Clone, *command: str) -> dict[str, list[dict[str, Any]]]:
    """What `dvc plots` would draw, by name. It must not miss a plot."""
    shown = json.loads(clone.dvc("plots", *command, "--json", "--out", str(clone.home / "plots")))
    assert "errors" not in shown
    return shown["data"]


def test_metrics_show(run: Run) -> None:
    shown = json.loads(run.clone.dvc("metrics", "show", "--json"))[""]["data"]

    assert set(shown) == {
        f"metrics/{name}.json"
        for name in ("download", "filter", "split", "check_labels", "train", "evaluate", "tta_evaluate")
    }
    assert shown["metrics/evaluate.json"]["data"] == run.clone.read_json("metrics/evaluate.json")


def test_the_dag_connects_the_photos_with_the_report(run: Run) -> None:
    dag = run.clone.dvc("dag", "--mermaid")

    nodes = dict(re.findall(r'(node\d+)\["([^"]+)"\]', dag))
    edges = {(nodes[start], nodes[end]) for start, end in re.findall(r"(node\d+)-->(node\d+)", dag)}

    assert set(nodes.values()) == set(STAGES)
    assert edges >= {
        *(("download", "filter"), ("filter", "split"), ("split", "featurize"), ("featurize", "train")),
        *(
            ("featurize", "check_labels"),
            ("check_labels", "report"),
            ("train", "export"),
            ("train", "evaluate"),
            ("train", "tta_evaluate"),
            ("evaluate", "report"),
            ("tta_evaluate", "report"),
        ),
    }


def test_plots_show_every_figure_once(run: Run) -> None:
    shown = plots(run.clone, "show")

    figures = sorted(path.name for path in (run.clone.folder / "plots/figures").glob("*.png"))
    assert {name for name, drawings in shown.items() if drawings[0]["type"] == "vega"} == PLOTS
    assert sorted(name.split("/")[-1] for name, drawings in shown.items() if drawings[0]["type"] == "image") == figures
    assert len(figures) >= 5
    for name in PLOTS:
        (drawing,) = shown[name]
        picture = vl_convert.vegalite_to_png(json.dumps(drawing["content"]))
        assert len(picture) > 4_000, f"{name} is drawn blank"


def test_the_confusion_matrix_counts_the_predictions(run: Run) -> None:
    spec = plots(run.clone, "show", "plots/predictions.csv")["plots/predictions.csv"][0]["content"]

    assert len(spec["data"]["values"]) == run.clone.read_json("metrics/evaluate.json")["images"]
    assert {"actual", "predicted"} <= set(spec["data"]["values"][0])


def test_plots_show_writes_a_page(run: Run) -> None:
    run.clone.dvc("plots", "show")

    page = (run.clone.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in page
    assert "tta_vs_plain.png" in page
    assert run.clone.git("status", "--porcelain") == ""


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
        return str(lock["train"]["outs"][0]["md5"])

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
