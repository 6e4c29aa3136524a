"""Report the run: a page, a summary for a pull request, the model card, figures that `dvc plots diff` compares."""

from boatyard.core.stage import run_stage

from boatyard import params
from boatyard.core import files, paths
from boatyard.models import model_header
from boatyard.report import figure_registry, markdown, page, pictures, run_files


def main() -> None:
    settings = params.load("report")
    run, header = run_files.read(settings), model_header.read(paths.MODEL)
    shown = pictures.collect(run, paths.RAW, header.preprocessing, settings.augment, settings.seed)
    figures = figure_registry.draw(run, shown)
    for name, figure in figures.items():
        files.write_bytes(paths.FIGURES / f"{name}.png", figure_registry.png(figure))
    files.write_bytes(paths.REPORT_HTML, page.render(run, shown, figures, header.preprocessing).encode())
    files.write_bytes(paths.REPORT_MARKDOWN, markdown.summary(run).encode())
    files.write_bytes(paths.MODEL_CARD, markdown.model_card(run, header).encode())
    print(
        f"{paths.REPORT_HTML}: top-1 {run.test['top1']:.4f} on {run.test['images']:,} test photos; open it in a browser"
    )


if __name__ == "__main__":
    run_stage(main)
