"""Dividing the photos into train, validation and test."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.splits import SPLITS, Sample, split_of
from boatyard.curation.catalog import Photo
from boatyard.params.schema import CountsSplit, Split, StratifiedSplit


def assign(photos: Sequence[Photo], groups: Sequence[int], split: Split, seed: int) -> list[Sample]:
    """Assign each photo to a split, as the `split` section of params.yaml says; `groups` are those of near duplicates.

    Raises:
        UserError: a class has no photo in one of the splits, or there are no published splits.
    """
    match split:
        case StratifiedSplit():
            return stratified(photos, groups, split, seed)
        case CountsSplit():
            return by_counts(photos, split.train, split.validation)
        case _:
            return published(photos)


def stratified(photos: Sequence[Photo], groups: Sequence[int], fractions: StratifiedSplit, seed: int) -> list[Sample]:
    """Divide every class by the same fractions, in an order that depends only on the photos' content and the seed.

    Photos of one group (near duplicates) stay in the same split. Photos are ranked by a hash of (seed, sha256). A group
    belongs to the class of its first photo and has that photo's rank; it occupies one position for each of its photos
    of the class, and goes to the split that contains the middle of these positions. With groups of one photo this is
    exact stratification; adding a photo moves each boundary of its class by less than one position.

    Args:
        photos: n photos, without exact duplicates.
        groups: n group numbers.
        fractions: of each class for train and validation; the rest is test.
        seed: of the ranks.

    Returns:
        n rows, sorted by path.
    """

    def rank(photo: Photo) -> str:
        return hashlib.blake2b(f"{seed} {photo.sha256}".encode(), digest_size=16).hexdigest()

    members: dict[int, list[Photo]] = defaultdict(list)
    for photo, number in sorted(zip(photos, groups, strict=True), key=lambda pair: rank(pair[0])):
        members[number].append(photo)
    by_class: dict[str, list[list[Photo]]] = defaultdict(list)
    for group in members.values():
        by_class[group[0].label].append(group)
    rows = []
    for label, ranked in by_class.items():
        sizes = [sum(photo.label == label for photo in group) for group in ranked]
        position, total = 0, sum(sizes)
        for size, group in zip(sizes, ranked, strict=True):
            middle = (position + size / 2) / total
            in_train, in_validation = middle <= fractions.train, middle <= fractions.train + fractions.validation
            split = "train" if in_train else "validation" if in_validation else "test"
            rows += [Sample(photo.path, photo.label, split, photo.sha256) for photo in group]
            position += size
    _check_each_class_in_each_split(
        rows,
        "raise filter.min_images, change the fractions, add photos, or lower split.near_duplicates if many of them "
        "are grouped",
    )
    return sorted(rows, key=lambda row: row.path)


def by_counts(photos: Sequence[Photo], train: int, validation: int) -> list[Sample]:
    """Per class, in file-name order: the first `train` photos, the next `validation`, the rest for test."""
    rows = []
    seen: Counter[str] = Counter()
    for photo in sorted(photos, key=lambda photo: photo.path):
        position = seen[photo.label]
        seen[photo.label] += 1
        split = "train" if position < train else "validation" if position < train + validation else "test"
        rows.append(Sample(photo.path, photo.label, split, photo.sha256))
    _check_each_class_in_each_split(
        rows, "lower split.train or split.validation, raise filter.min_images, or add photos"
    )
    return rows


def published(photos: Sequence[Photo]) -> list[Sample]:
    """The splits in which the data set is published."""
    rows = [Sample(photo.path, photo.label, split_of(PurePosixPath(photo.path).name), photo.sha256) for photo in photos]
    without = next((row.path for row in rows if not row.split), None)
    if without:
        raise UserError(
            f"{without} has no published split, but split.method is 'folders': "
            "set dataset.layout.kind to split_folders, or choose another split.method"
        )
    _check_each_class_in_each_split(rows, "add photos, name the class in filter.drop, or choose another split.method")
    return sorted(rows, key=lambda row: row.path)


def _check_each_class_in_each_split(rows: Iterable[Sample], fix: str) -> None:
    counts = Counter((row.label, row.split) for row in rows)
    for label in sorted({label for label, _ in counts}):
        for split in SPLITS:
            if not counts[label, split]:
                total = sum(counts[label, other] for other in SPLITS)
                raise UserError(f"class {label!r} ({total} photos) has none in {split}: {fix}")
