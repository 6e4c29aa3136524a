"""Near duplicates in a folder of photos: pairs within the distance, and which altered copies are found.

    python benchmarks/near_duplicates.py FOLDER [--photos 250]
    python benchmarks/near_duplicates.py --hashes 25000 100000 400000 [--like FOLDER] [--all-pairs 100000]

First all photos are compared with one another, under each flip. This finds existing copies; the last lines are the
farthest pairs, to check for false positives by eye. Then some photos are altered as copies on the web are, plain and
mirrored, and the script counts how many are still within the distance.

With --hashes, it measures grouping so many photos and looking up a fifth of them among the rest, as for leaks: random
hashes, frames of one film, and with --like hashes derived from those of a folder's photos. For up to --all-pairs
hashes, every pair is compared as well, in the same process, and the results must be the same.
"""

import argparse
import io
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from boatyard.core import machine
from boatyard.curation import hash_index
from boatyard.curation.near_duplicates import DISTANCE, FLIPS, Match, group, nearest
from boatyard.curation.perceptual_hash import BITS, phash
from boatyard.images.decoding import open_photo
from boatyard.images.formats import FORMATS

Photo = Image.Image
Bits = NDArray[np.uint8]


def saved(photo: Photo, quality: int) -> Photo:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(photo: Photo, factor: float) -> Photo:
    size = max(1, round(photo.width * factor)), max(1, round(photo.height * factor))
    return photo.resize(size, Image.Resampling.BICUBIC)


def cropped(photo: Photo, share: float) -> Photo:
    across, down = round(photo.width * share), round(photo.height * share)
    return photo.crop((across, down, photo.width - across, photo.height - down))


