"""The registry of the report's figures: one entry of `FIGURES` adds one.

Each is written to plots/figures as PNG, for `dvc plots diff`, and the page shows those that have a section.
"""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from boatyard.report.figures import bars, charts, sheets, style
from boatyard.report.pictures import Pictures
from boatyard.report.run import Run

Drawing = Figure | Image.Image


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        draw: makes it, from numbers or from photos.
        section: id of the page's section that ends with it, after those before it in the registry; empty: only a PNG.
        title, caption: on the page. For more than a drawing with a caption, such as a table next to it or photos that
            rearrange on a phone, add the template figures/<name>.html.j2.
    """

    draw: Callable[[Run, Pictures], Drawing]
    section: str = ""
    title: str = ""
    caption: str = ""


FIGURES = {
    "class_counts": ReportFigure(lambda run, _: bars.class_counts(run.counts)),
    "image_sizes": ReportFigure(lambda run, _: charts.image_sizes(run.sizes), "data", "Sizes"),
    "class_sizes": ReportFigure(lambda run, _: bars.class_sizes(run.catalog), "data", "Sizes by class"),
    "sample_grid": ReportFigure(
        lambda _, pictures: sheets.sample_grid(
            [(label, [picture.image for picture in chosen]) for label, chosen in pictures.samples]
        ),
        "data",
        "Samples",
    ),
    "augmented_views": ReportFigure(
        lambda _, pictures: sheets.augmented_views(pictures.source.image, pictures.plain, pictures.views),
        "data",
        "Random views of one training photo",
    ),
    "curves": ReportFigure(lambda run, _: charts.curves(run.history, run.training["best_epoch"]), "training"),
    "confusion_matrix": ReportFigure(
        lambda run, _: charts.confusion_matrix(run.labels, run.confusion), "results", "Confusion matrix"
    ),
    "per_class": ReportFigure(lambda run, _: bars.per_class(run.results), "results", "Results by class"),
    "accuracy_vs_count": ReportFigure(
        lambda run, _: charts.accuracy_vs_count(run.results, run.trend),
        "results",
        "Accuracy and number of training photos",
    ),
    "reliability": ReportFigure(lambda run, _: charts.reliability(run.bins), "results", "Calibration"),
    "mistakes": ReportFigure(
        lambda _, pictures: _mistakes(pictures),
        "mistakes",
    ),
    "tta_vs_plain": ReportFigure(
        lambda run, _: bars.tta_vs_plain(run.tta_results), "tta", "Test-time augmentation by class"
    ),
}


def _mistakes(pictures: Pictures) -> Image.Image:
    cards = [(mistake, picture.image) for mistake, picture in pictures.mistakes]
    return sheets.predictions(cards, "The most confident mistakes" if cards else "No test photo is misclassified.")


def draw(run: Run, pictures: Pictures) -> dict[str, Drawing]:
    """The figures by name."""
    return {name: figure.draw(run, pictures) for name, figure in FIGURES.items()}


def png(drawing: Drawing) -> bytes:
    """A figure as PNG."""
    return style.png(drawing) if isinstance(drawing, Figure) else sheets.png(drawing)
