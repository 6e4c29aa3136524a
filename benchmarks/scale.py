"""How the pipeline scales with the number of photos: seconds and peak memory of each stage, and DVC's share.

The photos are synthetic, 96 × 96 pixels and a few kB each, and are resized to 64 pixels, with one random view per
training photo, so that the costs are those of their number and not of their size. Each stage runs by itself, followed
by `dvc commit`, which is what DVC does after a stage. Then come a `dvc repro` with nothing to do and a `dvc push` to a
folder. Prints a Markdown table to standard output, progress to standard error.

Example, from the repository's root (100,000 photos take about half an hour on 2 cores):

    python benchmarks/scale.py 1000 10000 100000 --classes 1000
"""

import argparse
import sys
import tempfile
from pathlib import Path

# No heavy import here: a process's peak memory is at least that of the process that started it.
import scratch
from timing import Ran, machine, run

from boatyard.core import errors, files, paths

DATASET = {"source": "folder", "licence": "drawn", "layout": {"kind": "folders", "root": "."}}
SETTINGS = (
    *("image.size=64", "features.views=1", "filter.min_images=3", "train.epochs=10"),
    *("image.crop=0.875", "model.backbone=efficientnet_lite0", "model.head.hidden=0"),
)
SIDE = 96
HERE = Path(__file__).resolve().parent


def main() -> None:
    arguments = parse()
    measured: dict[int, dict[str, Ran]] = {}
    for photos in arguments.photos:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "run"
            measured[photos] = measure(folder, photos, min(arguments.classes, photos // 10))
    print(machine(), table(measured), sep="\n\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=int, nargs="+", metavar="N", help="numbers of photos, each at least 100")
    parser.add_argument(
        "--classes",
        type=int,
        default=1000,
        metavar="K",
        help="at most this many classes (default 1000), each with 10 or more photos",
    )
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)  # the process that draws the photos
    arguments = parser.parse_args()
    if min(arguments.photos) < 100 or arguments.classes < 2:
        parser.error("at least 100 photos and 2 classes are needed")
    if arguments.draw:
        draw(arguments.draw, arguments.photos[0], arguments.classes)
        sys.exit()
    return arguments


def draw(folder: Path, photos: int, classes: int) -> None:
    """Write synthetic photos, equally many per class: the class's pattern of 4 × 4 colours, plus noise."""
    import numpy as np
    from PIL import Image

    for number in range(photos):
        label = number % classes
        pattern = np.random.default_rng(label).integers(0, 256, (4, 4, 3), np.uint8)
        noise = np.random.default_rng([1, number]).normal(0, 60, (12, 12, 3))
        coarse = np.asarray(Image.fromarray(pattern).resize((12, 12), Image.Resampling.BILINEAR), float) + noise
        photo = Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        path = folder / f"class {label:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.save(path, quality=90)


def measure(folder: Path, photos: int, classes: int) -> dict[str, Ran]:
    """Run every stage on this many photos."""
    scratch.prepare(folder)
    scratch.write_params(folder, HERE.parent / "presets/improved/boats.yaml", DATASET, SETTINGS)
    measured: dict[str, Ran] = {}

    def note(name: str, *command: str | Path) -> None:
        measured[name] = ran = run(folder, *command)
        print(f"{photos:,} photos: {name} {ran.seconds:,.1f} s, {ran.peak:,.0f} MB", file=sys.stderr, flush=True)

    run(folder, HERE / "scale.py", str(photos), "--classes", str(classes), "--draw", folder / paths.INCOMING)
    for stage in files.read_yaml(folder / paths.PIPELINE)["stages"]:
        note(stage, f"stages/{stage}.py")
        note(f"{stage}, DVC", "-m", "dvc", "commit", "--quiet", "--force", stage)
    note("nothing to do", "-m", "dvc", "repro", "--quiet")
    scratch.dvc(folder, "remote", "add", "--default", "there", str(folder.parent / "remote"))
    note("push", "-m", "dvc", "push", "--quiet")
    return measured


def table(measured: dict[int, dict[str, Ran]]) -> str:
    """Markdown: a row for each command, seconds and megabytes for each number of photos."""
    head = "".join(f" {photos:,} photos: s | MB |" for photos in measured)
    lines = [f"| |{head}", "|---|" + "---:|---:|" * len(measured)]
    for name in next(iter(measured.values())):
        cells = "".join(f" {ran.seconds:,.1f} | {ran.peak:,.0f} |" for ran in (of[name] for of in measured.values()))
        lines.append(f"| {name} |{cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    errors.run(main)
