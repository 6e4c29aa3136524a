"""The path of each photo in data/raw: its class's folder, and a file name that is unique there."""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import MAX_NAME_BYTES, label_problem
from boatyard.core.splits import SEPARATOR, mark
from boatyard.sources.interface import LabelledPhoto


def assign(photos: Sequence[LabelledPhoto]) -> dict[PurePosixPath, PurePosixPath]:
    """Give each photo its path in data/raw: a mapping from "<class>/<file>" to the photo's own path.

    A photo keeps its file name if no other photo of its class has it; otherwise `sub/dir/a.jpg` becomes
    `sub__dir__a.jpg`. Photos of a data set that is published in splits get the split's name in front: `train__a.jpg`.

    Raises:
        UserError: a class's name can't be a folder's, or two differ only in a way that some file systems ignore.
    """
    _check_labels(photos)
    groups: dict[tuple[str, str], list[LabelledPhoto]] = defaultdict(list)
    for photo in photos:
        groups[photo.label, photo.split].append(photo)
    targets = {}
    for (label, split), group in groups.items():
        prefix = mark(split, "")
        counts = Counter(folded(photo.relative.name) for photo in group)
        taken: set[str] = set()
        for photo in sorted(group, key=lambda photo: (len(photo.relative.parts), photo.relative)):
            unique = counts[folded(photo.relative.name)] == 1
            name = prefix + (photo.relative.name if unique else SEPARATOR.join(photo.relative.parts))
            if folded(name) in taken or len(name.encode()) > MAX_NAME_BYTES:
                name = _with_hash(name, photo.relative)
            taken.add(folded(name))
            targets[PurePosixPath(label, name)] = photo.path
    return targets


def _check_labels(photos: Sequence[LabelledPhoto]) -> None:
    seen: dict[str, LabelledPhoto] = {}
    for photo in photos:
        first = seen.setdefault(folded(photo.label), photo)
        if first.label != photo.label:
            raise UserError(
                f"{photo.place}: class {photo.label!r} differs from {first.label!r} ({first.place}) only in case or "
                "in how its letters are encoded: write both the same way"
            )
        if first is photo and (problem := label_problem(photo.label)):
            raise UserError(
                f"{photo.place}: class {photo.label!r} can't be the name of a folder, it {problem}: rename it"
            )


def folded(name: str) -> str:
    """The name in one case and one Unicode form; some file systems treat names as equal if this is equal."""
    return unicodedata.normalize("NFC", name).casefold()


def _with_hash(name: str, relative: PurePosixPath) -> str:
    digest = hashlib.sha256(str(relative).encode()).hexdigest()[:8]
    suffix = PurePosixPath(name).suffix[:16]
    stem = name.removesuffix(suffix).encode()[: MAX_NAME_BYTES - 64].decode(errors="ignore")
    return f"{stem}-{digest}{suffix}"
