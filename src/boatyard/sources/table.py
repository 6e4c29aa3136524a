"""Layout `table`: a text file with each photo's path and label, one row per photo."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from boatyard.core.errors import UserError
from boatyard.images.formats import has_photo_suffix
from boatyard.params.dataset import COLUMN, TableLayout
from boatyard.sources.interface import LabelledPhoto, counted
from boatyard.sources.naming import check_names

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}


def read(
    layout: TableLayout, root: Path, found: Sequence[PurePosixPath], title: str
) -> tuple[list[LabelledPhoto], list[str]]:
    """The photos that are both in the table and in `found`, and notes about those that are in one of the two only.

    A photo listed under two labels is returned twice; one listed twice under the same label is returned once.
    """
    rows = _rows(layout, root, title)
    header = [name.strip() for name in rows.pop(0)[1]] if layout.header else []
    columns = {column: _column_index(column, header, layout.file) for column in (*layout.path_columns, *layout.label)}
    available = set(found)
    photos: dict[tuple[PurePosixPath, str], LabelledPhoto] = {}
    missing: list[str] = []
    values_found: set[str] = set()
    listed: set[PurePosixPath] = set()
    for line, cells in rows:
        place = f"{layout.file}, line {line}"
        if len(cells) <= max(columns.values()):
            raise UserError(
                f"{place}: it has {len(cells)} of the {max(columns.values()) + 1} columns that are needed; "
                "correct the row or dataset.layout.delimiter"
            )
        values = {column: cells[number].strip() for column, number in columns.items()}
        path = _path(_cell(layout, values), available, place)
        labels = [values[column] for column in layout.label]
        values_found.update(labels)
        label = "-".join(layout.rename.get(value, value) for value in labels)
        if path not in available:
            missing.append(f"{path}, line {line}")
            continue
        listed.add(path)
        photos.setdefault((path, label), LabelledPhoto(path, label, place, path))
    check_names(layout.rename, values_found, layout.file)
    if missing and not photos:
        raise UserError(
            f"{title}: none of the {len(missing):,} photos listed in {layout.file} exists "
            f"(the first: {missing[0]}); correct dataset.layout.path or dataset.layout.root"
        )
    unlisted = sorted(filter(has_photo_suffix, available - listed))
    notes = counted(f"rows of {layout.file} whose photo does not exist", missing)
    return list(photos.values()), notes + counted(f"photos that are not in {layout.file}, left out", unlisted)


def _rows(layout: TableLayout, root: Path, title: str) -> list[tuple[int, list[str]]]:
    """Each row's first line number and its cells, without blank lines."""
    try:
        text = (root / layout.file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"dataset.layout.file: {title} has no file {layout.file!r}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{layout.file} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:  # a folder, no permission; a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"dataset.layout.file: {layout.file} can't be read ({reason}): name a text file, or fix its permissions"
        ) from error
    if layout.delimiter == "whitespace":
        rows = [(line, content.split()) for line, content in enumerate(text.splitlines(), 1)]
    else:
        rows = list(_delimited(text, DELIMITERS[layout.delimiter], layout.file))
    rows = [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]
    if len(rows) <= layout.header:
        raise UserError(f"{layout.file} of {title} has no rows")
    return rows


def _delimited(text: str, delimiter: str, file: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: {error}; correct the row") from None


def _column_index(column: str | int, header: list[str], file: str) -> int:
    if isinstance(column, int):
        return column
    if header.count(column) != 1:
        problem = "several columns named" if column in header else "no column"
        raise UserError(f"dataset.layout: {file} has {problem} {column!r}; its columns are {', '.join(header)}")
    return header.index(column)


def _cell(layout: TableLayout, values: Mapping[str | int, str]) -> str:
    """A row's path: a column's value, or the pattern filled with the columns' values."""
    if isinstance(layout.path, int) or not COLUMN.search(layout.path):
        return values[layout.path_columns[0]]  # also if the column number is in quotes
    columns = iter(layout.path_columns)
    return COLUMN.sub(lambda _: values[next(columns)], layout.path)


def _path(cell: str, available: set[PurePosixPath], place: str) -> PurePosixPath:
    path = PurePosixPath(cell)
    if path not in available and "\\" in cell:  # a table written on Windows
        path = PurePosixPath(cell.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{place}: the path {cell!r} is outside of the data set; write it relative to dataset.layout.root"
        )
    return path
