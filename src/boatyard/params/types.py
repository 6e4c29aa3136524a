"""What the sections of params.yaml are made of: the base class, and types that carry their range."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
