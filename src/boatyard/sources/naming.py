"""The path of each photo in data/raw: its class's folder, and a file name that is unique there."""

import difflib
import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from boatyard.core.errors import UserError
from boatyard.core.file_names import MAX_NAME_BYTES, label_problem
from boatyard.core.splits import SEPARATOR, mark
from boatyard.sources.interface import LabelledPhoto


def rename(photos: Sequence[LabelledPhoto], names: Mapping[str, str], title: str) -> list[LabelledPhoto]:
    """The photos with their classes renamed by `names`; see `check_names`.

    The old name becomes part of the path within a class that several are merged into, where file names may be equal.
    """
    check_names(names, {photo.label for photo in photos}, title)
    merged = {name for name, count in Counter(names.values()).items() if count > 1}
    renamed = []
    for photo in photos:
        label = names.get(photo.label, photo.label)
        relative = PurePosixPath(photo.label) / photo.relative if label in merged else photo.relative
        renamed.append(replace(photo, label=label, relative=relative))
    return renamed


def check_names(names: Mapping[str, str], found: Collection[str], title: str) -> None:
    """Check `dataset.layout.rename` against the names that it may rename, those `found` in `title`.

    Raises:
        UserError: a name was not found, or a class is renamed to another that keeps its name: a merger, which is only
            intended if both are in `names`.
    """
    for old, new in names.items():
        if old not in found:
            close = difflib.get_close_matches(old, found, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(found)[:8])}"
            raise UserError(f"dataset.layout.rename: {title} has no {old!r}; {fix}")
        if new in found and new not in names:
            raise UserError(
                f"dataset.layout.rename: {old!r} would be merged with {new!r}, which {title} also has; "
                f"add `{new}: {new}` if this is intended, or choose another name"
            )


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
