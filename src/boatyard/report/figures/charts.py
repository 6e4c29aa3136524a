"""Charts that are not rows of classes: sizes, curves, accuracy and training photos, reliability, confusions."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from boatyard.curation.catalog import ImageSize
from boatyard.evaluation.calibration import ConfidenceBin
from boatyard.evaluation.class_results import ClassResult
from boatyard.report.figures import style
from boatyard.report.trend import Trend
from boatyard.training.history import Epoch

# More dots than this take fewer bytes as pixels, also within an SVG.
MAX_VECTOR_DOTS = 200

# More cells than this along a side of the confusion matrix are smaller than a phone's pixel.
MAX_CELLS = 200

# More names than this along an axis can't be read.
MAX_NAMES = 14


def image_sizes(sizes: Sequence[ImageSize]) -> Figure:
    """Width against height of the kept photos; a dot's area grows with their number, the line is a square photo."""
    with style.applied():
        figure, axes = style.one_axes(3.6)
        widths, heights = [size.width for size in sizes], [size.height for size in sizes]
        most = max(size.images for size in sizes)
        largest = 1.08 * max(*widths, *heights)
        axes.plot([0, largest], [0, largest], color=style.GREY, lw=1)
        areas = [12 + 160 * size.images / most for size in sizes]
        axes.scatter(
            widths,
            heights,
            areas,
            color=style.ACCENT,
            alpha=0.45,
            edgecolors="none",
            rasterized=len(sizes) > MAX_VECTOR_DOTS,
        )
        axes.set(xlim=(0, largest), ylim=(0, largest), xlabel="width, pixels", ylabel="height, pixels")
        axes.set_aspect("equal")
    return figure


