"""Figures with a row for each class."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boatyard.curation.catalog import ClassCount, Photo
from boatyard.evaluation.class_results import ClassResult
from boatyard.evaluation.comparison import TtaClassResult
from boatyard.report.figures import style

# A figure with more rows is too tall; the page's tables have all classes.
MAX_ROWS = 120

# The figure of sizes, which the page shows, names each class if there are at most so many.
MAX_NAMED = 14


def class_counts(counts: Sequence[ClassCount]) -> Figure:
    """Photos of each class as found (grey) and as kept by the filter (the accent), largest class on top."""
    rows = sorted(counts, key=lambda row: (-row.images, row.label))
    with style.applied():
        figure, axes = _rows([row.label for row in rows], "largest")
        rows = rows[:MAX_ROWS]
        axes.barh(range(len(rows)), [row.images for row in rows], 0.72, color=style.GREY, label="found")
        axes.barh(range(len(rows)), [row.kept for row in rows], 0.72, color=style.ACCENT, label="kept")
        for place, row in enumerate(rows):
            note = f"{row.kept:,}" if row.kept == row.images else f"{row.kept:,} of {row.images:,}"
            axes.annotate(note, (row.images, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_xlim(0, max(row.images for row in rows) * 1.22)
        axes.set_xlabel("photos")
        _legend(axes)
    return figure


def class_sizes(photos: Sequence[Photo]) -> Figure:
    """The distribution of photo sizes in each class, in pixels along a side: the class with the largest median on top.

    A dot is the median, the thick line has the middle half of the photos, the thin one 90 %. Of many classes only some
    are named, so that the figure fits the page.
    """
    sides: dict[str, list[float]] = defaultdict(list)
    for photo in photos:
        sides[photo.label].append(math.sqrt(photo.width * photo.height))
    shares = {label: np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)) for label, values in sides.items()}
    labels = sorted(shares, key=lambda label: (-shares[label][2], label))
    lowest, lower, median, upper, highest = np.transpose([shares[label] for label in labels])
    with style.applied():
        dense = len(labels) > MAX_NAMED
        figure, axes = style.one_axes(1.1 + 0.27 * min(len(labels), MAX_NAMED))
        places = range(len(labels))
        axes.hlines(places, lowest, highest, color=style.SOFT, lw=0.8 if dense else 1.5)
        axes.hlines(places, lower, upper, color=style.SOFT, lw=1.8 if dense else 5)
        axes.plot(median, places, "o", color=style.ACCENT, ms=2 if dense else 6)
        named = [0, len(labels) // 2, len(labels) - 1] if dense else places
        axes.set_yticks(named, [style.label(labels[place], 20) for place in named])
        _rows_down(axes, len(labels))
        axes.set_xlim(0, 1.05 * max(highest))
        axes.set_xlabel("side, pixels: the square root of width × height")
    return figure


def per_class(results: Sequence[ClassResult]) -> Figure:
    """Test top-1 of each class with its 95 % interval, worst class on top."""
    rows = sorted(results, key=lambda row: (row.top1, row.label))
    with style.applied():
        figure, axes = _rows([row.label for row in rows], "worst")
        rows = rows[:MAX_ROWS]
        places = range(len(rows))
        axes.hlines(places, [row.top1_low for row in rows], [row.top1_high for row in rows], color=style.SOFT, lw=5)
        axes.plot([row.top1 for row in rows], places, "o", color=style.ACCENT, ms=6)
        _share_axis(axes, "test top-1, with its 95 % interval")
    return figure


def tta_vs_plain(results: Sequence[TtaClassResult]) -> Figure:
    """Test top-1 of each class from one plain view and from several views, worst class on top."""
    rows = sorted(results, key=lambda row: (row.plain_top1, row.label))
    with style.applied():
        figure, axes = _rows([row.label for row in rows], "worst")
        rows = rows[:MAX_ROWS]
        places = range(len(rows))
        axes.hlines(places, [r.plain_top1 for r in rows], [r.tta_top1 for r in rows], color=style.GREY, lw=2)
        axes.plot(
            [row.plain_top1 for row in rows], places, "o", mfc=style.PAPER, mec=style.MUTED, ms=8, label="plain view"
        )
        axes.plot([row.tta_top1 for row in rows], places, "o", color=style.ACCENT, ms=5, label="several views")
        _share_axis(axes, "test top-1")
        _legend(axes)
    return figure


def _rows(names: Sequence[str], which: str) -> tuple[Figure, Axes]:
    """A figure as tall as its rows need, first row on top."""
    count = min(len(names), MAX_ROWS)
    figure, axes = style.one_axes(1.1 + 0.27 * count)
    axes.set_yticks(range(count), [style.label(name) for name in names[:count]])
    _rows_down(axes, count)
    if count < len(names):
        axes.set_title(f"the {count} {which} of {len(names):,} classes", fontsize=9, fontweight="normal")
    return figure, axes


def _rows_down(axes: Axes, count: int) -> None:
    """Show rows 0 … count − 1, the first on top, without lines between them."""
    axes.set_ylim(count - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", labelcolor=style.INK)
    axes.spines["left"].set_visible(False)


def _share_axis(axes: Axes, name: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(style.percent)
    axes.set_xlabel(name)


def _legend(axes: Axes) -> None:
    figure = axes.get_figure()
    if figure is not None:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
