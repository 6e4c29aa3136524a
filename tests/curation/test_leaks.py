"""Planted leaks: copies of test photos in train, recompressed, resized and mirrored, are found, and nothing else."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import drawn_photos
import numpy as np
import pytest
from inspection_cache import in_memory
from PIL import Image, ImageOps
from ruamel.yaml import YAML

from boatyard.core import splits, tables
from boatyard.core.splits import Sample
from boatyard.curation import catalog, inspections, leaks, near_duplicates, splitting
from boatyard.curation.catalog import Photo
from boatyard.curation.duplicate_groups import NearDuplicate
from boatyard.curation.leaks import Leak
from boatyard.images.decoding import open_photo

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = ("bays", "capes", "isles")
EACH = 12

Change = Callable[[Image.Image], Image.Image]


def scene(seed: int) -> Image.Image:
    """Noise with more power at lower frequencies, as in natural photos; 200 × 150 pixels."""
    generator = np.random.default_rng(seed)
    levels = np.full((150, 200, 3), 128.0)
    for octave in range(1, 7):
        noise = Image.fromarray(generator.integers(0, 256, (2**octave, 2**octave, 3), dtype=np.uint8))
        levels += (np.asarray(noise.resize((200, 150), Image.Resampling.BICUBIC), float) - 128) / 1.5**octave
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def recompressed(photo: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def resized(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width * 3 // 2, photo.height * 3 // 2), Image.Resampling.BICUBIC)


def rotated_180(photo: Image.Image) -> Image.Image:
    return photo.rotate(180)


# The changes to a test photo before it is planted, and the expected flip.
PLANTED: dict[str, tuple[tuple[Change, ...], str]] = {
    "re-encoded": ((), "plain"),
    "recompressed": ((recompressed,), "plain"),
    "resized": ((resized, recompressed), "plain"),
    "mirrored": ((ImageOps.mirror,), "horizontal"),
    "mirrored, resized, recompressed": ((ImageOps.mirror, resized, recompressed), "horizontal"),
    "upside down": ((ImageOps.flip, recompressed), "vertical"),
    "turned by half": ((rotated_180, recompressed), "both"),
}


def plant(raw: Path) -> dict[str, tuple[str, str]]:
    """Write a split data set with copies of test photos in train; return each copy's original and flip."""
    for label in CLASSES:
        (raw / label).mkdir(parents=True)
        for number in range(EACH):
            split = "train" if number < EACH - 5 else "validation" if number < EACH - 3 else "test"
            photo = scene(CLASSES.index(label) * EACH + number)
            photo.save(raw / label / splits.mark(split, f"{number:02d}.jpg"), quality=95)
    tests = sorted(raw.glob("*/test__*"))
    planted = {}
    for number, (original, (changes, flip)) in enumerate(zip(tests, PLANTED.values(), strict=False)):
        photo = open_photo(original)
        for change in changes:
            photo = change(photo)
        # Some copies have the same label, the others have another.
        label = CLASSES[number % len(CLASSES)]
        path = raw / label / splits.mark("train", f"planted {number}.png")
        photo.save(path)
        planted[path.relative_to(raw).as_posix()] = (original.relative_to(raw).as_posix(), flip)
    # The same bytes are not a leak, since filter keeps only one of the two.
    shutil.copy(tests[-1], tests[-1].with_name(splits.mark("train", "same bytes.jpg")))
    assert tests[-1].relative_to(raw).as_posix() not in dict(planted.values())
    return planted


