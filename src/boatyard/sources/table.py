"""Layout `table`: a text file that gives each photo's path and its label, one row a photo."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.params.dataset import COLUMN, TableLayout
from boatyard.sources.naming import Labelled
from boatyard.sources.walk import looks_like_photo

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


def read(
    layout: TableLayout, root: Path, found: Sequence[PurePosixPath], shown: str
) -> tuple[list[Labelled], list[str]]:
    """The photos that the table lists and `found` holds, and notes on those that only one of the two has.

    A photo listed under two labels comes twice; one listed twice under the same label comes once.
    """
    rows = _rows(layout, root, shown)
    header = [name.strip() for name in next(rows)[1]] if layout.header else []
    columns = {column: _number(column, header, layout.file) for column in (*layout.path_columns, *layout.label)}
    here = set(found)
    photos: dict[tuple[PurePosixPath, str], Labelled] = {}
    missing: list[str] = []
    renamed: set[str] = set()
    listed: set[PurePosixPath] = set()
    for line, cells in rows:
        place = f"{layout.file}, line {line}"
        if len(cells) <= max(columns.values()):
            raise UserError(
                f"{place}: it has {len(cells)} of the {max(columns.values()) + 1} columns that are needed; "
                "mend the row or dataset.layout.delimiter"
            )
        values = {column: cells[number].strip() for column, number in columns.items()}
        path = _path(_pattern(layout, values), here, place)
        labels = [values[column] for column in layout.label]
        renamed.update(labels)
        label = "-".join(layout.rename.get(value, value) for value in labels)
        if path not in here:
            missing.append(f"{path}, line {line}")
            continue
        listed.add(path)
        photos.setdefault((path, label), Labelled(path, label, place, path))
    unused = sorted(set(layout.rename) - renamed)
    if unused:
        known = ", ".join(sorted(renamed)[:8])
        raise UserError(f"dataset.layout.rename: no row of {layout.file} has {unused[0]!r}; its values are {known}")
    if missing and not photos:
        raise UserError(
            f"{shown}: none of the {len(missing):,} photos that {layout.file} lists is there "
            f"(the first: {missing[0]}); mend dataset.layout.path or dataset.layout.root"
        )
    return list(photos.values()), _notes(layout, missing, sorted(here - listed))


def _rows(layout: TableLayout, root: Path, shown: str) -> Iterator[tuple[int, list[str]]]:
    """Each row's first line number and its cells; blank lines are left out."""
    try:
        text = (root / layout.file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"dataset.layout.file: {shown} has no file {layout.file!r}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{layout.file} is not UTF-8 text ({error.reason} at byte {error.start}): save it so") from None
    except (OSError, ValueError) as error:  # a folder, no rights; a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"dataset.layout.file: {layout.file} can't be read ({reason}): name a text file, or mend its rights"
        ) from error
    count = 0
    if layout.delimiter == "whitespace":
        for line, content in enumerate(text.splitlines(), 1):
            if content.strip():
                count += 1
                yield line, content.split()
    else:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=DELIMITERS[layout.delimiter], skipinitialspace=True
        )
        line = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    count += 1
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise UserError(f"{layout.file}, line {reader.line_num}: {error}; mend the row") from None
    if count <= layout.header:
        raise UserError(f"{layout.file} of {shown} has no rows")


def _number(column: str | int, header: list[str], file: str) -> int:
    if isinstance(column, int):
        return column
    if header.count(column) != 1:
        problem = "several columns" if column in header else "no column"
        raise UserError(f"dataset.layout: {file} has {problem} {column!r}; its columns are {', '.join(header)}")
    return header.index(column)


def _pattern(layout: TableLayout, values: Mapping[str | int, str]) -> str:
    """A row's path: a column's value, or the pattern with the columns' values in it."""
    if isinstance(layout.path, int) or not COLUMN.search(layout.path):
        return values[layout.path_columns[0]]  # a number, too, where it stands in quotes
    columns = iter(layout.path_columns)
    return COLUMN.sub(lambda _: values[next(columns)], layout.path)


def _path(cell: str, here: set[PurePosixPath], place: str) -> PurePosixPath:
    path = PurePosixPath(cell)
    if path not in here and "\\" in cell:  # a table written on Windows
        path = PurePosixPath(cell.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{place}: the path {cell!r} leads out of the data set; write it relative to dataset.layout.root"
        )
    return path


def _notes(layout: TableLayout, missing: list[str], unlisted: list[PurePosixPath]) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"rows of {layout.file} that name a file that is not there: {len(missing):,} (the first: {missing[0]})"
        )
    photos = [path for path in unlisted if looks_like_photo(path)]
    if photos:
        notes.append(f"photos that {layout.file} does not list, left out: {len(photos):,} (the first: {photos[0]})")
    return notes
