"""Numbers and reasons as the report writes them. A space inside a number is a no-break one."""

from collections.abc import Mapping
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


def setting(value: Any) -> str:
    """A value of params.yaml as the file would write it on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + ", ".join(setting(item) for item in value) + "]"
        case _:
            return str(value)


def flatten(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The keys of a section of params.yaml, nested ones joined by dots, and their values as text."""
    rows: list[tuple[str, str]] = []
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "{}" if isinstance(value, Mapping) else setting(value)))
    return rows
