"""The pipeline's small files, CSV and JSON: written whole or not at all, and the same bytes each time."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from boatyard.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")

# Metrics and plots are for reading and comparing; more digits would only show a machine's last-bit rounding.
DIGITS = 6


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; put it in `path`'s place if the block ends well, remove it if not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} can't be written ({error.strerror or error}): free space or its rights") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a metrics file: keys in the given order, numbers rounded to `DIGITS` decimals."""
    text = json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a metrics file."""
    value = json.loads(_read_text(path))
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object; run `dvc repro` to make it again")
    return value


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header row; numbers rounded to `DIGITS` decimals, lines ending in a newline alone."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_rounded(cell) for cell in row] for row in rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table with a header row: a mapping per row, every value as text."""
    return list(csv.DictReader(io.StringIO(_read_text(path), newline="")))


def write_rows(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Write a table with a column for each field of a dataclass; None is an empty cell."""
    columns = [field.name for field in fields(kind)]
    write_csv(path, columns, ([getattr(row, column) for column in columns] for row in rows))


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read a table that `write_rows` wrote. A field is an int, a float or text as its type says, and an
    empty cell is None if its type allows that.

    Raises:
        UserError: the file is missing, lacks a column, or has a cell that its field can't take.
    """
    types = get_type_hints(kind)
    converters = {field.name: _converter(types[field.name]) for field in fields(kind)}
    rows = []
    for number, cells in enumerate(read_csv(path), 2):
        try:
            rows.append(kind(**{name: convert(cells[name]) for name, convert in converters.items()}))
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number}: damaged ({error}); run `dvc repro` to make it again") from None
    return rows


def _converter(kind: Any) -> Callable[[str], Any]:
    options = get_args(kind) or (kind,)
    convert = next((option for option in (int, float) if option in options), str)
    if type(None) in options:
        return lambda cell: None if cell == "" else convert(cell)
    return convert


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run `dvc repro` to make it, or `dvc pull` to fetch it") from None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # + 0.0: no '-0.0'
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
