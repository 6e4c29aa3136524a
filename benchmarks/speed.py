"""The speed of the pipeline, compared with the articles' recipe and with the limits of the machine.

Everything runs one after another, in child processes, on the same photos and cores. A Markdown table goes to standard
output, progress to standard error. The photos are unpacked to data/incoming of a temporary folder, like a user's own. A
repetition measures every figure once; the figures of a ratio come from one repetition. With --recipe, the articles'
recipe (benchmarks/published_recipe.py) runs once, in the middle: its epochs are its repetitions. It runs with channels
last, which halves its time on a CPU; two epochs run as written, without.

Examples, from the repository's root:

    python benchmarks/speed.py presets/offline/boats.yaml boats.zip --recipe
    python benchmarks/speed.py presets/offline/boats.yaml some.zip --repetitions 1 --recipe --recipe-epochs 2 \\
        --set filter.min_images=3
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Nothing heavy is imported here: a process's peak memory is at least that of the one that started it.
import scratch
from ratios import Samples, rows, table
from timing import Ran, head_seconds, machine, run, stages, views

from boatyard.core import errors, files, paths, tables
from boatyard.core.errors import UserError

TO_TTA = ("split", "featurize", "train", "export", "evaluate", "tta_evaluate")
ADDED = 10
INDEX_RECORD = 24  # bytes per embedding, in src/boatyard/features/store.py
OWN_PHOTOS = {"source": "folder", "licence": "as published", "layout": {"kind": "folders", "root": "."}}
HERE = Path(__file__).resolve().parent


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scratch.prepare(folder)
        write_params(folder, arguments, scratch.from_archive(arguments.archive, arguments.root))
        unpack(folder)
        write_params(folder, arguments)
        scratch.dvc(folder, "repro")
        samples: Samples = {}
        for number in range(1, arguments.repetitions + 1):
            for name, value in repetition(folder, arguments, number).items():
                samples.setdefault(name, []).append(value)
                say(f"repetition {number} of {arguments.repetitions}: {name} {value:,.2f}")
            if arguments.recipe and number == (arguments.repetitions + 1) // 2:
                samples |= recipe(folder, arguments)
    print(machine(), table(rows(samples)), sep="\n\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scratch.add_arguments(parser)
    parser.add_argument(
        "--repetitions", type=count, default=5, metavar="N", help="of each of the pipeline's figures (default 5)"
    )
    parser.add_argument("--recipe", action="store_true", help="run the published recipe too: half an hour on 2 cores")
    parser.add_argument("--recipe-epochs", type=count, default=100, metavar="N", help="at most (default 100)")
    parser.add_argument("--recipe-batch", type=count, default=512, metavar="N", help="its batch size (default 512)")
    return parser.parse_args()


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def write_params(folder: Path, arguments: argparse.Namespace, dataset: Any = OWN_PHOTOS, *assignments: str) -> None:
    scratch.write_params(folder, arguments.preset, dataset, [*arguments.set, *assignments])


def unpack(folder: Path) -> None:
    """Put the archive's photos into data/incoming, a folder per class, with the pipeline's own download."""
    scratch.dvc(folder, "repro", "download")
    shutil.copytree(folder / paths.RAW, folder / paths.INCOMING, dirs_exist_ok=True)


@contextmanager
def without_embeddings(folder: Path) -> Iterator[None]:
    """Hide the cached embeddings."""
    store, aside = folder / paths.FEATURE_ROWS, folder / paths.WORK / "aside"
    store.rename(aside)
    try:
        yield
    finally:
        shutil.rmtree(store, ignore_errors=True)
        aside.rename(store)


@contextmanager
def ten_photos_fewer(folder: Path) -> Iterator[Callable[[], None]]:
    """Take ten photos of the largest class out of data/incoming; yields a function that puts them back."""
    photos = tables.read_csv(folder / paths.SPLITS)
    (label, size), *_ = Counter(photo["label"] for photo in photos).most_common(1)
    if size < 2 * ADDED:
        raise UserError(
            f"the largest class has only {size} photos, but {ADDED} of them are to be added later: use more photos"
        )
    names = [photo["path"] for photo in photos if photo["label"] == label][:: size // ADDED][:ADDED]

    def move(source: Path, target: Path) -> None:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).rename(target / name)

    incoming, aside = folder / paths.INCOMING, folder / "aside"
    move(incoming, aside)
    yield lambda: move(aside, incoming)


def repetition(folder: Path, arguments: argparse.Namespace, number: int) -> dict[str, float]:
    """Every figure once. The pipeline is up to date before and after."""
    found: dict[str, float] = {}

    def measure(name: str, *command: str | Path) -> Ran:
        ran = run(folder, *command)
        found[name], found[f"{name} MB"] = ran.seconds, ran.peak
        return ran

    def repro(name: str, *options: str) -> Ran:
        return measure(name, "-m", "dvc", "repro", "--no-run-cache", *options)

    measure("import torch", "-c", "import torch, torchvision")
    measure("import onnxruntime", "-c", "import numpy, onnxruntime, PIL.Image")
    measure("import DVC", "-m", "dvc", "root")

    for cached in (paths.FEATURE_ROWS, paths.GRAPHS, paths.BACKBONES):
        if (folder / cached).exists():
            shutil.rmtree(folder / cached)
    whole = repro("whole", "--force", "--single-item", *TO_TTA)
    found |= {f"whole, {stage}": seconds for stage, seconds in stages(whole).items()}
    indexes = (folder / paths.FEATURE_ROWS).glob("*/index*.bin")
    found["whole views"] = sum(index.stat().st_size for index in indexes) / INDEX_RECORD
    found["validation"] = scratch.read_metrics(folder, "train")["validation_top1"]
    scratch.dvc(folder, "repro")
    repro("no-op")
    photo = tables.read_csv(folder / paths.SPLITS)[0]["path"]
    measure("predict", "-m", "boatyard", "predict", paths.RAW / photo)
    found["head"] = head_seconds(measure("train", "stages/train.py"))
    found |= json.loads(run(folder, HERE / "limits.py").text)

    with without_embeddings(folder):
        measure("evaluate", "stages/evaluate.py")
    measure("evaluate start", "stages/evaluate.py")
    found["evaluate views"] = scratch.read_metrics(folder, "evaluate")["images"]

    rate = files.read_yaml(folder / paths.PARAMS)["train"]["lr"]
    write_params(folder, arguments, OWN_PHOTOS, f"train.lr={rate * (1 - 0.01 * number)}")
    found |= {f"rate, {stage}": seconds for stage, seconds in stages(repro("rate")).items()}
    write_params(folder, arguments)

    with without_embeddings(folder), ten_photos_fewer(folder) as put_back:
        scratch.dvc(folder, "repro", "split")
        found["featurize views"], _ = views(measure("featurize", "stages/featurize.py"))
        measure("featurize start", "stages/featurize.py")
        put_back()
        repro("added, split", "split")
        found["added views"], found["all views"] = views(measure("added", "stages/featurize.py"))
    return found


def recipe(folder: Path, arguments: argparse.Namespace) -> Samples:
    """The figures of the published recipe, on the same split."""
    options = ["--batch", str(arguments.recipe_batch), "--epochs", str(arguments.recipe_epochs)]
    ran = run(folder, HERE / "published_recipe.py", *options)
    outcome = json.loads(ran.text)
    ran_as_written = run(folder, HERE / "published_recipe.py", *options[:2], "--epochs", "2", "--as-written")
    as_written = json.loads(ran_as_written.text)
    epochs = outcome["epochs"]
    return {
        "recipe as written epoch": as_written["epoch_seconds"],
        "recipe as written test": [as_written["test_seconds"]],
        "recipe as written": [epochs * seconds + as_written["test_seconds"] for seconds in as_written["epoch_seconds"]],
        "recipe epochs": [epochs],
        "recipe": [ran.seconds],
        "recipe MB": [ran.peak],
        "recipe epoch": outcome["epoch_seconds"],
        "recipe test": [outcome["test_seconds"]],
        "recipe validation": [outcome["validation_top1"]],
    }


if __name__ == "__main__":
    errors.run(main)
