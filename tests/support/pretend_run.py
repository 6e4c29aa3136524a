"""A finished run of the pipeline, without the pipeline: drawn photos, and files that agree with one another.

`draw_photos` fills data/raw, `write` makes every other input of the report stage for whatever photos lie there, and
`make` does both; `read` reads them as the stage does.
"""

import contextlib
import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from boatyard import params
from boatyard.core import files, paths, tables
from boatyard.curation.leaks import Leak
from boatyard.evaluation import label_issues
from boatyard.images.views import Preprocessing
from boatyard.models import model_header
from boatyard.models.layer_summary import Layer
from boatyard.report import run_files
from boatyard.report.run import Run

REPOSITORY = Path(__file__).resolve().parents[2]
PREPROCESSING = Preprocessing(32, 0.875, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SIX = ("mono-defective", "mono-functional", "mono-likely-functional", "poly-defective", "poly-functional", "thin-film")
MANY = tuple(f"class {number:03d}" for number in range(101))
HOSTILE = (
    "<script>alert(1)",
    "<img src=x onerror=alert(1)>",
    '"quoted" & $x_1$',
    "a" * 120,
    "שלום עולם",
    "🚢 boats",
    "it's | `all` *fine*",
)
RARE = "rare"


def make(root: Path, labels: Sequence[str], each: int, rare: int = 6) -> Path:
    """Every input of the report stage, in `root`."""
    draw_photos(root / paths.RAW, labels, each)
    write(root, rare=rare)
    shutil.copy(REPOSITORY / "presets/solar_cells.yaml", root / paths.PARAMS)
    shutil.copy(REPOSITORY / paths.PIPELINE, root / paths.PIPELINE)
    return root


def read(root: Path) -> Run:
    with contextlib.chdir(root):
        return run_files.read(params.load("report"))


def draw_photos(raw: Path, labels: Sequence[str], each: int = 20) -> None:
    """A folder per label with `each` or a few more small photos of several sizes, and a rare class with two."""
    generator = np.random.default_rng(0)
    for number, label in enumerate((*labels, RARE)):
        folder = raw / label
        folder.mkdir(parents=True)
        for photo in range(2 if label == RARE else each + number % 7):
            width, height = generator.integers(40, 64, 2)
            colour = generator.integers(0, 255, (2, 2, 3), dtype=np.uint8)
            Image.fromarray(colour).resize((width, height)).save(folder / f"photo {photo:02d}.png")


def write(root: Path, gain: float = 0.004, low: float = -0.012, high: float = 0.02, rare: int = 6) -> None:
    """Every file that the report reads, for the photos in root/data/raw; `gain` is what TTA adds."""
    generator = np.random.default_rng(1)
    found = sorted(path.relative_to(root / paths.RAW).as_posix() for path in (root / paths.RAW).glob("*/*"))
    images = Counter(name.split("/")[0] for name in found)
    labels = sorted(label for label, count in images.items() if count >= rare)
    kept = [name for name in found if name.split("/")[0] in labels]
    unreadable = kept.pop()
    place = {label: number for number, label in enumerate(labels)}
    splits = _catalogue(root, found, kept, unreadable)
    counts = {split: sum(s == split for s in splits.values()) for split in ("train", "validation", "test")}
    train = Counter(name.split("/")[0] for name, split in splits.items() if split == "train")
    rare = len(found) - len(kept) - 1
    reasons = {"unreadable": 1, "dropped_class": 0, "two_labels": 0, "duplicate": 0, "rare_class": rare}
    files.write_json(
        root / paths.DOWNLOAD_METRICS,
        {
            "source": "drawn-cells",
            "version": "1.2",
            "sha256": "ab" * 32,
            "licence": "CC BY 4.0",
            "images": len(found),
            "classes": len(images),
        },
    )
    files.write_json(
        root / paths.FILTER_METRICS,
        {"images": len(found), "kept": len(kept), "classes": len(labels), "rejected": reasons},
    )
    leaked = {"leaked_validation": 0, "leaked_test": 0}
    files.write_json(
        root / paths.SPLIT_METRICS, {**counts, "near_duplicate_groups": 2, "near_duplicate_photos": 5, **leaked}
    )
    tables.write_rows(root / paths.LEAKS, Leak, [])
    _suspects(root, splits, labels)
    stays = Counter(name.split("/")[0] for name in kept)
    tables.write_csv(
        root / paths.CLASS_COUNTS, ["label", "images", "kept"], [[la, images[la], stays[la]] for la in sorted(images)]
    )
    sizes = Counter(Image.open(root / paths.RAW / name).size for name in kept)
    tables.write_csv(
        root / paths.IMAGE_SIZES, ["width", "height", "images"], [[w, h, sizes[w, h]] for w, h in sorted(sizes)]
    )
    _training(root)

    tests = [name for name, split in splits.items() if split == "test"]
    actual = np.array([place[name.split("/")[0]] for name in tests])
    ease = generator.normal(1.4, 0.8, len(labels))
    scores = generator.gumbel(0, 0.9, (len(tests), len(labels)))
    scores[np.arange(len(tests)), actual] += ease[actual] + np.log(len(labels))
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    _predictions(root, tests, labels, actual, probabilities)
    test = _results(root, labels, train, actual, probabilities)
    _tta(root, labels, actual, probabilities, test, (gain, low, high))

    about = model_header.Header(labels, "efficientnet_lite0", 256, 0.4, PREPROCESSING, 1.25, {})
    (root / paths.MODEL).parent.mkdir(parents=True)
    save_file({"weight": np.zeros(1, np.float32)}, root / paths.MODEL, metadata=model_header.encode(about))


def _catalogue(root: Path, found: list[str], kept: list[str], unreadable: str) -> dict[str, str]:
    catalog, rows, splits = [], [], {}
    seen: Counter[str] = Counter()
    for name in kept:
        label, content = name.split("/")[0], (root / paths.RAW / name).read_bytes()
        with Image.open(root / paths.RAW / name) as photo:
            (width, height), mode = photo.size, photo.mode
        sha256 = hashlib.sha256(content).hexdigest()
        catalog.append([name, label, width, height, mode, sha256, "0" * 64])
        splits[name] = ("train", "test", "train", "validation", "train")[seen[label] % 5]
        rows.append([name, label, splits[name], sha256])
        seen[label] += 1
    tables.write_csv(root / paths.CATALOG, ["path", "label", "width", "height", "mode", "sha256", "phash"], catalog)
    tables.write_csv(root / paths.SPLITS, ["path", "label", "split", "sha256"], rows)
    few = "rare_class: 2 photos, filter.min_images is 100"
    rejected = [[n, n.split("/")[0], few] for n in found if n not in splits and n != unreadable]
    rejected.append([unreadable, unreadable.split("/")[0], "unreadable: not a photo in a known format"])
    tables.write_csv(root / paths.REJECTED, ["path", "label", "reason"], sorted(rejected))
    return splits


def _suspects(root: Path, splits: dict[str, str], labels: list[str]) -> None:
    """Every eleventh photo looks like the class after its own."""
    rows = []
    for number, name in enumerate(sorted(splits)[::11]):
        label = name.split("/")[0]
        looks = labels[(labels.index(label) + 1) % len(labels)]
        probability = 0.0005 + 0.4 * number / len(splits)
        rows.append(label_issues.LabelIssue(name, label, splits[name], looks, 0.99 - probability, probability))
    tables.write_rows(root / paths.SUSPECTS, label_issues.LabelIssue, rows)
    photos = len(splits)
    top1 = (photos - len(rows)) / photos
    files.write_json(
        root / paths.CHECK_LABELS_METRICS, {"photos": photos, "judged": photos, "top1": top1, "suspects": len(rows)}
    )


def _training(root: Path) -> None:
    columns = ["epoch", "phase", "train_loss", "validation_loss", "train_top1", "validation_top1", "lr"]
    history = []
    for epoch in range(1, 35):
        train = 0.35 + 1.2 * 0.88**epoch
        validation = 0.55 + 1.0 * 0.85**epoch + 0.0006 * max(0, epoch - 24) ** 1.5
        noise = 0.01 * np.sin(3.1 * epoch)
        top1 = 0.9 - 0.45 * 0.88**epoch, 0.8 - 0.3 * 0.85**epoch + noise
        history.append([epoch, "head", train, validation, *top1, 0.001])
    best = min(history, key=lambda row: row[3])
    tables.write_csv(root / paths.HISTORY, columns, history)
    metrics = dict(zip(columns[2:6], best[2:6], strict=True))
    layers = [
        Layer("backbone.stem", "Conv2d", "32 × 112 × 112", 864, 0),
        Layer("backbone.blocks", "Sequential", "1280", 3_370_140, 0),
        Layer("head.hidden", "Linear", "256", 331_210, 331_210),
    ]
    tables.write_rows(root / paths.LAYERS, Layer, layers)
    files.write_json(
        root / paths.TRAIN_METRICS,
        {
            "epochs": len(history),
            "best_epoch": best[0],
            **metrics,
            "intervals": _around({key: metrics[key] for key in ("validation_top1", "validation_loss")}),
            "temperature": 1.25,
            "fitted_temperature": {"temperature": 1.25, "loss_gain": 0.018, "standard_error": 0.006},
            "uncalibrated": _with_intervals(validation_loss=metrics["validation_loss"], validation_ece=0.061),
            "calibrated": _with_intervals(validation_loss=metrics["validation_loss"] - 0.02, validation_ece=0.032),
            "parameters": 3_702_214,
            "parameters_trained": 331_210,
        },
    )


def _around(metrics: dict[str, float]) -> dict[str, list[float]]:
    """An interval around each metric."""
    return {key: [0.9 * value, max(value, min(1.1 * value, 1.0))] for key, value in metrics.items()}


def _with_intervals(**metrics: float) -> dict[str, Any]:
    return {**metrics, "intervals": _around(metrics)}


def _predictions(root: Path, names: list[str], labels: list[str], actual: np.ndarray, p: np.ndarray) -> None:
    top = min(5, len(labels))
    columns = ["path", "actual", "predicted", "probability", "actual_probability"]
    columns += [f"{kind}{rank}" for rank in range(1, top + 1) for kind in ("label", "probability")]
    rows = []
    for name, truth, values in zip(names, actual, p, strict=True):
        order = np.argsort(-values, kind="stable")[:top]
        best = [item for rank in order for item in (labels[rank], float(values[rank]))]
        rows.append([name, labels[truth], labels[order[0]], float(values[order[0]]), float(values[truth]), *best])
    tables.write_csv(root / paths.PREDICTIONS, columns, rows)


def _results(root: Path, labels: list[str], train: Counter[str], actual: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    place = (np.argsort(-p, axis=1, kind="stable") == actual[:, None]).argmax(axis=1)
    predicted, loss = p.argmax(axis=1), -np.log(p[np.arange(len(actual)), actual])
    rows = []
    for number, label in enumerate(labels):
        own = actual == number
        count, right = int(own.sum()), int((place[own] == 0).sum())
        low, high = _wilson(right, count)
        named = int((predicted == number).sum())
        precision = right / named if named else ""
        f1 = 2 * right / (named + count)
        shares = [float((place[own] < k).mean()) for k in (1, 3, 5)]
        rows.append([label, train[label], count, shares[0], low, high, *shares[1:], loss[own].mean(), precision, f1])
    columns = ["label", "train_images", "test_images", "top1", "top1_low", "top1_high", "top3", "top5", "loss"]
    columns += ["precision", "f1"]
    tables.write_csv(root / paths.PER_CLASS, columns, [[_plain(cell) for cell in row] for row in rows])
    bins, ece = [], 0.0
    confidence = p.max(axis=1)
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            mean, accuracy = float(confidence[inside].mean()), float((place[inside] == 0).mean())
            bins.append([number / 15, (number + 1) / 15, int(inside.sum()), mean, accuracy])
            ece += abs(mean - accuracy) * float(inside.mean())
    tables.write_csv(root / paths.RELIABILITY, ["bin_low", "bin_high", "images", "confidence", "accuracy"], bins)
    low, high = _wilson(int((place == 0).sum()), len(actual))
    metrics: dict[str, Any] = {
        "images": len(actual),
        "top1": float((place == 0).mean()),
        "top1_low": low,
        "top1_high": high,
        "top3": float((place < 3).mean()),
        "top5": float((place < 5).mean()),
        "loss": float(loss.mean()),
        "mean_class_accuracy": float(np.mean([row[3] for row in rows])),
        "macro_f1": float(np.mean([row[-1] for row in rows])),
        "ece": ece,
    }
    metrics["intervals"] = _around(
        {key: metrics[key] for key in metrics if key not in ("images", "top1_low", "top1_high")}
    )
    metrics["intervals"]["top1"] = [low, high]
    metrics["uncalibrated"] = _with_intervals(loss=float(loss.mean()) + 0.015, ece=ece + 0.025)
    files.write_json(root / paths.EVALUATE_METRICS, metrics)
    return metrics


def _tta(
    root: Path,
    labels: list[str],
    actual: np.ndarray,
    p: np.ndarray,
    test: dict[str, Any],
    gain: tuple[float, float, float],
) -> None:
    count = len(actual)
    fixed, broken = (3 + round(gain[0] * count), 3) if gain[0] >= 0 else (3, 3 - round(gain[0] * count))
    added = (fixed - broken) / count
    validation = {"top1": 0.79, "loss": 0.61}
    files.write_json(
        root / paths.TTA_METRICS,
        {
            **{name: value for name, value in test.items() if name != "uncalibrated"},
            "top1": test["top1"] + added,
            "top1_low": test["top1_low"] + added,
            "top1_high": min(1.0, test["top1_high"] + added),
            "top1_gain": added,
            "top1_gain_low": gain[1],
            "top1_gain_high": gain[2],
            "fixed": fixed,
            "broken": broken,
            "policy": "flips",
            "views": 4,
            "validation": {
                "plain": validation,
                "flips": {"top1": 0.8, "loss": 0.58},
                "random": {"top1": 0.77, "loss": 0.66},
            },
        },
    )
    right = p.argmax(axis=1) == actual
    rows = []
    for number, label in enumerate(labels):
        own = int((actual == number).sum())
        plain = float(right[actual == number].mean())
        mine = fixed - broken if number == 0 else 0
        rows.append([label, own, plain, plain + mine / own, mine / own, max(0, mine), max(0, -mine)])
    columns = ["label", "test_images", "plain_top1", "tta_top1", "gain", "fixed", "broken"]
    tables.write_csv(root / paths.TTA_PER_CLASS, columns, rows)


def _wilson(right: int, count: int) -> tuple[float, float]:
    z, share = 1.959964, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _plain(cell: object) -> object:
    return cell.item() if isinstance(cell, np.generic) else cell
