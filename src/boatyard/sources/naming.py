"""What a photo is called in data/raw: its class's folder, and a file name that is unique there."""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import LONGEST, unfit
from boatyard.core.splits import SEPARATOR, mark


@dataclass(frozen=True)
class Labelled:
    """A photo and its class, as a layout found them."""

    path: PurePosixPath  # below the layout's root
    label: str
    place: str  # where the label stands, for a message: a folder, a table's line
    below: PurePosixPath  # the path below the class's folder; its last part is the name that the photo should keep
    split: str = ""  # "train", "validation" or "test" where the data set came split


def assign(photos: Sequence[Labelled]) -> dict[PurePosixPath, PurePosixPath]:
    """Give each photo its path in data/raw: "<class>/<file>" to the photo's own path.

    A photo keeps its file name if no other of its class has it; `sub/dir/a.jpg` becomes `sub__dir__a.jpg` if one does.
    Photos of a data set that came split have the split's name in front: `train__a.jpg`.

    Raises:
        UserError: a class's name can't be a folder's, or two differ only in a way that some file systems do not see.
    """
    _check_labels(photos)
    groups: dict[tuple[str, str], list[Labelled]] = defaultdict(list)
    for photo in photos:
        groups[photo.label, photo.split].append(photo)
    targets = {}
    for (label, split), group in groups.items():
        prefix = mark(split, "")
        shared = Counter(alike(photo.below.name) for photo in group)
        taken: set[str] = set()
        for photo in sorted(group, key=lambda photo: (len(photo.below.parts), photo.below)):
            unique = shared[alike(photo.below.name)] == 1
            name = prefix + (photo.below.name if unique else SEPARATOR.join(photo.below.parts))
            if alike(name) in taken or len(name.encode()) > LONGEST:
                name = _with_hash(name, photo.below)
            taken.add(alike(name))
            targets[PurePosixPath(label, name)] = photo.path
    return targets


def _check_labels(photos: Sequence[Labelled]) -> None:
    seen: dict[str, Labelled] = {}
    for photo in photos:
        first = seen.setdefault(alike(photo.label), photo)
        if first.label != photo.label:
            raise UserError(
                f"{photo.place}: class {photo.label!r} differs from {first.label!r} ({first.place}) only in case or "
                "in how its letters are encoded: write both the same way"
            )
        if first is photo:
            problem = unfit(photo.label)
            if problem:
                raise UserError(
                    f"{photo.place}: class {photo.label!r} can't be a folder's name, it {problem}: rename it"
                )


def alike(name: str) -> str:
    """The same for names that some file systems take for one: in another case, or with composed letters."""
    return unicodedata.normalize("NFC", name).casefold()


def _with_hash(name: str, below: PurePosixPath) -> str:
    digest = hashlib.sha256(str(below).encode()).hexdigest()[:8]
    suffix = PurePosixPath(name).suffix[:16]
    stem = name.removesuffix(suffix).encode()[: LONGEST - 64].decode(errors="ignore")
    return f"{stem}-{digest}{suffix}"