CHANGES: dict[str, Callable[[Photo], Photo]] = {
    "JPEG 50": lambda photo: saved(photo, 50),
    "× 0.6, JPEG 70": lambda photo: saved(scaled(photo, 0.6), 70),
    "× 0.35, JPEG 70": lambda photo: saved(scaled(photo, 0.35), 70),
    "× 1.5, JPEG 85": lambda photo: saved(scaled(photo, 1.5), 85),
    "squashed to 256 × 256, JPEG 80": lambda photo: saved(photo.resize((256, 256)), 80),
    "15 % brighter": lambda photo: photo.point([min(255, int(level * 1.15)) for level in range(256)] * 3),
    "1 % cropped on each side, JPEG 85": lambda photo: saved(cropped(photo, 0.01), 85),
    "2 % cropped on each side, JPEG 85": lambda photo: saved(cropped(photo, 0.02), 85),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--photos", type=int, default=250, help="number of photos to alter")
    parser.add_argument("--hashes", type=int, nargs="+", help="measure these numbers of hashes instead")
    parser.add_argument("--like", type=Path, help="a folder of photos: measure similar hashes too")
    parser.add_argument(
        "--all-pairs", type=int, default=25_000, help="largest number of hashes for which all pairs are compared too"
    )
    arguments = parser.parse_args()
    if arguments.hashes:
        real = hashes_of(photos_below(arguments.like)) if arguments.like else []
        cost(arguments.hashes, real, arguments.all_pairs)
    elif arguments.folder:
        compare(arguments.folder, arguments.photos)
    else:
        parser.error("name a folder, or use --hashes")


def cost(counts: list[int], real: list[str], all_pairs: int) -> None:
    kinds: dict[str, Callable[[int, np.random.Generator], Bits]] = {
        "random": lambda count, generator: generator.integers(0, 2, (count, BITS), np.uint8),
        "a film": film,
    }
    if real:
        seen = np.unpackbits(np.frombuffer(bytes.fromhex("".join(real)), np.uint8)).reshape(-1, BITS)
        kinds["like the photos'"] = lambda count, generator: crossed(seen, count, generator)
    print("hashes, seconds of one core: grouped; a fifth looked up among the rest (by comparing all pairs)")
    for kind, draw in kinds.items():
        for count in counts:
            bits = draw(count, np.random.default_rng(0))
            hashes = [row.tobytes().hex() for row in np.packbits(bits, axis=1)]
            done = timed(hashes)
            figures = [f"{seconds:.1f}" for _, seconds in done]
            if count <= all_pairs:
                with mock.patch.object(hash_index, "choose_parts", return_value=[]):
                    reference = timed(hashes)
                if [found for found, _ in done] != [found for found, _ in reference]:
                    raise SystemExit(f"{count:,} hashes, {kind}: comparing all pairs gives another result")
                figures = [f"{mine} ({seconds:.1f})" for mine, (_, seconds) in zip(figures, reference, strict=True)]
            grouped = count - len(set(done[0][0]))
            print(f"{kind}, {count:,}: {'; '.join(figures)}; {grouped:,} photos joined others", flush=True)
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def timed(hashes: list[str]) -> list[tuple[list[int] | list[Match | None], float]]:
    """The results, and seconds of processor time."""
    fifth = len(hashes) // 5
    tasks: list[Callable[[], list[int] | list[Match | None]]] = [
        lambda: group(hashes, DISTANCE).tolist(),
        lambda: nearest(hashes[:fifth], hashes[fifth:], DISTANCE),
    ]
    results = []
    for task in tasks:
        start = time.process_time()
        found = task()
        results.append((found, time.process_time() - start))
    return results


def film(count: int, generator: np.random.Generator) -> Bits:
    """Similar frames: each within about 5 bits of one hash."""
    frame = generator.integers(0, 2, BITS, np.uint8)
    return np.stack([frame ^ (generator.random(BITS) < 5 / BITS) for _ in range(count)])


def crossed(seen: Bits, count: int, generator: np.random.Generator) -> Bits:
    """Each a photo's hash with 3 bits in 10 from another photo's; one in ten is a copy with up to 29 bits changed."""
    bits = seen[generator.integers(0, len(seen), count)]
    for start in range(0, count, 10_000):
        some = bits[start : start + 10_000]
        other = seen[generator.integers(0, len(seen), len(some))]
        taken = generator.random(some.shape) < 0.3
        some[taken] = other[taken]
    for place in generator.permutation(count)[: count // 10]:
        copy = bits[generator.integers(0, count)].copy()
        copy[generator.permutation(BITS)[: generator.integers(0, 30)]] ^= 1
        bits[place] = copy
    return bits


def photos_below(folder: Path) -> list[Path]:
    suffixes = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
    return sorted(path for path in folder.rglob("*") if path.name.lower().endswith(suffixes))


def hashes_of(paths: list[Path]) -> list[str]:
    with ThreadPoolExecutor(machine.workers()) as pool:
        return list(pool.map(lambda path: phash(open_photo(path)), paths))


def compare(folder: Path, photos: int) -> None:
    paths = photos_below(folder)
    hashes = hashes_of(paths)

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
                pairs[match.flip].append((match.bits, paths[places[match.other]], paths[place]))
    for flip, those in pairs.items():
        print(f"{flip}: {len(those):,} photos that are near duplicates of an earlier one")
        for bits, *both in sorted(those)[-3:]:
            print(f"  {bits:2} bits: " + " · ".join(str(path.relative_to(folder)) for path in both))

    chosen = np.random.default_rng(0).permutation(len(paths))[:photos]
    print(f"copies of {len(chosen):,} photos within {DISTANCE} bits: plain, mirrored")
    for name, change in CHANGES.items():
        shares = []
        for orient in (lambda photo: photo, ImageOps.mirror):
            copies = [phash(orient(change(open_photo(paths[place])))) for place in chosen]
            found = [nearest([copy], [hashes[place]], DISTANCE)[0] for copy, place in zip(copies, chosen, strict=True)]
            shares.append(sum(match is not None for match in found) / len(chosen))
        print(f"  {name}: {shares[0]:.3f}, {shares[1]:.3f}")


if __name__ == "__main__":
    main()