def curves(history: Sequence[Epoch], best: int) -> Figure:
    """Loss and top-1 of training and validation by epoch; a line marks the best epoch."""
    epochs = [row.epoch for row in history]
    with style.applied():
        figure = Figure(figsize=(style.WIDTH, 5.2))
        loss, top1 = figure.subplots(2, 1, sharex=True)
        loss.plot(epochs, [row.train_loss for row in history], color=style.GREY, label="training")
        loss.plot(epochs, [row.validation_loss for row in history], color=style.ACCENT, label="validation")
        top1.plot(epochs, [row.train_top1 for row in history], color=style.GREY)
        top1.plot(epochs, [row.validation_top1 for row in history], color=style.ACCENT)
        tuned = [row.epoch for row in history if row.phase == "finetune"]
        if tuned:
            for axes in (loss, top1):
                axes.axvspan(min(tuned) - 0.5, max(tuned) + 0.5, color=style.RULE, alpha=0.6, zorder=0)
            loss.text(min(tuned), 0.97, "fine-tuning", transform=loss.get_xaxis_transform(), va="top", fontsize=8)
        loss.set_title("Loss")
        top1.set_title("Top-1")
        top1.yaxis.set_major_formatter(style.percent)
        top1.set_xlabel("epoch")
        top1.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        for axes, value in ((loss, _at(history, best).validation_loss), (top1, _at(history, best).validation_top1)):
            axes.axvline(best, color=style.CONTRAST, lw=1, ls=(0, (3, 3)))
            axes.plot([best], [value], "o", color=style.CONTRAST, ms=5, label=f"best epoch: {best}", zorder=3)
            axes.margins(x=0.03)
        figure.legend(*loss.get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


def _at(history: Sequence[Epoch], epoch: int) -> Epoch:
    return next(row for row in history if row.epoch == epoch)


def accuracy_vs_count(results: Sequence[ClassResult], trend: Trend | None) -> Figure:
    """Test top-1 of each class, with its 95 % interval, against its number of training photos; the worst are named."""
    with style.applied():
        figure, axes = style.one_axes(3.8)
        counts = [row.train_images for row in results]
        lows, highs = [row.top1_low for row in results], [row.top1_high for row in results]
        many = len(results) > MAX_NAMES
        axes.vlines(counts, lows, highs, color=style.SOFT, lw=1.5 if many else 4, alpha=0.5 if many else 1)
        axes.plot(counts, [row.top1 for row in results], "o", color=style.ACCENT, ms=4 if many else 6)
        line: list[tuple[float, float]] = []
        if trend:
            line = [(float(count), trend.at(count)) for count in np.geomspace(min(counts), max(counts), 50)]
            axes.plot(*zip(*line, strict=True), color=style.MUTED, lw=1.2, ls=(0, (4, 3)), zorder=1, label="trend")
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right")
        axes.set_xscale("log")
        axes.set_xlim(min(counts) / 1.25, max(counts) * 1.25)
        ticks = _log_ticks(min(counts), max(counts))
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        lowest = 0.1 * math.floor(10 * min(lows))
        axes.set_ylim(lowest - 0.02 * (1 - lowest), 1 + 0.02 * (1 - lowest))
        axes.yaxis.set_major_formatter(style.percent)
        axes.set(xlabel="training photos (log scale)", ylabel="test top-1")
        worst = sorted(results, key=lambda row: (row.top1, row.label))[: 3 if many else MAX_NAMES]
        _name_dots(figure, axes, worst, line)
    return figure


def _name_dots(figure: Figure, axes: Axes, rows: Sequence[ClassResult], line: Sequence[tuple[float, float]]) -> None:
    """Label each dot where the label covers no dot and no other label, and preferably no interval nor line.

    A label that does not fit next to its dot is further away, at the end of a thin line.
    """
    figure.draw_without_rendering()  # the layout, which label positions depend on
    trend = [Bbox.from_extents(x - 3, y - 3, x + 3, y + 3) for x, y in axes.transData.transform(line)] if line else []
    bands, dots = [], []
    for row in rows:
        heights = (row.top1_low, row.top1, row.top1_high)
        (x, low), (_, middle), (_, high) = axes.transData.transform([(row.train_images, height) for height in heights])
        bands.append(Bbox.from_extents(x - 4, low, x + 4, high))
        dots.append(Bbox.from_extents(x - 6, middle - 6, x + 6, middle + 6))
    whole = axes.get_window_extent()
    # A dot at 100 % is at the upper edge; its label may stand out above it.
    space = Bbox.from_extents(whole.x0, whole.y0, whole.x1, min(whole.y1 + 10, figure.bbox.y1))
    names = [legend.get_window_extent() for legend in figure.legends]
    leaders: list[Bbox] = []
    for row, dot in zip(rows, dots, strict=True):
        text = style.label(row.label, 22)
        at = (row.train_images, row.top1)
        label = axes.annotate(text, at, (0, 0), textcoords="offset points", va="center", fontsize=8, in_layout=False)
        size = label.get_window_extent()
        taken = ([*bands, *dots, *trend], [*dots, *trend], dots)
        tries = ((offset, boxes) for offsets in (_NEXT_TO, _FURTHER) for boxes in taken for offset in offsets)
        for (right, up), boxes in tries:
            box = _label_box(dot, size, right * figure.dpi / 72, up * figure.dpi / 72)
            inside = space.contains(box.x0, box.y0) and space.contains(box.x1, box.y1)
            if not inside or box.count_overlaps([*boxes, *names, *leaders]):
                continue
            near = (right, up) in _NEXT_TO
            leader = [] if near else _leader(dot, box, right)
            if any(point.count_overlaps(names) for point in leader):
                continue
            label.xyann = (right, up)
            label.set(ha="left" if right > 0 else "right" if right else "center")
            names.append(box)
            leaders += leader
            if leader:
                ends = axes.transData.inverted().transform([leader[0].p0 + 1, leader[-1].p0 + 1])
                axes.plot(*ends.T, color=style.MUTED, lw=0.7, zorder=1.5)
            break
        else:
            label.remove()


# Offsets of a label from its dot in points, the best first.
_NEXT_TO = [(side * 8, up) for up in (0, 9, -9, 17, -17) for side in (1, -1)] + [(0, 12), (0, -12)]
_FURTHER = sorted(
    ((side * right, up) for right in (14, 24, 40, 60, 90) for up in range(-140, 141, 7) for side in (1, -1)),
    key=lambda offset: math.hypot(*offset),
)


def _label_box(dot: Bbox, size: Bbox, right: float, up: float) -> Bbox:
    """The box of a label this many pixels from its dot."""
    x, y = (dot.x0 + dot.x1) / 2 + right, (dot.y0 + dot.y1) / 2 + up
    left = x - (0 if right > 0 else size.width if right else size.width / 2)
    return Bbox.from_bounds(left, y - size.height / 2, size.width, size.height)


def _leader(dot: Bbox, box: Bbox, right: float) -> list[Bbox]:
    """Boxes of points along the line from a dot to its label."""
    start = np.array([(dot.x0 + dot.x1) / 2, (dot.y0 + dot.y1) / 2])
    end = np.array([box.x0 - 2 if right > 0 else box.x1 + 2, (box.y0 + box.y1) / 2])
    return [Bbox.from_extents(x - 1, y - 1, x + 1, y + 1) for x, y in np.linspace(start, end, 20)]


def _log_ticks(low: int, high: int) -> list[int]:
    """Round numbers 1, 2, 5, 10, … between two counts, widened until there are two of them."""
    rounds = [factor * 10**power for power in range(8) for factor in (1, 2, 5)]
    inside = [tick for tick in rounds if low / 1.25 <= tick <= high * 1.25]
    return inside if len(inside) > 1 else sorted({low, high})


def reliability(bins: Sequence[ConfidenceBin]) -> Figure:
    """Accuracy against confidence, and below it the number of photos by confidence."""
    with style.applied():
        figure = Figure(figsize=(style.WIDTH, 4.9))
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        _reliability_bars(top, bins)
        lows = [row.bin_low for row in bins]
        widths = [row.bin_high - row.bin_low for row in bins]
        bottom.bar(
            lows, [row.images for row in bins], [0.9 * width for width in widths], align="edge", color=style.GREY
        )
        bottom.set_ylabel("photos")
        bottom.set_xlabel("confidence")
        bottom.xaxis.set_major_formatter(style.percent)
        bottom.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        figure.legend(*top.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _reliability_bars(axes: Axes, bins: Sequence[ConfidenceBin]) -> None:
    lows = [row.bin_low for row in bins]
    widths = [0.9 * (row.bin_high - row.bin_low) for row in bins]
    axes.bar(lows, [row.accuracy for row in bins], widths, align="edge", color=style.SOFT, label="accuracy")
    axes.plot([row.confidence for row in bins], [row.accuracy for row in bins], "o", color=style.ACCENT, ms=5)
    axes.plot([0, 1], [0, 1], color=style.CONTRAST, lw=1, ls=(0, (3, 3)), label="perfectly calibrated")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    axes.yaxis.set_major_formatter(style.percent)


def confusion_matrix(labels: Sequence[str], counts: NDArray[np.int64]) -> Figure:
    """Test photos by actual class (rows) and predicted class (columns), coloured by the share of the row.

    Args:
        labels: k class names.
        counts: [k, k] photos.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with style.applied():
        named = len(labels) <= MAX_NAMES
        figure, axes = style.one_axes(4.2)
        block = -(-len(labels) // MAX_CELLS)
        image = _pooled(_coloured(shares), block)
        first, last = 0.5, len(image) * block + 0.5
        axes.imshow(image, interpolation="none", extent=(first, last, last, first))
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if named:
            names = [style.label(name, 24) for name in labels]
            axes.set_xticks(range(1, len(labels) + 1), names, rotation=40, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(1, len(labels) + 1), names)
            _numbers(axes, counts, shares)
        else:
            step = 10 ** round(math.log10(len(labels) / 5))
            ticks = [1, *range(step, len(labels) + 1, step)]
            axes.set_xticks(ticks)
            axes.set_yticks(ticks)
        suffix = "" if named else f" ({len(labels):,}, numbered by name)"
        axes.set(xlabel=f"predicted class{suffix}", ylabel="actual class")
    return figure


def _coloured(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right answers in the accent colour, wrong ones in the contrast colour, the more opaque the larger the share."""
    image = np.empty((*shares.shape, 4))
    image[..., :3] = to_rgb(style.CONTRAST)
    image[range(len(shares)), range(len(shares)), :3] = to_rgb(style.ACCENT)
    # The square root keeps single mistakes visible.
    image[..., 3] = np.sqrt(shares) * 0.95
    return image


def _pooled(image: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """Each block of cells as its most opaque cell, so that single mistakes stay visible among very many classes."""
    side = -(-len(image) // block)
    padded = np.zeros((side * block, side * block, 4))
    padded[: len(image), : len(image)] = image
    cells = padded.reshape(side, block, side, block, 4).swapaxes(1, 2).reshape(side, side, block * block, 4)
    opaque = cells[..., 3].argmax(axis=2)[..., None, None]
    return np.asarray(np.take_along_axis(cells, opaque, axis=2)[:, :, 0])


def _numbers(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = style.PAPER if np.sqrt(shares[row, column]) > 0.85 else style.INK
            axes.text(column + 1, row + 1, f"{count:,}", ha="center", va="center", color=colour, fontsize=8.5)
