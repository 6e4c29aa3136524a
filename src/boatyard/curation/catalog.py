"""The catalogue: what each photo is, which photos stay, and why the others do not."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boatyard.core import tables
from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter
from boatyard.core.splits import split_of

# One photo for each of train, validation and test.
SMALLEST_CLASS = 3


@dataclass(frozen=True)
class Photo:
    """A readable photo. `path` is relative to data/raw, with '/'; width and height in pixels, as it is seen upright."""

    path: str
    label: str
    width: int
    height: int
    mode: str
    sha256: str
    phash: str


@dataclass(frozen=True)
class Rejected:
    """A photo that is left out. `reason` starts with one of `REASONS`, then may say more after a colon."""

    path: str
    label: str
    reason: str


# Of copies in several parts of a given split, which one stays.
_STAYS_FIRST = ("test", "validation", "train", "")

REASONS = ("unreadable", "dropped_class", "two_labels", "duplicate", "rare_class")


def list_photos(raw: Path) -> list[str]:
    """All that lies in data/raw/<class>/ but hidden files and clutter, relative to `raw`, in one order everywhere."""
    if not raw.is_dir():
        raise UserError(f"{raw} is not here: run `dvc repro download`")
    found = (path.relative_to(raw) for path in raw.glob("*/*"))
    return sorted(path.as_posix() for path in found if not any(map(is_clutter, path.parts)))


def sift(
    found: Sequence[Photo | Rejected], min_images: int, keep: Sequence[str], drop: Sequence[str]
) -> tuple[list[Photo], list[Rejected]]:
    """Which photos stay, sorted by path, and why the others do not.

    In this order: photos that can't be read, classes dropped by name (or not among those to keep), a photo that stands
    under two labels (neither can be trusted, so no copy stays), copies of a photo under one label (the first path
    stays; where the data set came split, the one in test, else the one in validation, so that what the model is
    measured on stays whole and is not trained on), classes with fewer than `min_images` photos left.

    Raises:
        UserError: a named class does not exist, fewer than two classes stay, or a class is too small to split.
    """
    labels = {entry.label for entry in found}
    for key, names in (("keep", keep), ("drop", drop)):
        for name in names:
            if name not in labels:
                there = ", ".join(sorted(labels)) or "none"
                raise UserError(f"filter.{key}: there is no class {name!r}; there are {there}")
    unreadable = [entry for entry in found if isinstance(entry, Rejected)]
    rejected = list(unreadable)
    staying = sorted((entry for entry in found if isinstance(entry, Photo)), key=lambda photo: photo.path)

    def leave_out(reasons: dict[str, str]) -> None:
        nonlocal staying
        rejected.extend(Rejected(p.path, p.label, reasons[p.path]) for p in staying if p.path in reasons)
        staying = [photo for photo in staying if photo.path not in reasons]

    chosen = (set(keep) or labels) - set(drop)
    leave_out({photo.path: "dropped_class" for photo in staying if photo.label not in chosen})
    copies: dict[str, list[Photo]] = defaultdict(list)
    for photo in staying:
        copies[photo.sha256].append(photo)
    two_labels, duplicate = {}, {}
    for same in copies.values():
        if len({photo.label for photo in same}) > 1:
            two_labels.update(_also(same))
        else:
            duplicate.update(_copies(same))
    leave_out(two_labels)
    leave_out(duplicate)
    counts = Counter(photo.label for photo in staying)
    rare = {
        photo.path: f"rare_class: {counts[photo.label]} photos, filter.min_images is {min_images}"
        for photo in staying
        if counts[photo.label] < min_images
    }
    leave_out(rare)
    _check_classes(staying, counts, min_images, unreadable)
    return staying, rejected


def _copies(same: Sequence[Photo]) -> dict[str, str]:
    """Why the copies of a photo under one label do not stay, but for one."""
    first = min(same, key=lambda photo: (_STAYS_FIRST.index(_given_split(photo)), photo.path))
    reasons = {}
    for photo in same:
        if photo is not first:
            here, there = _given_split(photo), _given_split(first)
            leak = f", a leak: the data set has it in {here} and in {there}" if here and there and here != there else ""
            reasons[photo.path] = f"duplicate: same bytes as {first.path}{leak}"
    return reasons


def _given_split(photo: Photo) -> str:
    return split_of(PurePosixPath(photo.path).name)


def leaks(found: Iterable[Photo | Rejected]) -> int:
    """How many photos stand, byte for byte, in more than one part of the split that the data set came with."""
    parts: dict[str, set[str]] = defaultdict(set)
    for photo in found:
        if isinstance(photo, Photo):
            parts[photo.sha256].add(_given_split(photo))
    return sum(len(several - {""}) > 1 for several in parts.values())


def _also(same: Sequence[Photo]) -> dict[str, str]:
    """Why no copy of a photo under several labels stays: a reason for each, which names a copy labelled otherwise."""
    counts = Counter(photo.label for photo in same)
    first = same[0]
    second = next(photo for photo in same if photo.label != first.label)
    reasons = {}
    for photo in same:
        other = second if photo.label == first.label else first
        more = len(same) - counts[photo.label] - 1
        reasons[photo.path] = f"two_labels: also {other.path}" + (f" and {more} more" if more else "")
    return reasons


def _check_classes(
    staying: Sequence[Photo], counts: Counter[str], min_images: int, unreadable: Sequence[Rejected]
) -> None:
    kept = Counter(photo.label for photo in staying)
    # data/rejected.csv, which says why, is only written when enough stay.
    others = ""
    if unreadable:
        reason = unreadable[0].reason.removeprefix("unreadable: ")
        others = f"; {len(unreadable)} can't be read, such as {unreadable[0].path}: {reason}"
    if len(kept) < 2:
        found = ", ".join(f"{label} {count}" for label, count in counts.most_common(10)) or "none"
        raise UserError(
            f"{len(kept)} class(es) left, and a classifier needs two; lower filter.min_images ({min_images}), "
            f"or change filter.keep and filter.drop (photos per class: {found}{others})"
        )
    label, count = min(kept.items(), key=lambda item: (item[1], item[0]))
    if count < SMALLEST_CLASS:
        raise UserError(
            f"class {label!r} has {count} photo(s), too few for train, validation and test; "
            f"set filter.min_images to {SMALLEST_CLASS} or more, or add photos{others}"
        )


def reason_counts(rejected: Iterable[Rejected]) -> dict[str, int]:
    """How many photos were left out for each of `REASONS`."""
    counts = Counter(photo.reason.split(":", 1)[0] for photo in rejected)
    return {reason: counts[reason] for reason in REASONS}


def write_catalog(path: Path, photos: Iterable[Photo]) -> None:
    """Write data/catalog.csv."""
    tables.write_rows(path, Photo, photos)


def read_catalog(path: Path) -> list[Photo]:
    """Read data/catalog.csv."""
    return tables.read_rows(path, Photo)


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write data/rejected.csv, sorted by path."""
    tables.write_rows(path, Rejected, sorted(rejected, key=lambda photo: photo.path))


def read_rejected(path: Path) -> list[Rejected]:
    """Read data/rejected.csv."""
    return tables.read_rows(path, Rejected)
