"""The outputs of one run of the whole pipeline on photos with known content."""

import csv
import math
import socket
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from clone import Clone
from PIL import Image
from safetensors import safe_open
from small_run import STAGES, Run

from boatyard.models import model_header

# Published: efficientnet_lite0 has 4,652,008 parameters, with the classifier of ImageNet's 1,000 classes.
BACKBONE_PARAMETERS = 4_652_008 - (1280 * 1000 + 1000)
HEAD_PARAMETERS = 1280 * 256 + 256 + 256 * 3 + 3

SMALL = {  # the outputs that git tracks; DVC tracks the others
    "dvc.lock",
    *(f"metrics/{name}.json" for name in ("download", "filter", "split", "check_labels")),
    *(f"metrics/{name}.json" for name in ("train", "evaluate", "tta_evaluate")),
    *(f"plots/{name}.csv" for name in ("class_counts", "image_sizes", "history", "layers", "predictions", "per_class")),
    *(f"plots/{name}.csv" for name in ("reliability", "tta_predictions", "tta_per_class")),
}


def table(run: Run, name: str) -> list[dict[str, str]]:
    return rows_of(run.clone.folder / name)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_stage_ran_once_and_in_order(run: Run) -> None:
    assert run.repro.ran == set(STAGES)
    places = [run.repro.output.index(f"Running stage '{stage}'") for stage in STAGES]
    assert all(earlier < later for earlier, later in pairwise(places))


def test_download_counts_the_files_of_each_folder(run: Run) -> None:
    metrics = run.clone.read_json("metrics/download.json")

    assert metrics["source"] == "data/incoming"
    assert (metrics["images"], metrics["classes"], metrics["licence"]) == (run.drawn.images, 4, "private")


def test_download_keeps_the_bytes(run: Run) -> None:
    raw, incoming = run.clone.folder / "data/raw", run.clone.folder / "data/incoming"

    photos = [path.relative_to(raw) for path in raw.rglob("*") if path.is_file() and path.name != ".gitignore"]

    assert len(photos) == run.drawn.images
    assert all((raw / photo).read_bytes() == (incoming / photo).read_bytes() for photo in photos)


def test_filter_gives_the_reason_for_each_rejected_photo(run: Run) -> None:
    drawn = run.drawn

    reasons = {row["path"]: row["reason"].split(":")[0] for row in table(run, "data/rejected.csv")}

    assert reasons == {
        drawn.unreadable: "unreadable",
        drawn.duplicate: "duplicate",
        **dict.fromkeys(drawn.two_labels, "two_labels"),
        **dict.fromkeys(drawn.rare, "rare_class"),
    }
    assert run.clone.read_json("metrics/filter.json") == {
        "images": drawn.images,
        "kept": 3 * drawn.per_class,
        "classes": 3,
        "rejected": {"unreadable": 1, "dropped_class": 0, "two_labels": 2, "duplicate": 1, "rare_class": 3},
        "leaks": 0,
    }
    assert table(run, "plots/class_counts.csv") == [
        {"label": "crosses", "images": "3", "kept": "0"},
        {"label": "discs", "images": str(drawn.per_class + 2), "kept": str(drawn.per_class)},
        {"label": "squares", "images": str(drawn.per_class + 2), "kept": str(drawn.per_class)},
        {"label": "stripes", "images": str(drawn.per_class), "kept": str(drawn.per_class)},
    ]


def test_the_catalog_has_the_size_of_the_upright_photo(run: Run) -> None:
    catalog = {row["path"]: row for row in table(run, "data/catalog.csv")}

    assert Counter(row["label"] for row in catalog.values()) == dict.fromkeys(
        ("discs", "squares", "stripes"), run.drawn.per_class
    )
    assert (catalog["discs/discs_06.png"]["mode"], catalog["discs/discs_07.png"]["mode"]) == ("L", "RGBA")
    turned = catalog["discs/discs_02.JPG"]
    with Image.open(run.clone.folder / "data/raw/discs/discs_02.JPG") as stored:
        assert stored.width != stored.height
        assert (int(turned["width"]), int(turned["height"])) == (stored.height, stored.width)


def test_each_class_is_split_by_the_fractions_and_near_duplicates_stay_together(run: Run) -> None:
    rows = table(run, "data/splits.csv")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["label"]][row["split"]] += 1

    # 24 photos: the boundaries are 14.4 and 19.2. The pair in `stripes` may move each by one photo.
    assert counts["discs"] == counts["squares"] == {"train": 14, "validation": 5, "test": 5}
    assert counts["stripes"].total() == 24
    assert abs(counts["stripes"]["train"] - 14) <= 1
    assert abs(counts["stripes"]["test"] - 5) <= 1
    split_of = {row["path"]: row["split"] for row in rows}
    assert len({split_of[path] for path in run.drawn.near_duplicates}) == 1
    assert run.clone.read_json("metrics/split.json") == {
        **{name: sum(count[name] for count in counts.values()) for name in ("train", "validation", "test")},
        "near_duplicate_groups": 1,
        "near_duplicate_photos": 2,
        "leaked_validation": 0,
        "leaked_test": 0,
    }


