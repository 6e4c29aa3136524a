"""Which photo is for training, which for validation, which for test."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from boatyard.core.errors import UserError
from boatyard.core.splits import SPLITS, Sample, split_of
from boatyard.curation.catalog import Photo


class Fractions(Protocol):
    """The parts of a stratified split; they add up to 1."""

    train: float
    validation: float


def stratified(photos: Sequence[Photo], groups: Sequence[int], fractions: Fractions, seed: int) -> list[Sample]:
    """Cut every class by the same fractions, in an order that only the photos' content and the seed decide.

    Photos of one group (near duplicates) stay together. A group stands in its first photo's class, at that photo's
    place: ranked by a hash of (seed, sha256). It takes as many places there as it has photos of the class, and falls to
    the split in which the middle of those places lies. With groups of one photo that is exact stratification; an added
    photo moves each boundary of its class by less than one place.

    Args:
        photos: n photos, each content once.
        groups: n group numbers.
        fractions: of each class for training and validation; the rest is test.
        seed: shuffles all classes.

    Returns:
        n rows, sorted by path.

    Raises:
        UserError: a class has no photo in one of the splits.
    """
    members: dict[int, list[Photo]] = defaultdict(list)
    for photo, group in zip(photos, groups, strict=True):
        members[group].append(photo)
    units: dict[str, list[tuple[str, list[Photo]]]] = defaultdict(list)
    for together in members.values():
        first = min(together, key=lambda photo: _rank(photo.sha256, seed))
        units[first.label].append((_rank(first.sha256, seed), together))
    rows = []
    for label, ranked in units.items():
        ranked.sort(key=lambda unit: unit[0])
        sizes = [sum(photo.label == label for photo in together) for _, together in ranked]
        places, total = 0, sum(sizes)
        for size, (_, together) in zip(sizes, ranked, strict=True):
            split = _side((places + size / 2) / total, fractions)
            rows += [Sample(photo.path, photo.label, split, photo.sha256) for photo in together]
            places += size
    _check_each_class_everywhere(
        rows,
        "raise filter.min_images, change the fractions, add photos, or lower split.near_duplicates if many of them "
        "count as one",
    )
    return sorted(rows, key=lambda row: row.path)


def by_counts(photos: Sequence[Photo], train: int, validation: int) -> list[Sample]:
    """Per class, in file-name order: the first `train` photos, the next `validation`, the rest for test.

    Raises:
        UserError: a class has no photo in one of the splits.
    """
    rows = []
    seen: Counter[str] = Counter()
    for photo in sorted(photos, key=lambda photo: photo.path):
        place = seen[photo.label]
        seen[photo.label] += 1
        split = "train" if place < train else "validation" if place < train + validation else "test"
        rows.append(Sample(photo.path, photo.label, split, photo.sha256))
    _check_each_class_everywhere(rows, "lower split.train or split.validation, raise filter.min_images, or add photos")
    return rows


def as_given(photos: Sequence[Photo]) -> list[Sample]:
    """The split that the data set came with.

    Raises:
        UserError: it came with none, or a class has no photo in one of the splits.
    """
    rows = [Sample(photo.path, photo.label, split_of(PurePosixPath(photo.path).name), photo.sha256) for photo in photos]
    without = next((row.path for row in rows if not row.split), None)
    if without:
        raise UserError(
            f"{without} came with no split, and split.method is 'folders': set dataset.layout.kind to split_folders, "
            "or choose another split.method"
        )
    _check_each_class_everywhere(rows, "add photos, name the class in filter.drop, or choose another split.method")
    return sorted(rows, key=lambda row: row.path)


def _side(middle: float, fractions: Fractions) -> str:
    if middle <= fractions.train:
        return "train"
    return "validation" if middle <= fractions.train + fractions.validation else "test"


def _rank(sha256: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed} {sha256}".encode(), digest_size=16).hexdigest()


def _check_each_class_everywhere(rows: Iterable[Sample], fix: str) -> None:
    counts = Counter((row.label, row.split) for row in rows)
    for label in sorted({label for label, _ in counts}):
        for split in SPLITS:
            if not counts[label, split]:
                total = sum(counts[label, other] for other in SPLITS)
                raise UserError(f"class {label!r} ({total} photos) has none in {split}: {fix}")
