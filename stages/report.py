"""Report the run: a page, a summary for a pull request, the model card, figures that `dvc plots diff` compares."""

from boatyard.core.stage import run_stage

from boatyard import params
from boatyard.core import files, paths
from boatyard.models import model_header
from boatyard.report import figure_registry, markdown, model_card, page, pictures, run_files


def main() -> None:
    settings = params.load("report")
    run, header = run_files.read(settings), model_header.read(paths.MODEL)
    shown = pictures.collect(run, paths.RAW, header.preprocessing, settings.augment, settings.seed)
    figures = figure_registry.draw(run)
    for name, content in figure_registry.pngs(figures, shown):
        files.write_bytes(paths.FIGURES / name, content)
    files.write_bytes(paths.REPORT_HTML, page.render(run, shown, figures, header.preprocessing).encode())
    files.write_bytes(paths.REPORT_MARKDOWN, markdown.render(run).encode())
    files.write_bytes(paths.MODEL_CARD, model_card.render(run, header).encode())
    print(
        f"{paths.REPORT_HTML}: top-1 {run.test['top1']:.4f} on {run.test['images']:,} test photos; open it in a browser"
    )


if __name__ == "__main__":
    run_stage(main)
