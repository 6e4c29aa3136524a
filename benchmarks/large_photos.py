"""How much time decoding large JPEGs at a smaller size saves, and how much it changes the views.

    python benchmarks/large_photos.py boats.zip [--photos 20]

Photos of a zip archive are enlarged to 12 megapixels, as from a phone's camera, with some noise, and saved as JPEG.
Then the views of a training photo, the plain one and four random ones of 224 pixels, are drawn from the photo at full
size and at the smaller size, in turn, on one core. It prints seconds per photo, medians with minimum and maximum, and
the difference between the views in levels of 255.
"""

import argparse
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from timing import machine

from boatyard.core import errors, files
from boatyard.images.decoding import open_photo
from boatyard.images.views import PLAIN, Preprocessing, Recipe
from boatyard.params import schema

SIZES = {True: (4000, 3000), False: (3000, 4000)}  # landscape, portrait
VIEWS = [PLAIN, 0, 1, 2, 3]
PREPROCESSING = Preprocessing(224, 0.875, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# The preset's views without rotation, whose cost is not measured here.
PRESET = files.read_yaml(Path(__file__).parents[1] / "presets/boats.yaml")
AUGMENT = schema.Augment.model_validate(PRESET["augment"] | {"rotation": 0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--photos", type=int, default=20, metavar="N", help="default 20")
    arguments = parser.parse_args()
    recipe = Recipe(PREPROCESSING, AUGMENT, 0)
    whole, small, levels = [], [], []
    with zipfile.ZipFile(arguments.archive) as archive, tempfile.TemporaryDirectory() as folder:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        for number, name in enumerate(names[:: max(1, len(names) // arguments.photos)][: arguments.photos]):
            path = Path(folder) / "photo.jpg"
            with archive.open(name) as file, Image.open(file) as photo:
                enlarge(photo.convert("RGB"), number).save(path, quality=90)
            started = time.perf_counter()
            expected = recipe.plan(open_photo(path), name, VIEWS).views()
            between = time.perf_counter()
            found = recipe.open(path, name, VIEWS).views()
            whole.append(between - started)
            small.append(time.perf_counter() - between)
            levels.append(np.abs(np.stack(expected).astype(int) - np.stack(found)))
    ratios = [one / other for one, other in zip(whole, small, strict=True)]
    print(machine())
    print(f"whole  {spread(whole)} s a photo")
    print(f"small  {spread(small)} s a photo")
    print(f"ratio  {spread(ratios)}, n {len(ratios)}")
    print(f"levels that differ: {np.mean(levels):.2f} on average, {np.max(levels)} at most")


def enlarge(photo: Image.Image, number: int) -> Image.Image:
    pixels = np.asarray(photo.resize(SIZES[photo.width > photo.height], Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(number).normal(0, 4, pixels.shape).astype(np.float32)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    errors.run(main)
