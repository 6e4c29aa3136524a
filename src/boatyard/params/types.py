"""What the sections of params.yaml are made of: the base class, and types that carry their range."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST = 255  # bytes in the name of a file or folder, on every file system in use
LONGEST_PATH = 1024  # what every system takes, with room for the folders above


class Section(BaseModel):
    """A mapping of params.yaml: every key known, every value of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _increasing(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise ValueError(f"the first number must not be above the second; write [{values[1]}, {values[0]}]")
    return values


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts:
        raise ValueError("write a path relative to the data set's top folder, without '..'")
    return possible(path)


def possible(path: str) -> str:
    """The path, if a file can have it: others are errors of the system's wherever they are opened."""
    if "\0" in path:
        raise ValueError("take out the zero byte, which no file's name has")
    if any(len(part.encode()) > LONGEST for part in path.split("/")):
        raise ValueError(f"no file's name has more than {LONGEST} bytes; write a shorter one")
    if len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"write a path of at most {LONGEST_PATH:,} bytes")
    return path


def unique(names: list[str]) -> list[str]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"name each only once; {repeated[0]!r} stands twice")
    return names


Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Strength = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_increasing)]
RelativePath = Annotated[str, AfterValidator(_inside)]
Names = Annotated[list[str], AfterValidator(unique)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
