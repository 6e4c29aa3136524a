"""Tell of the run: a page, a summary for a pull request, the model's card, figures that `dvc plots diff` compares."""

from boatyard.stage import run_stage

from boatyard import files, params, paths
from boatyard.data import catalog, leaks, splitting
from boatyard.evaluation import suspects, tables
from boatyard.evaluation.calibration import ConfidenceBin
from boatyard.evaluation.predictions import read_predictions
from boatyard.evaluation.report import drawing, markdown, page, pictures
from boatyard.evaluation.report.run import Run
from boatyard.model import header
from boatyard.model.history import Epoch
from boatyard.serving import card


def main() -> None:
    settings = params.load("report")
    run = read(settings)
    about = header.read(paths.MODEL)
    shown = pictures.collect(run, paths.RAW, about.preprocessing, settings.augment, settings.seed)
    figures = drawing.draw(run)
    for name, content in drawing.pngs(figures, shown):
        files.write_bytes(paths.FIGURES / name, content)
    files.write_bytes(paths.REPORT_HTML, page.render(run, shown, figures, about.preprocessing).encode())
    files.write_bytes(paths.REPORT_MARKDOWN, markdown.render(run).encode())
    files.write_bytes(paths.MODEL_CARD, card.render(run, about).encode())
    print(
        f"{paths.REPORT_HTML}: top-1 {run.test['top1']:.4f} on {run.test['images']:,} test photos; open it in a browser"
    )


def read(settings: params.Params) -> Run:
    return Run(
        settings=params.dump(settings),
        download=files.read_json(paths.DOWNLOAD_METRICS),
        filtering=files.read_json(paths.FILTER_METRICS),
        splitting=files.read_json(paths.SPLIT_METRICS),
        labelling=files.read_json(paths.CHECK_LABELS_METRICS),
        training=files.read_json(paths.TRAIN_METRICS),
        test=files.read_json(paths.EVALUATE_METRICS),
        tta=files.read_json(paths.TTA_METRICS),
        catalog=catalog.read_catalog(paths.CATALOG),
        rejected=catalog.read_rejected(paths.REJECTED),
        rows=splitting.read_splits(paths.SPLITS),
        leaks=leaks.read_leaks(paths.LEAKS),
        suspects=suspects.read_suspects(paths.SUSPECTS),
        counts=files.read_rows(paths.CLASS_COUNTS, tables.ClassCount),
        sizes=files.read_rows(paths.IMAGE_SIZES, tables.ImageSize),
        history=files.read_rows(paths.HISTORY, Epoch),
        predictions=read_predictions(paths.PREDICTIONS),
        results=files.read_rows(paths.PER_CLASS, tables.MeasuredClass),
        bins=files.read_rows(paths.RELIABILITY, ConfidenceBin),
        tta_results=files.read_rows(paths.TTA_PER_CLASS, tables.TtaClass),
    )


if __name__ == "__main__":
    run_stage(main)
