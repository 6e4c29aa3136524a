"""The pipeline's small JSON and YAML files, and atomic writes: a file is written whole or not at all."""

import glob
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

from boatyard.core.errors import DamagedFile, UserError, cannot_write

# Metrics and plots are for reading and comparing; more digits would only show differences in rounding between machines.
DIGITS = 6

REGENERATE = "run `dvc repro` to regenerate it"


class Source(Protocol):
    """A file to read: a path, or a file of a commit. `str()` gives its name for messages."""

    def read_bytes(self) -> bytes:
        """The whole content; an `OSError` if it can't be read."""
        ...


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; move it to `path` if the block succeeds, delete it if not.

    Raises:
        UserError: on any `OSError` of the block, such as a full disk or a folder without write permission.
    """
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # after a power cut, the name must not exist without the content
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote `path`."""
    # Only this machine's: another machine may share the folder, and its processes can't be checked from here.
    for leftover in path.parent.glob(f".{glob.escape(f'{path.name}.{platform.node()}')}.*.part"):
        process = leftover.name.split(".")[-2]
        if process.isdecimal() and not _is_running(int(process)):
            leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends no signal, only checks whether one could be sent
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's process
    return True


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
    text = json.dumps(rounded(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Source) -> dict[str, Any]:
    """Read a metrics file; a `UserError` if it is missing or is not a JSON object."""
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{path}, line {error.lineno}: damaged ({error.msg})", REGENERATE) from None
    except (ValueError, RecursionError):  # a number of thousands of digits; lists nested thousands deep
        raise DamagedFile(f"{path}: damaged", REGENERATE) from None
    if not isinstance(value, dict):
        raise DamagedFile(f"{path} is not a JSON object", REGENERATE)
    return value


def read_yaml(path: Source) -> dict[str, Any]:
    """Read a mapping from a YAML file, as DVC does (YAML 1.2); a `UserError` if it is missing or is not one."""
    # Imported here because no other reader needs it, and it takes longer to import than the rest of this module.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = read_text(path, missing="run from the repository's root", not_text="save it as UTF-8")
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DamagedFile(f"{path}{place}: not valid YAML ({error.problem})", "fix that line") from None
    except YAMLError as error:
        raise DamagedFile(f"{path}: not valid YAML ({' '.join(str(error).split())})", "fix it") from None
    except (ValueError, LookupError, TypeError) as error:  # a date in month 13, a !!bool that is not one
        raise DamagedFile(f"{path}: a value has the wrong form ({error})", "put it in quotes") from None
    except RecursionError:
        raise DamagedFile(f"{path}: brackets are nested too deeply", "remove some") from None
    if not isinstance(content, dict):
        fault = "is empty" if content is None else f"is of type {type(content).__name__}, not a mapping of sections"
        raise DamagedFile(f"{path} {fault}", "see presets/ for complete files")
    return content


def read_text(
    path: Source,
    missing: str = "run `dvc repro` to make it, or `dvc pull` to fetch it",
    not_text: str = REGENERATE,
) -> str:
    """A file's text, with the carriage returns that `Path.read_text` would replace.

    `missing` and `not_text` say what to do if the file is missing or is not UTF-8; either is a `UserError`.
    """
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {missing}") from None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): fix its permissions") from None
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})", not_text) from None


def rounded(value: Any) -> Any:
    """A value with every non-integer number in it rounded to `DIGITS` decimals, as a Python float."""
    if isinstance(value, Real) and not isinstance(value, Integral):  # NumPy's floats are not all Python's
        return round(float(value), DIGITS) + 0.0  # + 0.0: no '-0.0'
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
