"""How near duplicates come out on a folder of photos: pairs within the distance, and copies that are still found.

    python benchmarks/near_duplicates.py FOLDER [--photos 250]
    python benchmarks/near_duplicates.py --hashes 100000

First all photos are compared with one another, under each flip: what is found of copies that nobody planted, and by eye
among the last lines, which are the farthest pairs, what is found wrongly. Then some photos are changed as copies on the
web are, plain and mirrored, and it counts how many are still within the distance. With --hashes, what it costs to
group so many photos and to look a fifth of them up among the rest, as for leaks.
"""

import argparse
import io
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from boatyard import machine
from boatyard.data.duplicates import DISTANCE, FLIPS, group, nearest
from boatyard.data.phash import phash
from boatyard.data.photos import FORMATS, open_photo

Photo = Image.Image


def saved(photo: Photo, quality: int) -> Photo:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(photo: Photo, factor: float) -> Photo:
    size = max(1, round(photo.width * factor)), max(1, round(photo.height * factor))
    return photo.resize(size, Image.Resampling.BICUBIC)


def cut(photo: Photo, share: float) -> Photo:
    across, down = round(photo.width * share), round(photo.height * share)
    return photo.crop((across, down, photo.width - across, photo.height - down))


CHANGES: dict[str, Callable[[Photo], Photo]] = {
    "JPEG 50": lambda photo: saved(photo, 50),
    "× 0.6, JPEG 70": lambda photo: saved(scaled(photo, 0.6), 70),
    "× 0.35, JPEG 70": lambda photo: saved(scaled(photo, 0.35), 70),
    "× 1.5, JPEG 85": lambda photo: saved(scaled(photo, 1.5), 85),
    "squashed to 256 × 256, JPEG 80": lambda photo: saved(photo.resize((256, 256)), 80),
    "15 % brighter": lambda photo: photo.point([min(255, int(level * 1.15)) for level in range(256)] * 3),
    "1 % cut off each side, JPEG 85": lambda photo: saved(cut(photo, 0.01), 85),
    "2 % cut off each side, JPEG 85": lambda photo: saved(cut(photo, 0.02), 85),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--photos", type=int, default=250, help="how many are changed")
    parser.add_argument("--hashes", type=int, help="time so many random hashes instead")
    arguments = parser.parse_args()
    if arguments.hashes:
        cost(arguments.hashes)
    elif arguments.folder:
        compare(arguments.folder, arguments.photos)
    else:
        parser.error("a folder, or --hashes")


def cost(count: int) -> None:
    generator = np.random.default_rng(0)
    hashes = [generator.bytes(32).hex() for _ in range(count)]
    tasks: dict[str, Callable[[], object]] = {
        "grouped": lambda: group(hashes, DISTANCE),
        "a fifth looked up among the rest": lambda: nearest(hashes[: count // 5], hashes[count // 5 :], DISTANCE),
    }
    for name, task in tasks.items():
        start = time.process_time()
        task()
        print(f"{count:,} photos {name}: {time.process_time() - start:.1f} s of one core")
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def compare(folder: Path, photos: int) -> None:
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    with ThreadPoolExecutor(machine.workers()) as pool:
        hashes = list(pool.map(lambda path: phash(open_photo(path)), paths))

    members: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(group(hashes, DISTANCE).tolist()):
        members[number].append(place)
    groups = [places for places in members.values() if len(places) > 1]
    print(f"{len(paths):,} photos: {sum(map(len, groups)):,} in {len(groups):,} groups within {DISTANCE} bits")
    pairs: dict[str, list[tuple[int, Path, Path]]] = {flip: [] for flip in FLIPS}
    for places in groups:
        for number, place in enumerate(places):
            # The nearest earlier one under its flip: each photo counts once.
            (match,) = nearest([hashes[place]], [hashes[earlier] for earlier in places[:number]], DISTANCE)
            if match:
                pairs[match.flip].append((match.bits, paths[places[match.place]], paths[place]))
    for flip, found in pairs.items():
        print(f"{flip}: {len(found):,} photos that an earlier one is nearly the same as")
        for bits, *both in sorted(found)[-3:]:
            print(f"  {bits:2} bits: " + " · ".join(str(path.relative_to(folder)) for path in both))

    chosen = np.random.default_rng(0).permutation(len(paths))[:photos]
    print(f"copies of {len(chosen):,} photos within {DISTANCE} bits: plain, mirrored")
    for name, change in CHANGES.items():
        shares = []
        for turn in (lambda photo: photo, ImageOps.mirror):
            copies = [phash(turn(change(open_photo(paths[place])))) for place in chosen]
            found = [nearest([copy], [hashes[place]], DISTANCE)[0] for copy, place in zip(copies, chosen, strict=True)]
            shares.append(sum(match is not None for match in found) / len(chosen))
        print(f"  {name}: {shares[0]:.3f}, {shares[1]:.3f}")


if __name__ == "__main__":
    main()
