"""Finding the photo files that a user names: files, folders, patterns, or lines on standard input."""

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from boatyard.core.errors import UserError
from boatyard.core.file_names import is_clutter
from boatyard.images.formats import has_photo_suffix


def find(names: Iterable[str], lines: Iterable[str]) -> list[Path]:
    """The photos that `names` refer to, in that order, each once.

    Args:
        names: files, folders (searched recursively, in the order of their paths), patterns (`**` means any depth), or
            '-' for `lines`.
        lines: of standard input: files and folders, no patterns.

    Raises:
        UserError: a pattern or a folder has no photo, or there is none at all. A missing file is not an error here,
            as the others can be classified.
    """
    found: dict[Path, None] = {}
    for name in names:
        if name == "-":
            given = (line.rstrip("\r\n") for line in lines)
            photos = [photo for path in given if path for photo in _below(Path(path))]
        elif not Path(name).exists() and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207, Path.glob takes no absolute pattern
            photos = [photo for match in matches for photo in _below(Path(match), named=False)]
            if not photos:
                raise UserError(f"no photo matches {name!r}; in quotes, ** means any depth")
        else:
            photos = list(_below(Path(name)))
        found.update(dict.fromkeys(photos))
    if not found:
        raise UserError("no photos: name files, folders or patterns, or write paths to standard input")
    return list(found)


def _below(path: Path, named: bool = True) -> Iterator[Path]:
    """The file itself, or the photos in a folder and its subfolders."""
    if not path.is_dir():
        if named or _is_photo(path):
            yield path
        return
    photos = sorted(inside for inside in path.rglob("*") if _is_photo(inside.relative_to(path)) and inside.is_file())
    if not photos and named:
        raise UserError(f"{path} contains no file with a photo's suffix: name the files themselves")
    yield from photos


def _is_photo(path: PurePath) -> bool:
    return has_photo_suffix(path) and not any(map(is_clutter, path.parts))
