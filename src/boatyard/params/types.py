"""The base class of params.yaml's sections, and types with their range."""

from pathlib import PurePosixPath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from boatyard.core.file_names import MAX_NAME_BYTES

LONGEST_PATH = 1024  # bytes that every system accepts, with room for the folders above

T = TypeVar("T")


class Section(BaseModel):
    """A mapping in params.yaml. Unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _increasing(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise ValueError(f"the first number must not be greater than the second; write [{values[1]}, {values[0]}]")
    return values


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise ValueError("write a path relative to the data set's top folder, without '..'")
    return possible(path)


def possible(path: str) -> str:
    """The path, if a file can have it; otherwise opening it would fail with an error of the system's."""
    if "\0" in path:
        raise ValueError("remove the null byte, which a file name cannot contain")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in path.split("/")):
        raise ValueError(f"a file name cannot be longer than {MAX_NAME_BYTES} bytes; write a shorter one")
    if len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"write a path of at most {LONGEST_PATH:,} bytes")
    return path


def unique(names: list[str]) -> list[str]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} appears twice; list each only once")
    return names


Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Strength = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Pair = Annotated[list[T], Field(min_length=2, max_length=2), AfterValidator(_increasing)]
RelativePath = Annotated[str, AfterValidator(_inside)]
Licence = Annotated[str, Field(description="shown by download and in the report")]
Names = Annotated[list[str], AfterValidator(unique)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
