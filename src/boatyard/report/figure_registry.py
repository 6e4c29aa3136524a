"""The registry of the report's figures: one entry of `CHARTS` or `SHEETS` adds one.

Each is written to plots/figures as PNG, for `dvc plots diff`; the page shows charts as SVG where their entry says so.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from boatyard.report.figures import bars, charts, sheets, style
from boatyard.report.pictures import Pictures
from boatyard.report.run import Run


@dataclass(frozen=True)
class Chart:
    """A figure drawn from numbers.

    Attributes:
        draw: makes it.
        on_page: whether the page shows it as well.
        title, caption: of a chart that the page's template has no place for; the page shows it after the results.
    """

    draw: Callable[[Run], Figure]
    on_page: bool = False
    title: str = ""
    caption: str = ""


CHARTS = {
    "class_counts": Chart(lambda run: bars.class_counts(run.counts)),
    "image_sizes": Chart(lambda run: charts.image_sizes(run.sizes), on_page=True),
    "curves": Chart(lambda run: charts.curves(run.history, run.training["best_epoch"]), on_page=True),
    "confusion_matrix": Chart(lambda run: charts.confusion_matrix(run.labels, run.confusion), on_page=True),
    "per_class": Chart(lambda run: bars.per_class(run.results)),
    "accuracy_vs_count": Chart(lambda run: charts.accuracy_vs_count(run.results), on_page=True),
    "reliability": Chart(lambda run: charts.reliability(run.bins), on_page=True),
    "tta_vs_plain": Chart(lambda run: bars.tta_vs_plain(run.tta_results)),
}

# Figures made of photos.
SHEETS: dict[str, Callable[[Pictures], Image.Image]] = {
    "sample_grid": lambda pictures: sheets.sample_grid(
        [(label, [picture.image for picture in chosen]) for label, chosen in pictures.samples]
    ),
    "augmented_views": lambda pictures: sheets.augmented_views(pictures.source.image, pictures.plain, pictures.views),
    "mistakes": lambda pictures: sheets.mistakes([(mistake, picture.image) for mistake, picture in pictures.mistakes]),
}


def draw(run: Run) -> dict[str, Figure]:
    """The charts by name."""
    return {name: chart.draw(run) for name, chart in CHARTS.items()}


def pngs(drawn: Mapping[str, Figure], pictures: Pictures) -> Iterator[tuple[str, bytes]]:
    """The name and content of each PNG file: of the charts that `draw` made, and of the sheets of photos."""
    for name, figure in drawn.items():
        yield f"{name}.png", style.png(figure)
    for name, sheet in SHEETS.items():
        yield f"{name}.png", sheets.png(sheet(pictures))


def svgs(drawn: Mapping[str, Figure]) -> dict[str, str]:
    """The charts on the page as `<svg>` elements, by name."""
    return {name: style.svg(drawn[name], name) for name, chart in CHARTS.items() if chart.on_page}
