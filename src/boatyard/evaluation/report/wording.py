"""Numbers and reasons as the report writes them. A space inside a number is a no-break one."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from boatyard.evaluation.report.run import Run

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


def percent(fraction: float) -> str:
    """A fraction as '80.3 %'."""
    return f"{100 * fraction:.1f}{NBSP}%"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign: '+0.6', '−1.2', '0.0'."""
    rounded = round(100 * fraction, 1)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else ''}{abs(rounded):.1f}"


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


def leaks(run: Run) -> str:
    """What the leaks do to the figures, in a sentence or two; empty if there are none."""
    if not run.leaks:
        return ""
    counts = Counter(leak.split for leak in run.leaks)
    said = [
        f"{counts[split]:,} of {count(run.splitting[split], f'{split} photo')}"
        for split in ("test", "validation")
        if counts[split]
    ]
    text = (
        f"Nearly the same as a photo of an earlier split: {' and '.join(said)}. The figures promise more than new "
        "photos will keep."
    )
    rest = run.top1_without_leaks
    if counts["test"] and rest is not None:
        text += f" On the other test photos top-1 is {percent(rest)}, on all of them {percent(run.test['top1'])}."
    return text


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