def test_train_keeps_the_epoch_with_the_lowest_validation_loss(run: Run) -> None:
    metrics, history = run.clone.read_json("metrics/train.json"), table(run, "plots/history.csv")

    best = min(history, key=lambda row: float(row["validation_loss"]))

    assert [int(row["epoch"]) for row in history] == list(range(1, metrics["epochs"] + 1))
    assert metrics["best_epoch"] == int(best["epoch"])
    for name in ("train_loss", "validation_loss", "train_top1", "validation_top1"):
        assert metrics[name] == float(best[name])
    # It stops 10 epochs (the patience) after the best one, or at the limit.
    assert metrics["epochs"] == min(30, metrics["best_epoch"] + 10)
    assert metrics["parameters_trained"] == HEAD_PARAMETERS
    assert metrics["parameters"] == BACKBONE_PARAMETERS + HEAD_PARAMETERS


def test_the_layers_add_up_to_the_network(run: Run) -> None:
    layers = table(run, "plots/layers.csv")

    assert sum(int(row["parameters"]) for row in layers) == BACKBONE_PARAMETERS + HEAD_PARAMETERS
    assert sum(int(row["trained"]) for row in layers) == HEAD_PARAMETERS
    assert (layers[0]["name"], layers[0]["kind"]) == ("backbone.conv_stem", "Conv2dSame")
    assert layers[-1]["output"] == "3"


def test_the_model_file_names_its_classes_in_order(run: Run) -> None:
    with safe_open(run.clone.folder / "models/model.safetensors", framework="numpy") as file:
        metadata = str(file.metadata())

    assert '"classes": ["discs", "squares", "stripes"]' in metadata


