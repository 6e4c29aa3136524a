"""Numbers, settings and reasons as the report shows them. A space inside a number is a no-break space."""

from collections.abc import Mapping
from typing import Any

from boatyard.evaluation.metrics import Metric

NBSP = "\u00a0"

# Why the filter left a photo out.
REASON_TEXTS = {
    "unreadable": "can't be decoded",
    "dropped_class": "class excluded by name",
    "two_labels": "same photo under two classes",
    "duplicate": "copy of another photo",
    "rare_class": "class has too few photos",
}

# How one photo was made from its near duplicate.
FLIP_TEXTS = {
    "plain": "unchanged",
    "horizontal": "mirrored left to right",
    "vertical": "mirrored upside down",
    "both": "rotated 180°",
}


def show(metric: Metric, value: float) -> str:
    """A metric's value: a fraction in percent, a loss with three decimals."""
    return percent(value) if metric.fraction else f"{value:.3f}"


def show_interval(metric: Metric, low: float, high: float) -> str:
    """The two ends of a metric's interval: '76.7 – 83.7 %', '0.463 – 0.585'."""
    return interval(low, high) if metric.fraction else f"{low:.3f}{NBSP}–{NBSP}{high:.3f}"


def percent(fraction: float) -> str:
    """A fraction as '80.3 %'."""
    return f"{100 * fraction:.1f}{NBSP}%"


def interval(low: float, high: float) -> str:
    """The two ends of an interval of fractions: '76.7 – 83.7 %'."""
    return f"{100 * low:.1f}{NBSP}–{NBSP}{100 * high:.1f}{NBSP}%"


def count(number: int, singular: str, plural: str = "") -> str:
    """'1 photo', '2,518 photos'."""
    return f"{number:,}{NBSP}{singular if number == 1 else plural or singular + 's'}"


def setting(value: Any) -> str:
    """A value of params.yaml as it is written on one line of the file."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + ", ".join(setting(item) for item in value) + "]"
        case _:
            return str(value)


def leaves(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a section of params.yaml, or of a metrics file, by dotted key."""
    values: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            values |= leaves(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def flatten(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The dotted keys of a section of params.yaml, and their values as text."""
    return [(key, setting(value)) for key, value in leaves(section).items()]
