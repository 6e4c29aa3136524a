"""The catalogue: the facts about each photo, which photos are kept, and why the others are rejected."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter
from boatyard.core.splits import split_of

# One photo for each of train, validation and test.
SMALLEST_CLASS = 3


@dataclass(frozen=True)
class Photo:
    """A readable photo. `path` is relative to data/raw, with '/'; width and height are in pixels, upright."""

    path: str
    label: str
    width: int
    height: int
    mode: str
    sha256: str
    phash: str


@dataclass(frozen=True)
class Rejected:
    """A photo that is left out. `reason` starts with one of `REASONS`; details may follow after a colon."""

    path: str
    label: str
    reason: str


@dataclass(frozen=True)
class ClassCount:
    """A row of plots/class_counts.csv: photos of a class as found, and as kept by the filter (0: it is left out)."""

    label: str
    images: int
    kept: int


@dataclass(frozen=True)
class ImageSize:
    """A row of plots/image_sizes.csv: the number of kept photos of this size, in pixels."""

    width: int
    height: int
    images: int


# Which copy of a photo to keep if a data set has it in several of its published splits: the first of these.
_KEPT_FIRST = ("test", "validation", "train", "")

REASONS = ("unreadable", "dropped_class", "two_labels", "duplicate", "rare_class")


def list_photos(raw: Path) -> list[str]:
    """All files in data/raw/<class>/ except hidden files and clutter, relative to `raw` and sorted."""
    if not raw.is_dir():
        raise UserError(f"{raw} does not exist: run `dvc repro download`")
    found = (path.relative_to(raw) for path in raw.glob("*/*"))
    return sorted(path.as_posix() for path in found if not any(map(is_clutter, path.parts)))


def select(
    found: Sequence[Photo | Rejected], min_images: int, keep: Sequence[str], drop: Sequence[str]
) -> tuple[list[Photo], list[Rejected]]:
    """Choose the photos to keep; also return the others with their reasons. Both are sorted by path.

    Rejected are, in this order: photos that can't be read; classes dropped by name, or not among those to keep; photos
    under two labels, all copies, since neither label can be trusted; copies of a photo under one label; classes with
    fewer than `min_images` photos left. Of copies the first path is kept. If the data set is published in splits, it is
    the one in test, else the one in validation, so that the test set stays complete and nothing in it is trained on.

    Raises:
        UserError: a named class does not exist, fewer than two classes are left, or a class is too small to split.
    """
    labels = {entry.label for entry in found}
    for key, names in (("keep", keep), ("drop", drop)):
        for name in names:
            if name not in labels:
                known = ", ".join(sorted(labels)) or "none"
                raise UserError(f"filter.{key}: there is no class {name!r}; the classes are {known}")
    unreadable = [entry for entry in found if isinstance(entry, Rejected)]
    rejected = list(unreadable)
    kept = sorted((entry for entry in found if isinstance(entry, Photo)), key=lambda photo: photo.path)

    def reject(reasons: dict[str, str]) -> None:
        nonlocal kept
        rejected.extend(Rejected(p.path, p.label, reasons[p.path]) for p in kept if p.path in reasons)
        kept = [photo for photo in kept if photo.path not in reasons]

    chosen = (set(keep) or labels) - set(drop)
    reject({photo.path: "dropped_class" for photo in kept if photo.label not in chosen})
    copies: dict[str, list[Photo]] = defaultdict(list)
    for photo in kept:
        copies[photo.sha256].append(photo)
    of_copies: dict[str, str] = {}
    for same in copies.values():
        one_label = len({photo.label for photo in same}) == 1
        of_copies |= _duplicate_reasons(same) if one_label else _two_label_reasons(same)
    reject(of_copies)
    counts = Counter(photo.label for photo in kept)
    few = f"photos, filter.min_images is {min_images}"
    rare = {label: f"rare_class: {count} {few}" for label, count in counts.items() if count < min_images}
    reject({photo.path: rare[photo.label] for photo in kept if photo.label in rare})
    _check_classes(counts, min_images, unreadable)
    return kept, sorted(rejected, key=lambda photo: photo.path)


def _duplicate_reasons(same: Sequence[Photo]) -> dict[str, str]:
    """The reasons for all copies of a photo under one label except the one to keep."""
    first = min(same, key=lambda photo: (_KEPT_FIRST.index(_published_split(photo)), photo.path))
    reasons = {}
    for photo in same:
        here, there = _published_split(photo), _published_split(first)
        leak = f", a leak: the data set has it in {here} and in {there}" if here and there and here != there else ""
        reasons[photo.path] = f"duplicate: same bytes as {first.path}{leak}"
    del reasons[first.path]
    return reasons


def _published_split(photo: Photo) -> str:
    return split_of(PurePosixPath(photo.path).name)


def count_leaks(found: Iterable[Photo | Rejected]) -> int:
    """The number of photos that are, byte for byte, in more than one of the data set's published splits."""
    parts: dict[str, set[str]] = defaultdict(set)
    for photo in found:
        if isinstance(photo, Photo):
            parts[photo.sha256].add(_published_split(photo))
    return sum(len(several - {""}) > 1 for several in parts.values())


def _two_label_reasons(same: Sequence[Photo]) -> dict[str, str]:
    """The reason for each copy of a photo under several labels; it names a copy with another label."""
    counts = Counter(photo.label for photo in same)
    first = same[0]
    second = next(photo for photo in same if photo.label != first.label)
    reasons = {}
    for photo in same:
        other = second if photo.label == first.label else first
        more = len(same) - counts[photo.label] - 1
        reasons[photo.path] = f"two_labels: also {other.path}" + (f" and {more} more" if more else "")
    return reasons


def _check_classes(counts: Counter[str], min_images: int, unreadable: Sequence[Rejected]) -> None:
    kept = {label: count for label, count in counts.items() if count >= min_images}
    # data/rejected.csv, which has all the reasons, is written only if enough photos are left.
    others = ""
    if unreadable:
        reason = unreadable[0].reason.removeprefix("unreadable: ")
        others = f"; {len(unreadable)} can't be read, such as {unreadable[0].path}: {reason}"
    if len(kept) < 2:
        found = ", ".join(f"{label} {count}" for label, count in counts.most_common(10)) or "none"
        left = "1 class" if kept else "0 classes"
        raise UserError(
            f"{left} left, but at least two are needed; lower filter.min_images ({min_images}), "
            f"or change filter.keep and filter.drop (photos per class: {found}{others})"
        )
    label, count = min(kept.items(), key=lambda item: (item[1], item[0]))
    if count < SMALLEST_CLASS:
        photos = "1 photo" if count == 1 else f"{count} photos"
        raise UserError(
            f"class {label!r} has {photos}, too few for train, validation and test; "
            f"set filter.min_images to {SMALLEST_CLASS} or more, or add photos{others}"
        )


def reason_counts(rejected: Iterable[Rejected]) -> dict[str, int]:
    """The number of rejected photos for each of `REASONS`."""
    counts = Counter(photo.reason.split(":", 1)[0] for photo in rejected)
    return {reason: counts[reason] for reason in REASONS}
