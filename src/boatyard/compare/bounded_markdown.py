"""Markdown that stays below GitHub's limit of 65,536 characters a comment, however long names and tables are."""

from collections.abc import Iterable, Sequence
from typing import Any

from boatyard.evaluation.comparison import signed
from boatyard.report.formatting import setting
from boatyard.report.markdown_blocks import MAX_OPEN_ROWS, escape, folded, table

# Rows of a table, names in a sentence, characters of a name, and characters of an escaped name ('&' takes five).
MAX_ROWS = 40
MAX_NAMES = 12
MAX_LENGTH = 60
MAX_ESCAPED = 100

NONE = "–"


def long_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int]) -> list[str]:
    """A table, folded under its title if it is long, and cut if it is too long."""
    shown = table(columns, rows[:MAX_ROWS], right)
    if len(rows) <= MAX_OPEN_ROWS:
        return [shown]
    return folded(title, shown, *not_shown(len(rows) - MAX_ROWS))


def not_shown(number: int) -> list[str]:
    """A sentence about what was cut; none if nothing was."""
    return [f"{number:,} more are not shown."] if number > 0 else []


def short(text: str) -> str:
    """A name or value, escaped, and cut if it is too long."""
    if len(text) <= MAX_LENGTH and len(escape(text)) <= MAX_ESCAPED:
        return escape(text)
    cut = (f"{text[:length]}…" for length in range(MAX_LENGTH - 1, 0, -1))
    return escape(next((name for name in cut if len(escape(name)) <= MAX_ESCAPED), "…"))


def names(several: Sequence[str]) -> str:
    """The first of some names, and the number of others."""
    shown = ", ".join(short(name) for name in several[:MAX_NAMES])
    return f"{shown} and {len(several) - MAX_NAMES:,} more" if len(several) > MAX_NAMES else shown


def value(of: Any) -> str:
    """A value of a metrics file, of any type."""
    match of:
        case None | "":
            return NONE
        case bool() | str() | list():
            return short(setting(of))
        case int():
            return f"{of:,}"
        case float():
            return f"{of:.4f}"
        case _:
            return short(str(of))


def change(old: Any, new: Any) -> str:
    """The difference of two values of a metrics file; empty if they are not numbers."""
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (old, new)):
        return ""
    return signed(new - old, 0 if isinstance(old, int) and isinstance(new, int) else 4)
