"""Figures with a row for each class."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boatyard.curation.catalog import ClassCount
from boatyard.evaluation.class_results import ClassResult
from boatyard.evaluation.comparison import TtaClassResult
from boatyard.report.figures import style

# A figure with more rows is too tall; the page's tables have all classes.
MAX_ROWS = 120


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
    axes.set_ylim(count - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", labelcolor=style.INK)
    axes.spines["left"].set_visible(False)
    if count < len(names):
        axes.set_title(f"the {count} {which} of {len(names):,} classes", fontsize=9, fontweight="normal")
    return figure, axes


def _share_axis(axes: Axes, name: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(style.percent)
    axes.set_xlabel(name)


def _legend(axes: Axes) -> None:
    figure = axes.get_figure()
    if figure is not None:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