def run(root: Path, stage: str) -> str:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / f"stages/{stage}.py")], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def set_params(root: Path, split: dict[str, object]) -> None:
    params = YAML(typ="safe").load((REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8"))
    layout = {"kind": "split_folders", "root": "."}
    params["dataset"] = {"source": "folder", "licence": "private", "layout": layout}
    params["filter"]["min_images"] = 8
    params["split"] = split
    with (root / "params.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(params, stream)
    shutil.copy(REPOSITORY / "dvc.yaml", root)


def test_a_planted_leak_is_found_and_counted(tmp_path: Path) -> None:
    planted = plant(tmp_path / "data/raw")
    set_params(tmp_path, {"method": "folders"})
    run(tmp_path, "filter")

    said = run(tmp_path, "split")

    found = tables.read_rows(tmp_path / "data/leaks.csv", Leak)
    leaked = {original for original, _ in planted.values()}
    assert {leak.path for leak in found} == leaked
    for leak in found:
        assert (leak.split, leak.like_split) == ("test", "train")
        assert leak.path == planted[leak.like][0]
        assert leak.flip == planted[leak.like][1]
        assert leak.bits <= near_duplicates.DISTANCE
    metrics = json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))
    assert (metrics["leaked_test"], metrics["leaked_validation"]) == (len(leaked), 0)
    assert metrics["near_duplicate_photos"] == len(leaked) + len(planted)
    alike = tables.read_rows(tmp_path / "data/near_duplicates.csv", NearDuplicate)
    assert {row.path for row in alike} == leaked | planted.keys()
    first = {row.path: row.first for row in alike}
    assert all(first[copy] == first[original] for copy, (original, _) in planted.items())
    assert f"LEAK: {len(leaked)} test and 0 validation photos are near duplicates of photos in an earlier split" in said
    with (tmp_path / "data/rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = [(row["path"], row["reason"]) for row in csv.DictReader(file)]
    reason = "duplicate: same bytes as isles/test__11.jpg, a leak: the data set has it in train and in test"
    assert rejected == [("isles/train__same bytes.jpg", reason)]


def test_a_stratified_split_of_the_same_photos_has_no_leak(tmp_path: Path) -> None:
    plant(tmp_path / "data/raw")
    stratified = {"method": "stratified", "train": 0.5, "validation": 0.25, "test": 0.25, "near_duplicates": 24}
    set_params(tmp_path, stratified)
    run(tmp_path, "filter")

    assert "LEAK" not in run(tmp_path, "split")

    assert tables.read_rows(tmp_path / "data/leaks.csv", Leak) == []
    assert json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))["leaked_test"] == 0
    # If it keeps only equal hashes together, there is a leak, and the message names the setting that fixes it.
    set_params(tmp_path, {**stratified, "near_duplicates": 0})
    assert "split.near_duplicates keeps such photos in the same split" in run(tmp_path, "split")
    assert tables.read_rows(tmp_path / "data/leaks.csv", Leak) != []


def photos(*hashes: str) -> list[Photo]:
    return [Photo(f"a/{number}", "a", 1, 1, "L", f"{number:064d}", phash) for number, phash in enumerate(hashes)]


FAR = "0f" * 32
NEAR = "0f" * 31 + "0e"


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (("train", "test"), [("a/1", "test", "a/0", "train")]),
        (("test", "train"), [("a/0", "test", "a/1", "train")]),
        (("train", "validation"), [("a/1", "validation", "a/0", "train")]),
        (("validation", "test"), [("a/1", "test", "a/0", "validation")]),
        (("train", "train"), []),
        (("test", "test"), []),
    ],
)
def test_a_leak_points_from_the_later_split_to_the_earlier(
    splits: tuple[str, str], expected: list[tuple[str, str, str, str]]
) -> None:
    known = photos(FAR, NEAR)
    rows = [Sample(photo.path, photo.label, split, photo.sha256) for photo, split in zip(known, splits, strict=True)]
    found = leaks.find(known, rows)
    assert [(leak.path, leak.split, leak.like, leak.like_split) for leak in found] == expected
    assert all((leak.bits, leak.flip) == (1, "plain") for leak in found)


def test_splits_without_near_duplicates_have_no_leak(tmp_path: Path) -> None:
    for label in drawn_photos.CLASSES:
        (tmp_path / label).mkdir()
        for number in range(12):
            drawn_photos.draw_photo(tmp_path, label, number)
    decoded = inspections.inspect(tmp_path, catalog.list_photos(tmp_path), 2, in_memory())
    found = [photo for photo in decoded if isinstance(photo, Photo)]
    assert leaks.find(found, splitting.by_counts(found, 6, 3)) == []


def test_the_table_is_read_back(tmp_path: Path) -> None:
    leak = leaks.Leak('b/"1", x.png', "b", "test", "a/2.png", "a", "train", "both", 24)
    written = [leak, replace(leak, path="b/3", bits=0)]
    tables.write_rows(tmp_path / "leaks.csv", Leak, written)
    assert tables.read_rows(tmp_path / "leaks.csv", Leak) == written