def test_evaluate_agrees_with_its_predictions(run: Run) -> None:
    metrics, rows = run.clone.read_json("metrics/evaluate.json"), table(run, "plots/predictions.csv")
    labels = {row["path"]: row["label"] for row in table(run, "data/splits.csv") if row["split"] == "test"}

    assert list(metrics) == [
        *("images", "top1", "top1_low", "top1_high", "top3", "top5", "loss"),
        *("mean_class_accuracy", "macro_f1", "ece", "intervals", "uncalibrated"),
    ]
    assert {row["path"]: row["actual"] for row in rows} == labels
    assert [row["path"] for row in rows] == sorted(labels)
    assert metrics["images"] == len(rows)
    right = [row["actual"] == row["predicted"] for row in rows]
    assert metrics["top1"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert metrics["top1_low"] <= metrics["top1"] <= metrics["top1_high"]
    assert metrics["top3"] == metrics["top5"] == 1  # there are three classes
    losses = [-math.log(float(row["actual_probability"])) for row in rows]
    assert metrics["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-3)
    for row in rows:
        assert row["predicted"] == row["label1"]
        assert row["probability"] == row["probability1"]
        assert sum(float(row[f"probability{place}"]) for place in (1, 2, 3)) == pytest.approx(1, abs=1e-5)


def test_correct_and_confident_predictions_need_no_temperature(run: Run) -> None:
    metrics = run.clone.read_json("metrics/train.json")

    assert metrics["validation_top1"] == 1
    assert metrics["temperature"] == 1
    assert metrics["calibrated"] == metrics["uncalibrated"]


def test_the_temperature_is_fitted_on_validation_stored_in_the_model_and_applied(clone: Clone) -> None:
    clone.set_param("train.label_smoothing", 0.5)  # makes a head less confident
    for stage in ("train", "evaluate"):
        clone.run("python", f"stages/{stage}.py")

    trained, tested = clone.read_json("metrics/train.json"), clone.read_json("metrics/evaluate.json")
    about = model_header.read(clone.folder / "models/model.safetensors")
    assert about.temperature == pytest.approx(trained["temperature"], abs=1e-6)
    assert about.temperature < 0.9
    before, after = trained["uncalibrated"], trained["calibrated"]
    assert before["validation_loss"] == pytest.approx(trained["validation_loss"], abs=1e-5)  # the best epoch's
    assert after["validation_loss"] < before["validation_loss"]
    # All three classes are among a photo's top five, so its probabilities at temperature 1 can be computed.
    losses = []
    for row in rows_of(clone.folder / "plots/predictions.csv"):
        shares = {row[f"label{rank}"]: float(row[f"probability{rank}"]) ** about.temperature for rank in (1, 2, 3)}
        losses.append(-math.log(shares[row["actual"]] / sum(shares.values())))
    assert tested["uncalibrated"]["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-2)
    assert tested["uncalibrated"]["loss"] != tested["loss"]


def test_classes_that_differ_in_shape_and_colour_are_recognised(run: Run) -> None:
    assert run.clone.read_json("metrics/evaluate.json")["top1"] >= 0.85
    assert run.clone.read_json("metrics/tta_evaluate.json")["top1"] >= 0.85


def test_per_class_figures_add_up_to_the_metrics(run: Run) -> None:
    rows, metrics = table(run, "plots/per_class.csv"), run.clone.read_json("metrics/evaluate.json")
    splits = Counter((row["label"], row["split"]) for row in table(run, "data/splits.csv"))

    assert [row["label"] for row in rows] == ["discs", "squares", "stripes"]
    for row in rows:
        assert int(row["train_images"]) == splits[row["label"], "train"]
        assert int(row["test_images"]) == splits[row["label"], "test"]
        assert float(row["top1_low"]) <= float(row["top1"]) <= float(row["top1_high"])
    right = sum(float(row["top1"]) * int(row["test_images"]) for row in rows)
    assert metrics["top1"] == pytest.approx(right / metrics["images"], abs=1e-5)
    assert metrics["mean_class_accuracy"] == pytest.approx(sum(float(row["top1"]) for row in rows) / 3, abs=1e-5)


def test_tta_is_compared_with_the_plain_view_photo_by_photo(run: Run) -> None:
    metrics, rows = run.clone.read_json("metrics/tta_evaluate.json"), table(run, "plots/tta_predictions.csv")
    plain = {row["path"]: row["predicted"] for row in table(run, "plots/predictions.csv")}

    assert {row["path"]: row["plain_predicted"] for row in rows} == plain
    right = {row["path"]: row["actual"] == row["predicted"] for row in rows}
    plain_right = {row["path"]: row["actual"] == row["plain_predicted"] for row in rows}
    fixed = sum(right[path] and not plain_right[path] for path in plain)
    broken = sum(plain_right[path] and not right[path] for path in plain)
    assert (metrics["fixed"], metrics["broken"]) == (fixed, broken)
    assert metrics["top1_gain"] == pytest.approx((fixed - broken) / len(rows), abs=1e-6)
    assert metrics["top1_gain_low"] <= metrics["top1_gain"] <= metrics["top1_gain_high"]
    best = min(("flips", "random"), key=lambda policy: metrics["validation"][policy]["loss"])
    assert metrics["policy"] == best
    train = run.clone.read_json("metrics/train.json")
    assert metrics["validation"]["plain"]["top1"] == pytest.approx(train["validation_top1"], abs=1e-6)
    assert metrics["validation"]["plain"]["loss"] == pytest.approx(train["validation_loss"], rel=1e-3)


def test_the_report_needs_no_other_file_and_has_the_figures(run: Run) -> None:
    page = (run.clone.folder / "report/index.html").read_text(encoding="utf-8")
    note = (run.clone.folder / "report/report.md").read_text(encoding="utf-8")
    top1 = run.clone.read_json("metrics/evaluate.json")["top1"]

    for text in (page, note):
        assert f"{top1 * 100:.1f}" in text
        assert all(label in text for label in ("discs", "squares", "stripes"))
    assert not any(f'{attribute}="http' in page for attribute in ("src", "href"))


def test_outputs_name_no_machine(run: Run) -> None:
    """No path or host name in dvc.lock, metrics, tables, figures, report, features and model."""
    folder = run.clone.folder
    traces = [str(folder).encode(), str(run.clone.home).encode()]
    host = socket.gethostname().encode()
    if len(host) > 5:
        traces.append(host)

    files = [folder / "dvc.lock"]
    for name in ("metrics", "plots", "report", "models", "data/features"):
        files += [path for path in (folder / name).rglob("*") if path.is_file()]

    assert len(files) > 20
    for file in files:
        content = file.read_bytes()
        assert not any(trace in content for trace in traces), file


def test_git_tracks_the_small_files_and_ignores_the_rest(run: Run) -> None:
    changed = {line[3:] for line in run.git_status.splitlines()}

    assert {name for name in changed if not name.endswith(".gitignore")} <= SMALL
    assert set(run.clone.git("ls-files").splitlines()) >= SMALL


def test_a_second_run_runs_nothing_and_changes_nothing(run: Run) -> None:
    again = run.clone.repro()

    assert again.ran == again.restored == set()
    assert again.unchanged == set(STAGES)
    assert run.clone.changed_stages() == set()
    assert run.clone.git("status", "--porcelain") == ""
