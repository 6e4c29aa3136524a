"""GitHub's Markdown: text that stays text, tables, folded blocks."""

import re
from collections.abc import Iterable, Sequence

# Longer tables are folded.
MAX_OPEN_ROWS = 20


def escape(text: str) -> str:
    """Text on one line that Markdown shows as it is, without mentions, links and tags."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    # A zero-width space keeps '@name', '#1' and addresses from becoming links.
    text = re.sub(r"([@#]|://|www\.)", "\\1\u200b", text)
    return re.sub(r"([\\`*_\[\]|~$>])", r"\\\1", text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table.

    Args:
        columns: their titles.
        rows: a cell for each column, already escaped.
        right: the indices of the columns to align right, as numbers are.
    """
    aligned_right = set(right)
    rule = ["---:" if column in aligned_right else "---" for column in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def folded(title: str, *blocks: str) -> list[str]:
    """Blocks that open when the title is clicked."""
    return [f"<details><summary>{title}</summary>", *blocks, "</details>"]
