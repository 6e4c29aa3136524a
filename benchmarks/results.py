"""What a preset reaches on its data over several seeds, beside two comparators on the same splits; or, with --try,
which settings validation prefers.

Each seed draws its own split, views and first weights. The pipeline runs by `dvc repro` in a scratch folder, so that
what two settings or two calls share is made once. Printed are a line per run and a Markdown table: mean ± sample
standard deviation over the seeds.

Comparators, on the same data/splits.csv and backbone:

    logistic regression   scikit-learn's, on standardised features of the plain views; C chosen on validation
    published recipe      the articles' notebooks as written (benchmarks/published_recipe.py); only with --recipe

With --try nothing but training is run, so that no test photo is looked at. Each --try is one candidate: settings on top
of the preset and --set, in one text.

Examples, from the repository's root:

    python benchmarks/results.py presets/boats.yaml boats.zip --scratch work \\
        --set model.backbone=efficientnet_lite0 --try "" --try "train.lr=0.003 model.head.hidden=0"
    python benchmarks/results.py presets/boats.yaml boats.zip --scratch work \\
        --set model.backbone=efficientnet_lite0 --seeds 1 --recipe
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)

Figures = dict[str, float]


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.scratch or temporary)
        prepare(folder)
        columns, runs = choose(folder, arguments) if arguments.candidates else measure(folder, arguments)
    print(table(columns, runs))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", type=Path, help="a complete params.yaml, such as presets/boats.yaml")
    parser.add_argument("archive", type=Path, help="zip or tar with a folder of photos per class")
    parser.add_argument("--root", default=".", help="the folder in the archive that holds the class folders")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="other settings than the preset's: train.lr=0.01 …"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 … N−1 (default 5)")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="keep the runs there, for calls to come")
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--try", action="append", default=[], metavar="'KEY=VALUE …'", dest="candidates", help="once per candidate"
    )
    other.add_argument("--recipe", action="store_true", help="run the published recipe too: hours on a CPU")
    parser.add_argument(
        "--recipe-batch", type=int, default=512, metavar="N", help="batch size of the published recipe (default 512)"
    )
    return parser.parse_args()


def prepare(folder: Path) -> None:
    """Make `folder` a DVC repository with this one's code, without git."""
    for name in ("stages", "src", "models/weights"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    (folder / "data/incoming").mkdir(parents=True, exist_ok=True)
    if not (folder / ".dvc").exists():
        dvc(folder, "init", "--no-scm")
        for option in ("core.analytics", "core.check_update"):
            dvc(folder, "config", option, "false")


def choose(folder: Path, arguments: argparse.Namespace) -> tuple[list[str], dict[str, list[Figures]]]:
    """Each candidate's figures on validation."""
    runs: dict[str, list[Figures]] = {}
    for seed in range(arguments.seeds):
        for candidate in arguments.candidates:
            write_params(folder, arguments, seed, shlex.split(candidate))
            dvc(folder, "repro", "train")
            metrics = read_metrics(folder, "train")
            figures = {"validation top-1": metrics["validation_top1"], "loss": metrics["validation_loss"]}
            note(runs, candidate or "as set", seed, figures)
    return ["validation top-1", "loss"], runs


def measure(folder: Path, arguments: argparse.Namespace) -> tuple[list[str], dict[str, list[Figures]]]:
    """Each system's figures on the test photos."""
    runs: dict[str, list[Figures]] = {}
    for seed in range(arguments.seeds):
        write_params(folder, arguments, seed)
        dvc(folder, "repro", "evaluate", "tta_evaluate")
        plain, tta = read_metrics(folder, "evaluate"), read_metrics(folder, "tta_evaluate")
        figures = {
            "validation": read_metrics(folder, "train")["validation_top1"],
            "top-1": plain["top1"],
            "top-5": plain["top5"],
            "loss": plain["loss"],
            "top-1 with TTA": tta["top1"],
        }
        note(runs, "Boatyard", seed, figures)
        note(runs, "logistic regression", seed, logistic_regression(folder))
        if arguments.recipe:
            note(runs, "published recipe", seed, published_recipe(folder, arguments.recipe_batch, seed))
    return ["validation", "top-1", "top-5", "loss", "top-1 with TTA"], runs


def note(runs: dict[str, list[Figures]], name: str, seed: int, figures: Figures) -> None:
    """Keep a run's figures and print them."""
    runs.setdefault(name, []).append(figures)
    print(f"seed {seed}  {name:20}  {json.dumps(figures)}", flush=True)


def dvc(folder: Path, *command: str) -> None:
    """Run DVC in `folder`; a stage that fails has said why, so its exit status becomes ours."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the stages say `python`
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *command, "--quiet"],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        sys.exit(done.returncode)


def read_metrics(folder: Path, stage: str) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / f"metrics/{stage}.json").read_text())
    return metrics


def write_params(folder: Path, arguments: argparse.Namespace, seed: int, assignments: Iterable[str] = ()) -> None:
    """Write params.yaml: the preset with this seed, the archive as its source, what --set says, and `assignments`."""
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
    for assignment in [*arguments.set, *assignments]:
        key, _, value = assignment.partition("=")
        *sections, name = key.split(".")
        place: Any = settings
        for section in sections:
            place = place.get(section, {})
        if name not in place:
            sys.exit(f"{assignment}: {arguments.preset} has no setting {key}")
        place[name] = YAML(typ="safe").load(value)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(settings, file)


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
        "top-1": float(best.score(features[test], labels[test])),
        "top-5": float(top_k_accuracy_score(labels[test], probabilities, k=min(5, len(classes) - 1), labels=numbers)),
        "loss": float(log_loss(labels[test], probabilities, labels=numbers)),
    }


def published_recipe(folder: Path, batch_size: int, seed: int) -> Figures:
    import published_recipe as recipe

    from boatyard.data import splitting

    rows = splitting.read_splits(folder / "data/splits.csv")
    backbone = YAML(typ="safe").load(folder / "params.yaml")["model"]["backbone"]
    outcome = recipe.run(rows, folder / "data/raw", backbone, batch_size, seed)
    return {
        "validation": outcome.validation_top1,
        "top-1": outcome.top1,
        "top-5": outcome.top5,
        "loss": outcome.loss,
        "top-1 with TTA": outcome.tta_top1,
        "epochs": outcome.epochs,
    }


def table(columns: list[str], runs: dict[str, list[Figures]]) -> str:
    """Markdown: a row for each entry of `runs`, mean ± standard deviation over its seeds."""
    lines = ["| | n | " + " | ".join(columns) + " |", "|---|---:|" + "---:|" * len(columns)]
    for name, figures in runs.items():
        cells = [spread([run[column] for run in figures if column in run]) for column in columns]
        lines.append(f"| {name} | {len(figures)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


if __name__ == "__main__":
    main()
