"""What a preset reaches on its data, several seeds each, beside two comparators on the same split and backbone.

    python benchmarks/results.py PRESET ARCHIVE [--root FOLDER] [--set key=value …] [--seeds 5] [--recipe]

ARCHIVE is a zip or tar with a folder per class. Each seed draws its own split, views and first weights, and runs the
stage scripts in a scratch folder; the comparators read the same data/splits.csv and data/features:

    logistic regression   scikit-learn's, on standardised features of the plain views; C chosen on validation
    published recipe      the articles' notebooks as written (benchmarks/published_recipe.py); with --recipe, slow

Prints a line per seed as it goes and a Markdown table at the end: mean ± sample standard deviation over the seeds.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("download", "filter", "split", "featurize", "train", "evaluate", "tta_evaluate")
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)

Figures = dict[str, float]


def main() -> None:
    arguments = parse()
    runs: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("stages", "src"):
            shutil.copytree(ROOT / name, folder / name, symlinks=True)
        shutil.copy(ROOT / "dvc.yaml", folder)
        (folder / "data/incoming").mkdir(parents=True)
        for seed in range(arguments.seeds):
            write_params(folder / "params.yaml", arguments, seed)
            for stage in STAGES[2 if seed else 0 :]:
                subprocess.run(
                    [sys.executable, f"stages/{stage}.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL
                )
            for system, figures in measure(folder, arguments, seed).items():
                runs.setdefault(system, []).append(figures)
                print(f"seed {seed}  {system:20}  {json.dumps(figures)}", flush=True)
    print(table(runs))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--root", default=".", help="folder in the archive that holds the class folders")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="other params, as for dvc exp run -S")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipe", action="store_true", help="run the published recipe too")
    parser.add_argument("--recipe-batch", type=int, default=512)
    return parser.parse_args()


def write_params(path: Path, arguments: argparse.Namespace, seed: int) -> None:
    """The preset with this seed, the archive as its source, and what --set says."""
    yaml = YAML()
    settings = yaml.load(arguments.preset.read_text(encoding="utf-8"))
    archive = arguments.archive.resolve()
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    settings["dataset"] = {
        "source": "url",
        "archives": [{"url": archive.as_uri(), "sha256": sha256}],
        "licence": "as published",
        "layout": {"kind": "folders", "root": arguments.root},
    }
    settings["seed"] = seed
    for assignment in arguments.set:
        key, _, value = assignment.partition("=")
        *sections, name = key.split(".")
        place: Any = settings
        for section in sections:
            place = place[section]
        place[name] = YAML(typ="safe").load(value)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(settings, file)


def measure(folder: Path, arguments: argparse.Namespace, seed: int) -> dict[str, Figures]:
    """Each system's figures on the test photos of the split in `folder`."""
    plain = json.loads((folder / "metrics/evaluate.json").read_text())
    tta = json.loads((folder / "metrics/tta_evaluate.json").read_text())
    train = json.loads((folder / "metrics/train.json").read_text())
    systems = {
        "Boatyard": {
            "validation": train["validation_top1"],
            **{name: plain[name] for name in ("top1", "top5", "loss")},
            "tta_top1": tta["top1"],
        },
        "logistic regression": logistic_regression(folder),
    }
    if arguments.recipe:
        systems["published recipe"] = published_recipe(folder, arguments.recipe_batch, seed)
    return systems


def logistic_regression(folder: Path) -> Figures:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, top_k_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from boatyard.data import splitting

    rows = splitting.read_splits(folder / "data/splits.csv")
    classes = splitting.class_names(rows)
    features, labels = np.load(folder / "data/features/plain.npy"), splitting.labels(rows, classes)
    split = np.array([row.split for row in rows])
    train, validation, test = (split == name for name in ("train", "validation", "test"))
    fitted = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in STRENGTHS:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
            model.fit(features[train], labels[train])
            fitted.append((model.score(features[validation], labels[validation]), -strength, model))
    validation_top1, _, best = max(fitted, key=lambda entry: entry[:2])
    probabilities = best.predict_proba(features[test])
    numbers = np.arange(len(classes))
    return {
        "validation": validation_top1,
        "top1": float(best.score(features[test], labels[test])),
        "top5": float(top_k_accuracy_score(labels[test], probabilities, k=min(5, len(classes) - 1), labels=numbers)),
        "loss": float(log_loss(labels[test], probabilities, labels=numbers)),
    }


def published_recipe(folder: Path, batch_size: int, seed: int) -> Figures:
    import published_recipe as recipe

    from boatyard.data import splitting

    rows = splitting.read_splits(folder / "data/splits.csv")
    backbone = YAML(typ="safe").load(folder / "params.yaml")["model"]["backbone"]
    outcome = recipe.run(rows, folder / "data/raw", backbone, batch_size, seed)
    return {name: getattr(outcome, name) for name in ("top1", "top5", "loss", "tta_top1", "epochs")}


def table(runs: dict[str, list[Figures]]) -> str:
    """Markdown: a row for each system, mean ± standard deviation over its seeds."""
    columns = ("validation", "top1", "top5", "loss", "tta_top1")
    lines = ["| system | n | " + " | ".join(columns) + " |", "|---|---:|" + "---:|" * len(columns)]
    for system, figures in runs.items():
        cells = [spread([run[name] for run in figures if name in run]) for name in columns]
        lines.append(f"| {system} | {len(figures)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT / "src"))
    main()
