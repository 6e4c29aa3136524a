"""The figures of a run: each drawn once, for `dvc plots diff` as PNG and for the page as SVG."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from boatyard.report.figures import bars, charts, sheets, style
from boatyard.report.pictures import Pictures
from boatyard.report.run import Run


def draw(run: Run) -> dict[str, Figure]:
    """The drawn figures by name."""
    return {
        "class_counts": bars.class_counts(run.counts),
        "image_sizes": charts.image_sizes(run.sizes),
        "curves": charts.curves(run.history, run.training["best_epoch"]),
        "confusion_matrix": charts.confusion_matrix(run.labels, run.confusion),
        "per_class": bars.per_class(run.results),
        "accuracy_vs_count": charts.accuracy_vs_count(run.results),
        "reliability": charts.reliability(run.bins),
        "tta_vs_plain": bars.tta_vs_plain(run.tta_results),
    }


def pngs(figures: dict[str, Figure], pictures: Pictures) -> Iterator[tuple[str, bytes]]:
    """Every figure and every sheet of photos: its file's name and content."""
    for name, figure in figures.items():
        yield f"{name}.png", style.png(figure)
    groups = [(label, [picture.image for picture in chosen]) for label, chosen in pictures.samples]
    mistakes = [(mistake, picture.image) for mistake, picture in pictures.mistakes]
    yield "sample_grid.png", sheets.png(sheets.sample_grid(groups))
    yield (
        "augmented_views.png",
        sheets.png(sheets.augmented_views(pictures.source.image, pictures.plain, pictures.views)),
    )
    yield "mistakes.png", sheets.png(sheets.mistakes(mistakes))
