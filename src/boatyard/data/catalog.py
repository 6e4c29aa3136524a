"""The catalogue: what each photo is, which photos stay, and why the others do not."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash

from boatyard import files
from boatyard.data.photos import UnreadablePhoto, inspect_photo
from boatyard.errors import UserError

# One photo for each of train, validation and test.
SMALLEST_CLASS = 3

# 16×16 bits: on photos that were scaled to 0.6 and recompressed the distance stayed within 22 bits, while 64-bit hashes
# of different photos of one class lie as close as those of copies.
PHASH_SIDE = 16


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


REASONS = ("unreadable", "dropped_class", "two_labels", "duplicate", "rare_class")


def list_photos(raw: Path) -> list[str]:
    """Every file under data/raw/<class>/, relative to `raw`, in one order on every machine."""
    if not raw.is_dir():
        raise UserError(f"{raw} is not here: run `dvc repro download`")
    return sorted(path.relative_to(raw).as_posix() for path in raw.glob("*/*"))


def inspect(raw: Path, names: Sequence[str], workers: int) -> Iterator[Photo | Rejected]:
    """Decode and hash every named photo, in the order given; a photo that can't be decoded comes as `Rejected`."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda name: _inspect_one(raw, name), names)


def _inspect_one(raw: Path, name: str) -> Photo | Rejected:
    label = name.split("/", 1)[0]
    path = raw / name
    try:
        image, mode = inspect_photo(path)
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except UnreadablePhoto as error:
        return Rejected(name, label, f"unreadable: {error}")
    except OSError as error:
        return Rejected(name, label, f"unreadable: {error.strerror}")
    phash = str(imagehash.phash(image, hash_size=PHASH_SIDE))
    return Photo(name, label, image.width, image.height, mode, sha256, phash)


def sift(
    photos: Sequence[Photo], min_images: int, keep: Sequence[str], drop: Sequence[str]
) -> tuple[list[Photo], list[Rejected]]:
    """Which photos stay, and why the others do not.

    In this order: classes dropped by name (or not among those to keep), a photo that stands under two labels (neither
    can be trusted, so no copy stays), copies of a photo under one label (the first path stays), classes with fewer than
    `min_images` photos left.

    Raises:
        UserError: a named class does not exist, fewer than two classes stay, or a class is too small to split.
    """
    labels = {photo.label for photo in photos}
    for key, names in (("keep", keep), ("drop", drop)):
        for name in names:
            if name not in labels:
                raise UserError(f"filter.{key}: there is no class {name!r}; there are {', '.join(sorted(labels))}")
    rejected: list[Rejected] = []

    def leave_out(reason: dict[str, str], among: list[Photo]) -> list[Photo]:
        rejected.extend(
            Rejected(photo.path, photo.label, reason[photo.path]) for photo in among if photo.path in reason
        )
        return [photo for photo in among if photo.path not in reason]

    staying = list(photos)
    chosen = set(keep) or labels
    staying = leave_out({p.path: "dropped_class" for p in staying if p.label in drop or p.label not in chosen}, staying)
    copies: dict[str, list[Photo]] = defaultdict(list)
    for photo in sorted(staying, key=lambda photo: photo.path):
        copies[photo.sha256].append(photo)
    two_labels, duplicate = {}, {}
    for same in copies.values():
        if len({photo.label for photo in same}) > 1:
            two_labels.update({p.path: f"two_labels: also {_others(same, p)}" for p in same})
        else:
            duplicate.update({p.path: f"duplicate: same bytes as {same[0].path}" for p in same[1:]})
    staying = leave_out(two_labels, staying)
    staying = leave_out(duplicate, staying)
    counts = Counter(photo.label for photo in staying)
    rare = {
        p.path: f"rare_class: {counts[p.label]} photos, filter.min_images is {min_images}"
        for p in staying
        if counts[p.label] < min_images
    }
    staying = leave_out(rare, staying)
    _check_classes(staying, counts, min_images)
    return sorted(staying, key=lambda p: p.path), rejected


def _others(same: Iterable[Photo], photo: Photo) -> str:
    return ", ".join(other.path for other in same if other.label != photo.label)


def _check_classes(staying: Sequence[Photo], counts: Counter[str], min_images: int) -> None:
    kept = Counter(photo.label for photo in staying)
    if len(kept) < 2:
        found = ", ".join(f"{label} {count}" for label, count in counts.most_common(10)) or "none"
        raise UserError(
            f"{len(kept)} class(es) left, and a classifier needs two; lower filter.min_images ({min_images}), "
            f"or change filter.keep and filter.drop (photos per class: {found})"
        )
    label, count = min(kept.items(), key=lambda item: (item[1], item[0]))
    if count < SMALLEST_CLASS:
        raise UserError(
            f"class {label!r} has {count} photo(s), too few for train, validation and test; "
            f"set filter.min_images to {SMALLEST_CLASS} or more, or add photos"
        )


def reason_counts(rejected: Iterable[Rejected]) -> dict[str, int]:
    """How many photos were left out for each of `REASONS`."""
    counts = Counter(photo.reason.split(":", 1)[0] for photo in rejected)
    return {reason: counts[reason] for reason in REASONS}


def write_catalog(path: Path, photos: Iterable[Photo]) -> None:
    """Write data/catalog.csv."""
    files.write_rows(path, Photo, photos)


def read_catalog(path: Path) -> list[Photo]:
    """Read data/catalog.csv."""
    return files.read_rows(path, Photo)


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """Write data/rejected.csv, sorted by path."""
    files.write_rows(path, Rejected, sorted(rejected, key=lambda photo: photo.path))


def read_rejected(path: Path) -> list[Rejected]:
    """Read data/rejected.csv."""
    return files.read_rows(path, Rejected)
