"""The test results of a preset over several seeds, and of two baselines on the same splits; or, with --try, which
settings are best on validation.

Each seed has its own split, views and initial weights. The pipeline runs by `dvc repro` in a scratch folder, so that
work shared by two settings or two calls is done once. Prints a line per run and a Markdown table: mean ± sample
standard deviation over the seeds.

A preset with `dataset.source: folder` runs as it is, with the archive unpacked into data/incoming. Another one gets a
`dataset` section for the archive; --root is the folder in it that has the class folders.

Baselines, on the same data/splits.csv and backbone:

    logistic regression   scikit-learn's, on standardised features of the plain views; C chosen on validation; not
                          with --alone
    published recipe      the articles' notebooks as written (benchmarks/published_recipe.py); only with --recipe

With --try only training runs, so no test photo is used. Each --try is one candidate: settings on top of the preset and
--set, in one string.

Examples, from the repository's root:

    python benchmarks/results.py presets/improved/boats.yaml boats.zip --scratch work \\
        --try "" --try "train.lr=0.003 model.head.hidden=0"
    python benchmarks/results.py presets/offline/boats.yaml boats.zip --scratch work --seeds 1 --recipe
"""

import argparse
import json
import multiprocessing
import shlex
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scratch
from scratch import dvc, read_metrics

from boatyard.core import errors, files, machine, paths, splits

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)

Figures = dict[str, float]


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.scratch or temporary)
        scratch.prepare(folder)
        columns, runs = choose(folder, arguments) if arguments.candidates else measure(folder, arguments)
    print(table(columns, runs))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scratch.add_arguments(parser)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="number of seeds (default 5)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="seeds S … S+N−1 (default 0)")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="keep the runs there for later calls")
    parser.add_argument("--alone", action="store_true", help="without logistic regression")
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--try", action="append", default=[], metavar="'KEY=VALUE …'", dest="candidates", help="once per candidate"
    )
    other.add_argument("--recipe", action="store_true", help="also run the published recipe (hours on a CPU)")
    parser.add_argument(
        "--recipe-batch", type=int, default=512, metavar="N", help="batch size of the published recipe (default 512)"
    )
    arguments = parser.parse_args()
    if arguments.seeds < 1 or arguments.first_seed < 0:
        parser.error("--seeds must be at least 1, --first-seed at least 0")
    return arguments


def choose(folder: Path, arguments: argparse.Namespace) -> tuple[list[str], dict[str, list[Figures]]]:
    """Each candidate's validation results."""
    runs: dict[str, list[Figures]] = {}
    for seed in seeds(arguments):
        for candidate in arguments.candidates:
            write_params(folder, arguments, seed, shlex.split(candidate))
            dvc(folder, "repro", "train")
            metrics = read_metrics(folder, "train")
            figures = {"validation top-1": metrics["validation_top1"], "loss": metrics["validation_loss"]}
            note(runs, candidate or "as set", seed, figures)
    return ["validation top-1", "loss"], runs


def measure(folder: Path, arguments: argparse.Namespace) -> tuple[list[str], dict[str, list[Figures]]]:
    """Each system's test results."""
    runs: dict[str, list[Figures]] = {}
    for seed in seeds(arguments):
        write_params(folder, arguments, seed)
        started = time.perf_counter()
        dvc(folder, "repro", "evaluate", "tta_evaluate")
        minutes = (time.perf_counter() - started) / 60
        trained, plain, tta = (read_metrics(folder, stage) for stage in ("train", "evaluate", "tta_evaluate"))
        figures = {
            "validation": trained["validation_top1"],
            "top-1": plain["top1"],
            "top-5": plain["top5"],
            "loss": plain["loss"],
            "top-1 with TTA": tta["top1"],
            "epochs": trained["epochs"],
            "minutes": minutes,
        }
        note(runs, "Boatyard", seed, figures)
        if not arguments.alone:
            note(runs, "logistic regression", seed, logistic_regression(folder))
        if arguments.recipe:
            note(runs, "published recipe", seed, published_recipe(folder, arguments.recipe_batch, seed))
    return ["validation", "top-1", "top-5", "loss", "top-1 with TTA", "epochs", "minutes"], runs


def seeds(arguments: argparse.Namespace) -> range:
    return range(arguments.first_seed, arguments.first_seed + arguments.seeds)


def note(runs: dict[str, list[Figures]], name: str, seed: int, figures: Figures) -> None:
    """Record and print a run's figures."""
    runs.setdefault(name, []).append(figures)
    print(f"seed {seed}  {name:20}  {json.dumps(figures)}", flush=True)


def write_params(folder: Path, arguments: argparse.Namespace, seed: int, assignments: Iterable[str] = ()) -> None:
    dataset = files.read_yaml(arguments.preset)["dataset"]
    incoming = folder / paths.INCOMING
    if dataset["source"] != "folder":
        dataset = scratch.from_archive(arguments.archive, arguments.root)
    elif not any(incoming.iterdir()):
        shutil.unpack_archive(arguments.archive, incoming)
    scratch.write_params(folder, arguments.preset, dataset, [f"seed={seed}", *arguments.set, *assignments])


def logistic_regression(folder: Path) -> Figures:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, top_k_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = splits.read_splits(folder / "data/splits.csv")
    classes = splits.class_names(rows)
    features, labels = np.load(folder / "data/features/plain.npy"), splits.labels(rows, classes)
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

    rows = splits.read_splits(folder / "data/splits.csv")
    model = files.read_yaml(folder / "params.yaml")["model"]
    # Loaders forked from this process would copy its memory as it runs, and an epoch would take up to twice as long.
    multiprocessing.set_forkserver_preload(["torch", "torchvision"])
    outcome = recipe.run(
        rows,
        folder,
        model["backbone"],
        model["weights"],
        batch_size,
        seed,
        machine.device(),
        start_method="forkserver",
    )
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
    errors.run(main)
