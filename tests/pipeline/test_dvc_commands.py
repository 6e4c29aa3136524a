"""DVC commands on a run."""

import json
import re
from typing import Any

import vl_convert
from dvc_plots import PLOTS, plots
from small_run import STAGES, Run

from boatyard.report.formatting import leaves


def test_metrics_show(run: Run) -> None:
    shown = json.loads(run.clone.dvc("metrics", "show", "--json"))[""]["data"]

    assert set(shown) == {
        f"metrics/{name}.json"
        for name in ("download", "filter", "split", "check_labels", "train", "evaluate", "tta_evaluate")
    }
    # DVC leaves lists out, so that intervals do not widen its tables.
    shown_numbers = numbers(shown["metrics/evaluate.json"]["data"])
    assert shown_numbers == numbers(run.clone.read_json("metrics/evaluate.json"))
    assert not [key for key in shown_numbers if "intervals" in key]


def numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in leaves(metrics).items() if isinstance(value, int | float | str)}


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
