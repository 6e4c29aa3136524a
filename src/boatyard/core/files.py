"""The pipeline's small files, CSV, JSON and YAML: written whole or not at all, and the same bytes each time."""

import csv
import glob
import hashlib
import io
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args, get_type_hints

from boatyard.core.errors import DamagedFile, UserError, unwritable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")

# Metrics and plots are for reading and comparing; more digits would only show a machine's last-bit rounding.
DIGITS = 6

MAKE_AGAIN = "run `dvc repro` to make it again"


class Source(Protocol):
    """A file to read: a path, or a file of a commit. `str()` of it names it in messages."""

    def read_bytes(self) -> bytes:
        """The whole content; an `OSError` if it can't be read."""
        ...


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; put it in `path`'s place if the block ends well, remove it if not.

    Raises:
        UserError: the disk is full or the folder can't be written; any `OSError` of the block is taken for that.
    """
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(path)
        try:
            yield temporary
            _reach_the_disk(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def _clear_away(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` have left."""
    # This machine's: of another's processes, which may share the folder, nothing is known here.
    for left in path.parent.glob(f".{glob.escape(f'{path.name}.{platform.node()}')}.*.part"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not _alive(int(process)):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # no signal: only whether one could be sent
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def _reach_the_disk(path: Path) -> None:
    """Wait until a file's content is on the disk: a name must not outlive a power cut that its content does not."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sha256_of(path: Path) -> str:
    """A file's sha256, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a metrics file: keys in the given order, numbers rounded to `DIGITS` decimals."""
    text = json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Source) -> dict[str, Any]:
    """Read a metrics file.

    Raises:
        UserError: it is missing, or is no JSON object.
    """
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{path}, line {error.lineno}: damaged ({error.msg})", MAKE_AGAIN) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; a list in a list, thousands deep
        raise DamagedFile(f"{path}: damaged", MAKE_AGAIN) from None
    if not isinstance(value, dict):
        raise DamagedFile(f"{path} holds no JSON object", MAKE_AGAIN)
    return value


def read_yaml(path: Source) -> dict[str, Any]:
    """Read a mapping from a YAML file, as DVC does (YAML 1.2).

    Raises:
        UserError: it is missing, or is not YAML, or holds no mapping.
    """
    # Here, as no other reader needs it: importing it takes longer than all the rest of this module.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        raw = YAML(typ="safe", pure=True).load(path.read_bytes().decode())
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run from the repository's root") from None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): mend its rights") from None
    except UnicodeDecodeError as error:
        raise DamagedFile(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start})", "save it as UTF-8"
        ) from None
    except MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}" if error.problem_mark else "somewhere"
        raise DamagedFile(f"{path}, {place}: not valid YAML ({error.problem})", "mend that line") from None
    except YAMLError as error:
        raise DamagedFile(f"{path}: not valid YAML ({' '.join(str(error).split())})", "mend it") from None
    except (ValueError, LookupError, TypeError) as error:  # a date in a month 13, a !!bool that is none
        raise DamagedFile(f"{path}: a value is not what it looks like ({error})", "put it in quotes") from None
    except RecursionError:
        raise DamagedFile(f"{path}: brackets nested beyond all need", "take them out") from None
    if raw is None:
        raise DamagedFile(f"{path} is empty", "see presets/ for whole files")
    if not isinstance(raw, dict):
        raise DamagedFile(
            f"{path} holds {type(raw).__name__}, not a mapping of sections", "see presets/ for whole files"
        )
    return raw


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with a header row; numbers rounded to `DIGITS` decimals, lines ending in a newline alone."""
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow(columns)
    writer.writerows([_rounded(cell) for cell in row] for row in rows)
    write_bytes(path, "".join(lines).encode())


class _Lines(list[str]):
    """Takes a csv writer's lines and ends them in a newline alone.

    The writer itself must end them in both characters: only then does it quote a cell with a lone carriage return, at
    which a reader would end the row.
    """

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def read_csv(path: Source) -> list[dict[str, str]]:
    """Read a table with a header row: a mapping per row, every value as text.

    Raises:
        UserError: the file is missing, or has a row with more or fewer cells than the header.
    """
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise csv.Error(f"not {len(reader.fieldnames or ())} cells")
            rows.append(row)
    except csv.Error as error:
        raise DamagedFile(f"{path}, line {reader.reader.line_num}: damaged ({error})", MAKE_AGAIN) from None
    return rows


def write_rows(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Write a table with a column for each field of a dataclass; None is an empty cell."""
    columns = [field.name for field in fields(kind)]
    write_csv(path, columns, ([getattr(row, column) for column in columns] for row in rows))


def read_rows(path: Source, kind: type[Row]) -> list[Row]:
    """Read a table that `write_rows` wrote. A field is an int, a float or text as its type says, and an
    empty cell is None if its type allows that.

    Raises:
        UserError: the file is missing, lacks a column, or has a cell that its field can't take.
    """
    types = get_type_hints(kind)
    converters = {field.name: _converter(types[field.name]) for field in fields(kind)}
    rows = []
    for number, cells in enumerate(read_csv(path), 1):
        try:
            rows.append(kind(**{name: convert(cells[name]) for name, convert in converters.items()}))
        except (KeyError, ValueError, TypeError) as error:
            raise DamagedFile(f"{path}, row {number}: damaged ({error})", MAKE_AGAIN) from None
    return rows


def _converter(kind: Any) -> Callable[[str], Any]:
    options = get_args(kind) or (kind,)
    convert = next((option for option in (int, float) if option in options), str)
    if type(None) in options:
        return lambda cell: None if cell == "" else convert(cell)
    return convert


def _read_text(path: Source) -> str:
    try:
        # Not read_text, which would make a carriage return in a cell a newline.
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run `dvc repro` to make it, or `dvc pull` to fetch it") from None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): mend its rights") from None
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})", MAKE_AGAIN) from None


def _rounded(value: Any) -> Any:
    if isinstance(value, Real) and not isinstance(value, Integral):  # NumPy's floats are not all Python's
        return round(float(value), DIGITS) + 0.0  # + 0.0: no '-0.0'
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
