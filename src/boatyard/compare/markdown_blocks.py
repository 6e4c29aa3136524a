"""The pieces that a comparison is written with: tables, folded parts, names that are safe and not too long."""

from collections.abc import Iterable, Sequence
from typing import Any

from boatyard.evaluation.comparison import signed
from boatyard.report.formatting import setting
from boatyard.report.markdown import MOST_OPEN_ROWS, escape

# GitHub takes 65,536 characters as a comment. These keep the longest one below that, whatever the classes are called:
# rows of a table, names in a sentence, characters of a name, and characters of a name once it is safe ('&' takes five).
MOST_ROWS = 40
MOST_NAMES = 12
LONGEST = 60
LONGEST_SAFE = 100

NONE = "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int]) -> str:
    """A table.

    Args:
        columns: their titles.
        rows: a cell for each column, already safe.
        numbers: which columns hold numbers, and are set to the right.
    """
    right = set(numbers)
    rule = ["---:" if place in right else "---" for place in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def folded(title: str, *blocks: str) -> list[str]:
    """Blocks that open when the title is clicked."""
    return [f"<details><summary>{title}</summary>", *blocks, "</details>"]


def long_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Iterable[int]) -> list[str]:
    """A table that is folded under its title if it is long, and cut if it is too long."""
    shown = table(columns, rows[:MOST_ROWS], numbers)
    if len(rows) <= MOST_OPEN_ROWS:
        return [shown]
    more = [f"{len(rows) - MOST_ROWS:,} more are not shown."] if len(rows) > MOST_ROWS else []
    return folded(title, shown, *more)


def short(text: str) -> str:
    """A name or value, made safe, and cut if it is too long."""
    if len(text) <= LONGEST and len(escape(text)) <= LONGEST_SAFE:
        return escape(text)
    cut = (f"{text[:length]}…" for length in range(LONGEST - 1, 0, -1))
    return escape(next((name for name in cut if len(escape(name)) <= LONGEST_SAFE), "…"))


def names(several: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    shown = ", ".join(short(name) for name in several[:MOST_NAMES])
    return f"{shown} and {len(several) - MOST_NAMES:,} more" if len(several) > MOST_NAMES else shown


def metric(value: Any) -> str:
    """A value of a metrics file, of any kind."""
    match value:
        case None | "":
            return NONE
        case bool() | str() | list():
            return short(setting(value))
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4f}"
        case _:
            return short(str(value))


def shift(old: Any, new: Any) -> str:
    """What must be added to one value of a metrics file to make the other; empty if they are no numbers."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (old, new)):
        return ""
    return signed(new - old, 0 if isinstance(old, int) and isinstance(new, int) else 4)
