"""Numbers, names and reasons as the report writes them. A space inside a number is a no-break one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boatyard.evaluation import comparison

NBSP = "\u00a0"

_REASONS = {
    "unreadable": "can't be decoded",
    "dropped_class": "class left out by name",
    "two_labels": "same photo under two classes",
    "duplicate": "copy of another photo",
    "rare_class": "class has too few photos",
}

_FLIPS = {
    "plain": "as it is",
    "horizontal": "mirrored",
    "vertical": "mirrored upside down",
    "both": "turned by half",
}


@dataclass(frozen=True)
class Measure:
    """A figure of metrics/evaluate.json: its key there, its name, a share or in nats, and which way is good."""

    key: str
    name: str
    share: bool = True
    higher_is_better: bool = True

    def show(self, value: float) -> str:
        """A share in percent, a loss with three decimals."""
        return percent(value) if self.share else f"{value:.3f}"


def measures(classes: int) -> list[Measure]:
    """The figures worth showing of a classifier of so many classes: no top-3 of three."""
    return [
        Measure("top1", "top-1"),
        *([Measure("top3", "top-3")] if classes > 3 else []),
        *([Measure("top5", "top-5")] if classes > 5 else []),
        Measure("loss", "loss", share=False, higher_is_better=False),
        Measure("mean_class_accuracy", "mean class accuracy"),
        Measure("macro_f1", "macro F1"),
        Measure("ece", "calibration error", higher_is_better=False),
    ]


def percent(fraction: float) -> str:
    """A fraction as '80.3 %'."""
    return f"{100 * fraction:.1f}{NBSP}%"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign: '+0.6', '−1.2', '0.0'."""
    return comparison.points(fraction)


def interval(low: float, high: float) -> str:
    """The two ends of an interval of fractions: '76.7 – 83.7 %'."""
    return f"{100 * low:.1f}{NBSP}–{NBSP}{100 * high:.1f}{NBSP}%"


def count(number: int, singular: str, plural: str = "") -> str:
    """'1 photo', '2,518 photos'."""
    return f"{number:,}{NBSP}{singular if number == 1 else plural or singular + 's'}"


def reason(key: str) -> str:
    """Why the filter left a photo out, in words."""
    return _REASONS[key]


def flip(key: str) -> str:
    """How one photo comes out of another, in words."""
    return _FLIPS[key]


def setting(value: Any) -> str:
    """A value of params.yaml as the file would write it on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + ", ".join(setting(item) for item in value) + "]"
        case _:
            return str(value)


def leaves(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a section of params.yaml, or of a metrics file, by their keys, nested ones joined by dots."""
    values: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            values |= leaves(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def flatten(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The keys of a section of params.yaml, nested ones joined by dots, and their values as text."""
    return [(key, setting(value)) for key, value in leaves(section).items()]
