"""The rows of the plots' CSV files, with the types of their columns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassCount:
    """Photos of a class as found, and as kept by the filter (0: the class is left out)."""

    label: str
    images: int
    kept: int


@dataclass(frozen=True)
class ImageSize:
    """How many kept photos have this width and height, in pixels."""

    width: int
    height: int
    images: int


@dataclass(frozen=True)
class MeasuredClass:
    """A class on its test photos. Fractions; `top1_low` and `top1_high` bound the 95 % Wilson interval.

    `precision` is None for a class that was never predicted.
    """

    label: str
    train_images: int
    test_images: int
    top1: float
    top1_low: float
    top1_high: float
    top3: float
    top5: float
    loss: float
    precision: float | None
    f1: float


@dataclass(frozen=True)
class TtaClass:
    """A class with and without test-time augmentation; `fixed` and `broken` count photos."""

    label: str
    test_images: int
    plain_top1: float
    tta_top1: float
    gain: float
    fixed: int
    broken: int
