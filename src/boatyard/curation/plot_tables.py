"""Rows of the CSV files of the filter stage's plots."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassCount:
    """Photos of a class as found, and as kept by the filter (0: the class is left out)."""

    label: str
    images: int
    kept: int


@dataclass(frozen=True)
class ImageSize:
    """Number of kept photos with this width and height, in pixels."""

    width: int
    height: int
    images: int
