"""The report shows the content of the run's files, in one file that loads nothing else, whatever the class names."""

import base64
import csv
import hashlib
import html
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pretend_run
import pytest
from PIL import Image

from boatyard import params
from boatyard.core import files, paths
from boatyard.core.errors import UserError
from boatyard.core.splits import Sample
from boatyard.curation import near_duplicates
from boatyard.curation.catalog import REASONS, Rejected
from boatyard.curation.leaks import Leak
from boatyard.evaluation import comparison
from boatyard.evaluation.predictions import Prediction
from boatyard.images.decoding import open_photo
from boatyard.images.views import Recipe, plain_view
from boatyard.report import (
    figure_registry,
    formatting,
    markdown,
    markdown_blocks,
    page,
    pictures,
    templating,
    thumbnails,
)
from boatyard.report.run import Run

REPOSITORY = Path(__file__).parents[2]
VOID = {"meta", "link", "img", "input", "br", "wbr"}
INLINE = {"b", "bdi", "wbr", "code", "a", "i", "s"}


def report(root: Path, hash_seed: int = 0) -> str:
    """Run the stage, and check that it did not import torch."""
    script = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); assert 'torch' not in sys.modules"
    stage = str(REPOSITORY / "stages/report.py")
    done = subprocess.run(
        [sys.executable, "-c", script, stage],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = pretend_run.make(tmp_path_factory.mktemp("six"), pretend_run.SIX, 40)
    report(root)
    return root


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = pretend_run.make(tmp_path_factory.mktemp("hostile"), pretend_run.HOSTILE, 20)
    report(root)
    return root


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = pretend_run.make(tmp_path_factory.mktemp("many"), pretend_run.MANY, 6)
    report(root)
    return root


@pytest.fixture(scope="module")
def run(six: Path) -> Run:
    return pretend_run.read(six)


@pytest.fixture(scope="module")
def shown(six: Path, run: Run) -> pictures.Pictures:
    settings = params.read(REPOSITORY / "presets/solar_cells.yaml")
    return pictures.collect(run, six / paths.RAW, pretend_run.PREPROCESSING, settings.augment, 0)


def render(run: Run, shown: pictures.Pictures) -> str:
    return page.render(run, shown, figure_registry.draw(run, shown), pretend_run.PREPROCESSING)


Cell = tuple[str, str | None]


@dataclass
class Table:
    """A table's cells: their text, and the number that sorts them."""

    name: str
    rows: list[list[Cell]] = field(default_factory=list)


class Parsed(HTMLParser):
    """A page taken apart; it fails where tags do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.tables: dict[str, Table] = {}
        self._table: Table | None = None
        self.feed(text)
        self.close()
        assert self.open == []
        for table in self.tables.values():
            table.rows = [[(" ".join(text.split()), value) for text, value in row] for row in table.rows]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        values = dict(attributes)
        self.tags.append((tag, values))
        self._part(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = Table(values.get("aria-labelledby") or values.get("aria-label") or "")
            self.tables[self._table.name] = self._table
        elif self._table and tag == "tr":
            self._table.rows.append([])
        elif self._table and tag in ("td", "th"):
            self._table.rows[-1].append(("", values.get("data-v")))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())
        self._part(tag)
        if tag == "table":
            self._table = None

    def _part(self, tag: str) -> None:
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))
        if self._table and self._table.rows and self._table.rows[-1]:
            text, value = self._table.rows[-1][-1]
            self._table.rows[-1][-1] = (text + data, value)

    @property
    def text(self) -> str:
        """What a reader sees, spaces made one."""
        seen = "".join(data for tag, data in self.texts if tag not in ("script", "style"))
        return " ".join(seen.split())


@pytest.fixture(scope="module")
def parsed(six: Path) -> Parsed:
    return Parsed((six / paths.REPORT_HTML).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def metrics(six: Path) -> dict[str, Any]:
    return files.read_json(six / paths.EVALUATE_METRICS)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# The first screen and the figures.


def test_the_first_screen_shows_the_result(parsed: Parsed, metrics: dict[str, Any], run: Run) -> None:
    first = parsed.text.partition("Data Training Results")[0]
    right = round(metrics["top1"] * metrics["images"])
    assert "drawn-cells 1.2" in first
    assert f"gets {right} of {metrics['images']} test photos right, choosing among 6 classes." in first
    assert f"{100 * metrics['top1']:.1f} % test top-1" in first
    assert f"{100 * metrics['top1_low']:.1f} – {100 * metrics['top1_high']:.1f} %" in first
    tests = [prediction.actual for prediction in run.predictions]
    always = 100 * tests.count("thin-film") / len(tests)
    assert f"predicting thin-film, the largest class, would score {always:.1f} %" in first
    assert f"Photos {run.filtering['kept']} " in first
    assert "Classes 6 of 7 found" in first
    assert "331,210 of 3,702,214 parameters trained" in first
    assert "No evidence that TTA helps" in first
    assert "Data licence CC BY 4.0" in first


def test_counts_before_and_after_the_filter(parsed: Parsed, six: Path) -> None:
    found = {row["label"]: row for row in rows_of(six / paths.CLASS_COUNTS)}
    splits = [(row["label"], row["split"]) for row in rows_of(six / paths.SPLITS)]
    _, *rows = parsed.tables["counts-title"].rows
    assert [row[2][0] for row in rows] == sorted((row["images"] for row in found.values()), key=int, reverse=True)
    for label, _, images, kept, *numbers in rows:
        row = found[label[0]]
        assert (images[1], kept[1]) == (row["images"], row["kept"])
        assert [number[1] for number in numbers] == [
            str(splits.count((label[0], split))) for split in ("train", "validation", "test")
        ]
    assert rows[-1][0][0] == "rare"
    assert rows[-1][3][0] == "left out"


def test_rejected_photos_have_reasons(parsed: Parsed) -> None:
    _, *rows = parsed.tables["rejected-title"].rows
    assert [[cell[0] for cell in row] for row in rows] == [
        ["class has too few photos (fewer than 100)", "2", "rare 2"],
        ["can't be decoded", "1", "thin-film 1"],
    ]
    assert "thin-film/photo 44.png: not a photo in a known format" in parsed.text


@pytest.fixture(scope="module")
def leaking(run: Run) -> Run:
    """Nine test photos and a validation photo that are mirrored near duplicates of training photos."""
    places = {split: [row for row in run.rows if row.split == split] for split in ("train", "validation", "test")}
    pairs = [
        *zip(places["test"][::5][:9], places["train"], strict=False),
        (places["validation"][0], places["train"][9]),
    ]
    return replace(
        run,
        leaks=[
            Leak(row.path, row.label, row.split, like.path, like.label, "train", "horizontal", number)
            for number, (row, like) in enumerate(pairs)
        ],
    )


def test_without_leaks_there_is_no_section(parsed: Parsed, six: Path) -> None:
    assert (
        "5 photos are near duplicates of another photo: unchanged, mirrored or rotated 180°. They form 2 groups; each"
        in parsed.text
    )
    assert "Near duplicates in different splits" not in parsed.text
    assert "Leak" not in (six / paths.REPORT_MARKDOWN).read_text(encoding="utf-8")


def test_leaks_are_shown_with_their_photos_and_the_top1_without_them(leaking: Run, six: Path) -> None:
    settings = params.read(REPOSITORY / "presets/solar_cells.yaml")
    shown = pictures.collect(leaking, six / paths.RAW, pretend_run.PREPROCESSING, settings.augment, 0)
    text = Parsed(render(leaking, shown)).text
    leaked = {leak.path for leak in leaking.leaks}
    rest = [prediction.right for prediction in leaking.predictions if prediction.path not in leaked]
    assert len(rest) == len(leaking.predictions) - 9
    said = (
        f"Near duplicates of photos in an earlier split: 9 of {leaking.test['images']} test photos and 1 of "
        f"{leaking.splitting['validation']} validation photos. Expect worse results on new photos. "
        f"On the other test photos top-1 is {100 * sum(rest) / len(rest):.1f} %, on all of them "
        f"{100 * leaking.test['top1']:.1f} %."
    )
    assert said in text
    assert "each group is in one split" not in text
    assert f"Here are {pictures.LEAKS} of 10 pairs" in text
    first = leaking.leaks[0]
    assert f"test: {first.label} {first.path} train: {first.like_label}, mirrored left to right {first.like}" in text
    assert "Some photos have near duplicates in another split." in text.partition("Data Training")[0]
    assert f"**Leak:** {said}" in markdown.summary(leaking)


def test_if_every_test_photo_leaks_there_is_no_top1_without_them(leaking: Run) -> None:
    tests = [leak for leak in leaking.leaks if leak.split == "test"]
    all_of_them = [replace(tests[0], path=prediction.path) for prediction in leaking.predictions]
    text = markdown.summary(replace(leaking, leaks=all_of_them))
    assert "**Leak:** Near duplicates" in text
    assert "other test photos" not in text


def test_every_flip_has_a_text() -> None:
    assert all(formatting.FLIP_TEXTS[name] for name in near_duplicates.FLIPS)


def test_label_issues_are_shown_with_their_photos_least_probable_first(parsed: Parsed, six: Path, run: Run) -> None:
    rows = rows_of(six / paths.SUSPECTS)
    count = len(rows)
    assert count > pictures.LABEL_ISSUES
    expected = f"{count} labels may be wrong, among {len(run.rows)} photos of all splits."
    assert expected in parsed.text
    assert f"{100 * run.labelling['top1']:.1f} % of the predictions agree with the label." in parsed.text
    assert f"Here are the {pictures.LABEL_ISSUES} least probable labels" in parsed.text
    _, section = parsed.text.split("Label issues", 1)
    for row in rows[: pictures.LABEL_ISSUES]:
        shown, section = section.split(f"{row['split']}: {row['path']}", 1)
        assert f"labelled {row['label']} looks like {row['looks_like']}" in shown
        for name in ("label_probability", "probability"):
            assert f"{100 * float(row[name]):.1f} %" in shown
    text = (six / paths.REPORT_MARKDOWN).read_text(encoding="utf-8")
    assert f"**Label issues.** {expected}" in text
    table = re.findall(r"^\| ([^|]+) \| (train|validation|test) \|", text, re.MULTILINE)
    assert table == [(row["path"], row["split"]) for row in rows[: markdown.MAX_LABEL_ISSUES]]


@pytest.mark.parametrize(
    ("number", "judged", "expected"),
    [
        (0, 100, "No label may be wrong, among 100 photos of all splits. Each photo was classified"),
        (1, 97, "1 label may be wrong, among 97 photos of all splits (3 others could not be checked). Each photo"),
        (0, 0, "No label could be checked: the photos of each class are near duplicates of one another."),
    ],
)
def test_few_label_issues_or_none(run: Run, shown: pictures.Pictures, number: int, judged: int, expected: str) -> None:
    labelling = {"photos": 100, "judged": judged, "top1": 0.97 if judged else None, "suspects": number}
    few = replace(run, label_issues=run.label_issues[:number], labelling=labelling)
    text = Parsed(render(few, replace(shown, label_issues=shown.label_issues[:number]))).text
    assert expected in text
    assert ("Not all of them are wrong" in text) == bool(number)
    assert "data/suspects.csv lists all" not in text
    assert expected in markdown.summary(few)
    assert ("<details><summary>The" in markdown.summary(few)) == bool(number)


def test_results_by_class_are_those_of_the_table_worst_first(parsed: Parsed, six: Path) -> None:
    _, *rows = parsed.tables["classes-title"].rows
    expected = sorted(rows_of(six / paths.PER_CLASS), key=lambda row: (float(row["top1"]), row["label"]))
    assert [row[0][0] for row in rows] == [row["label"] for row in expected]
    for row, truth in zip(rows, expected, strict=True):
        low, high = (100 * float(truth[name]) for name in ("top1_low", "top1_high"))
        assert row[1] == (f"{100 * float(truth['top1']):.1f} %", str(float(truth["top1"])))
        assert row[2] == (f"{low:.1f} – {high:.1f} %", str(float(truth["top1_low"])))
        assert [row[3][1], row[4][1]] == [truth["train_images"], truth["test_images"]]


def test_the_confusion_matrix_counts_the_predictions(parsed: Parsed, run: Run) -> None:
    _, *rows = parsed.tables["confusion-title"].rows
    for actual, row in zip(run.labels, rows, strict=True):
        for predicted, cell in zip(run.labels, row[1:], strict=True):
            count = sum((p.actual, p.predicted) == (actual, predicted) for p in run.predictions)
            own = sum(p.actual == actual for p in run.predictions)
            assert cell[0] == (f"{count} {100 * count / own:.0f} %" if count else "")


def test_every_setting_is_there(parsed: Parsed) -> None:
    settings = params.read(REPOSITORY / "presets/solar_cells.yaml").model_dump()
    for section, values in settings.items():
        rows = formatting.flatten(values) if isinstance(values, dict) else [(section, formatting.setting(values))]
        for key, value in rows:
            assert f" {key} {value} " in parsed.text


def test_mistakes_are_the_most_confident_ones_with_their_odds(parsed: Parsed, run: Run) -> None:
    wrong = sorted((p for p in run.predictions if p.actual != p.predicted), key=lambda p: (-p.probability, p.path))
    shown = re.findall(r"actual class (\S+) mistaken for (\S+) ", parsed.text)
    assert shown[: pictures.MISTAKES] == [(p.actual, p.predicted) for p in wrong[: pictures.MISTAKES]]
    assert f"{len(wrong)} test photos are misclassified" in parsed.text
    odds = " ".join(f"{label} {100 * share:.1f} %" for label, share in wrong[0].top)
    assert f"mistaken for {wrong[0].predicted} {odds} {wrong[0].path}" in parsed.text


def test_the_worst_class_has_a_section(parsed: Parsed, run: Run) -> None:
    worst = min(run.results, key=lambda row: (row.top1, -row.test_images))
    right = sum(p.actual == p.predicted == worst.label for p in run.predictions)
    section = parsed.text.partition("The worst class: ")[2]
    assert section.startswith(
        f"{worst.label} {right} of {worst.test_images} test photos right: {100 * worst.top1:.1f} % (95 %"
    )


def test_class_by_class_has_wrong_and_right_photos_of_each_class_and_is_closed(six: Path, run: Run) -> None:
    source = (six / paths.REPORT_HTML).read_text(encoding="utf-8")
    (section,) = re.findall(r'<section id="by-class".*?</section>', source, re.DOTALL)
    assert "<details><summary>" in section
    text = f"{Parsed(section).text} "
    for result in run.worst_first:
        own = [prediction for prediction in run.predictions if prediction.actual == result.label]
        _, text = text.split(f"{result.label} {sum(p.right for p in own)} of {len(own)} test photos right", 1)
        shown = [p for p in own if f" {p.path} " in text.partition(" test photos right")[0]]
        wrong = sorted((p for p in own if not p.right), key=lambda p: -p.probability)
        assert sum(not p.right for p in shown) == min(3, len(wrong))
        assert {p.path for p in wrong[:3]} <= {p.path for p in shown}
        assert sum(p.right for p in shown) == min(3, len(own) - len(wrong))
        for prediction in shown:
            before = text.partition(f" {prediction.path} ")[0].rpartition("✓ right" if prediction.right else "✗ wrong")
            odds = " ".join(f"{label} {100 * share:.1f} %" for label, share in prediction.top)
            assert before[2].strip() == odds


def test_chosen_photos_are_spread_over_confidence() -> None:
    def prediction(number: int, right: bool) -> Prediction:
        return Prediction(f"{number}", "a", "a" if right else "b", number / 10, 0.1, ())

    rows = [prediction(number, number > 3) for number in range(10)]
    assert [p.path for p in thumbnails.choose(rows, 2, 3)] == ["3", "2", "9", "7", "4"]
    assert [p.path for p in thumbnails.choose(rows, 0, 1)] == ["9"]
    assert [p.path for p in thumbnails.choose(rows[:4], 9, 9)] == ["3", "2", "1", "0"]
    assert thumbnails.choose([], 1, 1) == []


def test_the_layers_are_listed_with_a_total(parsed: Parsed) -> None:
    assert "The network: 3 layers, 3,702,214 parameters, 331,210 trained" in parsed.text
    _, *rows = parsed.tables["Layers of the network"].rows
    assert [[cell[0] for cell in row] for row in rows] == [
        ["backbone.stem", "Conv2d", "32 × 112 × 112", "864", "no"],
        ["backbone.blocks", "Sequential", "1280", "3,370,140", "no"],
        ["head.hidden", "Linear", "256", "331,210", "yes"],
        ["Total", "", "", "3,702,214", "331,210"],
    ]


def test_sizes_by_class_are_shown_unless_all_photos_have_one_size(
    parsed: Parsed, run: Run, shown: pictures.Pictures
) -> None:
    assert "Sizes by class, the largest on top." in parsed.text
    text = Parsed(render(replace(run, sizes=run.sizes[:1]), shown)).text
    assert "Every photo is" in text
    assert "Sizes by class" not in text


def test_the_page_explains_why_training_stopped(parsed: Parsed) -> None:
    assert (
        "Training stopped after 34 of at most 100 epochs, because the validation loss had not improved for 10 epochs."
        in parsed.text
    )
    assert "The best epoch is 28, with the lowest validation loss; the model uses its weights." in parsed.text


def test_the_calibration_is_shown_before_and_after(parsed: Parsed, run: Run, six: Path) -> None:
    before, after = run.training["uncalibrated"], run.training["calibrated"]
    verdict = "temperature 1.250: it lowers the validation loss by 0.0180 ± 0.0060 (± standard error)"

    def nats(values: dict[str, Any], key: str) -> str:
        low, high = values["intervals"][key]
        return f"{values[key]:.3f} ({low:.3f} – {high:.3f})"

    def percent(values: dict[str, Any], key: str) -> str:
        low, high = values["intervals"][key]
        return f"{100 * values[key]:.1f} % ({100 * low:.1f} – {100 * high:.1f} %)"

    loss, ece = "validation_loss", "validation_ece"
    assert (
        f"{verdict}; loss {nats(before, loss)} before, {nats(after, loss)} after; "
        f"calibration error {percent(before, ece)} before, {percent(after, ece)} after"
    ) in parsed.text
    test, plain = run.test, run.test["uncalibrated"]
    low, high = (100 * bound for bound in test["intervals"]["ece"])
    assert f"{100 * test['ece']:.1f} % confidence vs accuracy 95 % interval {low:.1f} – {high:.1f} %" in parsed.text
    assert f"(15 bins, 95 % interval {low:.1f} – {high:.1f} %)" in parsed.text
    low, high = test["intervals"]["loss"]
    assert f"{test['loss']:.3f} cross entropy 95 % interval {low:.3f} – {high:.3f} {plain['loss']:.3f} " in parsed.text
    summary = (six / paths.REPORT_MARKDOWN).read_text(encoding="utf-8")
    assert f"**Calibration:** {verdict}. It changes confidence" in summary
    assert (f"Plain view without it: loss {nats(plain, 'loss')}, calibration error {percent(plain, 'ece')}.") in summary


def test_a_declined_temperature_is_explained_and_shows_no_other_figures(run: Run, shown: pictures.Pictures) -> None:
    fitted = {"temperature": 1.058, "loss_gain": 0.0007, "standard_error": 0.0012}
    training = {**run.training, "temperature": 1.0, "fitted_temperature": fitted}
    declined = replace(run, training=training)
    sentence = "temperature 1: 1.058 would lower the validation loss by 0.0007 ± 0.0012, which may be chance"
    text = Parsed(render(declined, shown)).text
    assert sentence in text
    assert "uncalibrated" not in text
    assert "without the temperature" not in text
    summary = markdown.summary(declined)
    assert f"**Calibration:** {sentence} (± standard error).\n\n**Test-time" in summary


def test_fine_tuning_is_a_phase_of_its_own(run: Run, shown: pictures.Pictures) -> None:
    tuned = [replace(row, phase="finetune" if row.epoch > 30 else "head") for row in run.history]
    settings = {**run.settings, "finetune": {**run.settings["finetune"], "epochs": 4, "blocks": 2}}
    text = Parsed(render(replace(run, history=tuned, settings=settings), shown)).text
    assert "then the head with the last 2 blocks together." in text
    assert "Head stopped after 30 of at most 100 epochs" in text
    assert "Fine-tuning ran for all 4 epochs." in text


# Test-time augmentation.


def with_gain(run: Run, gain: float, low: float, high: float, fixed: int, broken: int) -> Run:
    changed = {"top1_gain": gain, "top1_gain_low": low, "top1_gain_high": high, "fixed": fixed, "broken": broken}
    return replace(run, tta={**run.tta, "images": 1000, **changed})


@pytest.mark.parametrize(
    ("gain", "opening", "tone"),
    [
        ((0.004, -0.012, 0.02, 10, 6), "No evidence that TTA helps: +0.4 points (95 % interval −1.2 to +2.0)", "open"),
        ((0.03, 0.012, 0.05, 35, 5), "TTA helps: +3.0 points (95 % interval +1.2 to +5.0)", "gain"),
        ((-0.03, -0.05, -0.012, 5, 35), "TTA hurts: −3.0 points (95 % interval −5.0 to −1.2)", "loss"),
        # The interval excludes 0, but 4 photos are too few to tell.
        ((0.004, 0.001, 0.008, 4, 0), "No evidence that TTA helps: +0.4 points", "open"),
    ],
)
def test_tta_is_a_gain_only_if_significant(
    run: Run, shown: pictures.Pictures, gain: tuple[float, float, float, int, int], opening: str, tone: str
) -> None:
    changed = with_gain(run, *gain)
    source = render(changed, shown)
    text = Parsed(source).text
    assert opening in text
    assert f'class="verdict {tone}"' in source
    assert f"{gain[3]} fixed, {gain[4]} broken" in text
    assert ("TTA helps:" in text.replace("that TTA helps:", "")) == (tone == "gain")
    summary = markdown.summary(changed)
    assert opening in summary
    assert ("TTA helps:" in summary.replace("that TTA helps:", "")) == (tone == "gain")


def test_tta_with_one_other_view_names_it_in_the_singular(run: Run, shown: pictures.Pictures) -> None:
    def text(**tta: object) -> str:
        return Parsed(render(replace(run, tta={**run.tta, **tta}), shown)).text

    assert "2 views of each photo (the plain view and its mirror image)" in text(policy="flips", views=2)
    assert "4 views of each photo (the plain view and its mirror images)" in text(policy="flips", views=4)
    assert "2 views of each photo (the plain view and a random one)" in text(policy="random", views=2)


def test_no_line_ends_between_a_number_and_its_unit(run: Run, shown: pictures.Pictures) -> None:
    source = render(with_gain(run, 0.004, -0.012, 0.02, 10, 6), shown)
    assert "95&nbsp;% interval" in source
    assert "95 % interval" not in re.sub(r"<svg.*?</svg>", "", source, flags=re.S)
    assert "10\u00a0fixed, 6\u00a0broken" in source


def test_tta_by_class_shows_the_largest_change_first(parsed: Parsed, six: Path) -> None:
    expected = rows_of(six / paths.TTA_PER_CLASS)
    _, *rows = parsed.tables["tta-classes-title"].rows
    assert rows[0][0][0] == max(expected, key=lambda row: abs(float(row["gain"])))["label"]
    by_label = {row["label"]: row for row in expected}
    for row in rows:
        truth = by_label[row[0][0]]
        assert [cell[1] for cell in row[5:]] == [truth["fixed"], truth["broken"]]
        assert row[4][0] == comparison.points(float(truth["gain"]))


# One file, which loads nothing else.


@pytest.mark.parametrize("which", ["six", "hostile", "many"])
def test_the_page_is_valid_and_loads_nothing_else(which: str, request: pytest.FixtureRequest) -> None:
    source = (request.getfixturevalue(which) / paths.REPORT_HTML).read_text(encoding="utf-8")
    page_parts = Parsed(source)
    assert not re.search(r"https?:|@import|url\((?!#)", source)
    ids = [values["id"] for _, values in page_parts.tags if "id" in values]
    assert len(ids) == len(set(ids))
    for tag, values in page_parts.tags:
        for name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
            address = values.get(name) or "#"
            assert address.startswith(("#", "data:")), (tag, address)
            assert not address.startswith("#") or address == "#" or address[1:] in ids
        assert not [name for name in values if name.startswith("on")]
        for name in ("aria-labelledby", "aria-describedby"):
            assert name not in values or values[name] in ids
        if tag == "img":
            assert values["alt"]
        if tag == "th":
            assert values["scope"] in ("col", "row")
    levels = [int(tag[1]) for tag, _ in page_parts.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert "clock" not in source


def test_an_installed_package_has_every_template() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    package = REPOSITORY / "src/boatyard"
    patterns = project["tool"]["setuptools"]["package-data"]["boatyard"]
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    assert set(templating.TEMPLATES.rglob("*.*")) <= packaged


def test_only_the_pages_own_script_may_run(six: Path) -> None:
    source = (six / paths.REPORT_HTML).read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        in html.unescape(source)
    )


def test_hostile_names_are_text(hostile: Path) -> None:
    source = (hostile / paths.REPORT_HTML).read_text(encoding="utf-8")
    parts = Parsed(source)
    assert [tag for tag, _ in parts.tags].count("script") == 1
    _, *rows = parts.tables["classes-title"].rows
    assert sorted(row[0][0] for row in rows) == sorted(pretend_run.HOSTILE)
    alts = {values["alt"] for tag, values in parts.tags if tag == "img"}
    assert {f"Photo 1 of class {name}" for name in pretend_run.HOSTILE} <= alts


def test_the_page_is_about_a_megabyte_at_most(six: Path) -> None:
    assert (six / paths.REPORT_HTML).stat().st_size < 1_000_000


def test_one_hundred_and_one_classes(many: Path) -> None:
    parts = Parsed((many / paths.REPORT_HTML).read_text(encoding="utf-8"))
    assert len(parts.tables["classes-title"].rows) == 102
    assert len(parts.tables["counts-title"].rows) == 103
    assert "confusion-title" not in parts.tables
    pairs = parts.tables["The most frequent confusions"].rows
    assert len(pairs) == 16
    summary = (many / paths.REPORT_MARKDOWN).read_text(encoding="utf-8")
    assert "<details><summary>101 classes, worst first</summary>\n\n| class |" in summary
    assert summary.rstrip().endswith("</details>")


def test_the_figures_are_there(six: Path) -> None:
    names = ["accuracy_vs_count", "augmented_views", "class_counts", "class_sizes", "confusion_matrix", "curves"]
    names += ["image_sizes", "mistakes", "per_class", "reliability", "sample_grid", "tta_vs_plain"]
    assert sorted(path.name for path in (six / paths.FIGURES).iterdir()) == [f"{name}.png" for name in names]


def test_same_inputs_same_bytes(six: Path, metrics: dict[str, Any], tmp_path: Path) -> None:
    outputs = [paths.FIGURES, paths.REPORT_HTML.parent]
    copy = tmp_path / "somewhere else"
    shutil.copytree(six, copy, ignore=shutil.ignore_patterns("figures", "report"))
    result = f"top-1 {metrics['top1']:.4f} on {metrics['images']} test photos"
    assert report(copy, hash_seed=1) == f"report/index.html: {result}; open it in a browser\n"
    for path in sorted(file for folder in outputs for file in (six / folder).iterdir()):
        assert (copy / path.relative_to(six)).read_bytes() == path.read_bytes(), path.name


# Which photos are shown.


def rows_for(labels: int, each: int) -> list[Sample]:
    return [
        Sample(f"{label}/{number}.png", f"{label}", "train", hashlib.sha256(f"{label} {number}".encode()).hexdigest())
        for label in range(labels)
        for number in range(each)
    ]


@pytest.mark.parametrize(("labels", "each"), [(2, 8), (8, 8), (9, 4), (16, 4), (17, 2), (32, 2), (33, 1), (101, 1)])
def test_the_number_of_samples_fits_the_page(labels: int, each: int) -> None:
    chosen = pictures.samples(rows_for(labels, 10), seed=0)
    assert sorted(chosen) == sorted(str(label) for label in range(labels))
    assert {len(rows) for rows in chosen.values()} == {each}


def test_with_very_many_classes_some_have_samples() -> None:
    assert len(pictures.samples(rows_for(200, 2), seed=0)) == pictures.MAX_CLASSES


def test_the_photos_shown_depend_on_content_and_seed_alone() -> None:
    rows = rows_for(3, 20)
    renamed = [replace(row, path=f"x{row.path}") for row in reversed(rows)]

    def contents(rows: list[Sample], seed: int) -> dict[str, list[str]]:
        return {label: [row.sha256 for row in chosen] for label, chosen in pictures.samples(rows, seed).items()}

    assert contents(rows, 0) == contents(renamed, 0)
    assert contents(rows, 0) != contents(rows, 1)
    assert pictures.augmented(rows, 0).sha256 == pictures.augmented(renamed, 0).sha256
    # An added photo takes the place of at most one.
    before, after = contents(rows, 0)["0"], contents(rows_for(3, 21), 0)["0"]
    assert len(set(before) - set(after)) <= 1


def test_the_augmented_photo_is_a_training_photo() -> None:
    rows = [replace(row, split="test") for row in rows_for(2, 30)]
    rows[7] = replace(rows[7], split="train")
    assert pictures.augmented(rows, 0) == rows[7]


def test_the_views_are_those_of_training(six: Path, run: Run, shown: pictures.Pictures) -> None:
    row = pictures.augmented(run.rows, 0)
    photo = open_photo(six / paths.RAW / row.path)
    augment = params.read(REPOSITORY / "presets/solar_cells.yaml").augment
    assert shown.source.path == row.path
    assert len(shown.views) == 16
    for number in (0, 15):
        view = Recipe(pretend_run.PREPROCESSING, augment, 0).plan(photo, row.sha256, [number]).views()[0]
        assert np.array_equal(np.asarray(shown.views[number]).transpose(2, 0, 1), view)
    assert np.array_equal(np.asarray(shown.plain).transpose(2, 0, 1), plain_view(photo, pretend_run.PREPROCESSING))


def test_a_missing_photo_is_a_one_line_error(six: Path, run: Run, tmp_path: Path) -> None:
    augment = params.read(REPOSITORY / "presets/solar_cells.yaml").augment
    with pytest.raises(UserError, match=r"can't be read .*: run `dvc repro --force download`"):
        pictures.collect(run, tmp_path, pretend_run.PREPROCESSING, augment, 0)


def test_thumbnails_are_small_and_keep_their_shape(tmp_path: Path) -> None:
    for size, small in (((1000, 500), (208, 104)), ((30, 60), (30, 60))):
        Image.new("RGB", size, "red").save(tmp_path / "photo.png")
        row = Sample("photo.png", "cat", "train", "0")
        assert thumbnails.thumbnail(tmp_path, row.path).image.size == small


def test_a_photo_is_inside_the_page() -> None:
    address = page.jpeg(Image.new("RGB", (12, 8), (200, 30, 30)))
    kind, _, content = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as photo:
        assert photo.size == (12, 8)
        assert np.abs(np.asarray(photo).astype(int) - (200, 30, 30)).max() < 6


# Derived values and texts.


def test_confusions_are_counted_and_ranked(run: Run) -> None:
    def prediction(actual: str, predicted: str) -> Prediction:
        return Prediction("", actual, predicted, 1.0, 0.0, ())

    rows = [Sample("", label, "test", "") for label in ("a", "b", "c")]
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "c"), ("b", "c"), ("c", "c"), ("c", "a")]
    small = replace(run, rows=rows, predictions=[prediction(*pair) for pair in pairs])
    assert small.confusion.tolist() == [[1, 1, 0], [0, 1, 2], [1, 0, 1]]
    found = [(pair.actual, pair.predicted, pair.photos, pair.share) for pair in small.confusions]
    assert found == [("b", "c", 2, 2 / 3), ("a", "b", 1, 0.5), ("c", "a", 1, 0.5)]


def test_left_out_photos_are_grouped_by_reason() -> None:
    rejected = [
        Rejected("b/2.png", "b", "duplicate: same bytes as b/1.png"),
        Rejected("a/9.png", "a", "rare_class: 2 photos, filter.min_images is 5"),
        Rejected("a/8.png", "a", "rare_class: 2 photos, filter.min_images is 5"),
        Rejected("c/8.png", "c", "rare_class: 1 photos, filter.min_images is 5"),
    ]
    rare, copies = page.left_out(rejected)
    assert rare == ("rare_class", [rejected[2], rejected[1], rejected[3]], [("a", 2), ("c", 1)])
    assert copies == ("duplicate", [rejected[0]], [("b", 1)])


def test_every_reason_has_a_text() -> None:
    assert all(formatting.REASON_TEXTS[reason] for reason in REASONS)


def test_number_formats() -> None:
    assert formatting.percent(0.80349).replace(formatting.NBSP, " ") == "80.3 %"
    assert formatting.interval(0.7666, 0.83712).replace(formatting.NBSP, " ") == "76.7 – 83.7 %"
    assert [comparison.points(value) for value in (0.0061, -0.012, 0.0004, -0.0004)] == ["+0.6", "−1.2", "0.0", "0.0"]
    assert formatting.count(1, "class", "classes") == f"1{formatting.NBSP}class"
    assert formatting.count(2518, "photo") == f"2,518{formatting.NBSP}photos"


def test_settings_are_shown_as_written_in_the_file() -> None:
    section = {"a": True, "b": [0.9, 1.0], "c": {"d": "x", "e": {}}, "f": []}
    assert formatting.flatten(section) == [("a", "true"), ("b", "[0.9, 1.0]"), ("c.d", "x"), ("c.e", "{}"), ("f", "[]")]


def test_a_name_may_break_after_punctuation_and_stays_text() -> None:
    assert page.breakable("a_b-<i>+c.d") == "a_<wbr>b-<wbr>&lt;i&gt;+<wbr>c.<wbr>d"


# The summary for a pull request.


def test_the_summary_has_metrics_intervals_and_classes(six: Path, metrics: dict[str, Any]) -> None:
    lines = (six / paths.REPORT_MARKDOWN).read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# drawn-cells 1.2: {100 * metrics['top1']:.1f} % top-1"
    tta = files.read_json(six / paths.TTA_METRICS)
    plain, several = (
        f"{100 * side['top1']:.1f} % ({100 * side['top1_low']:.1f} – {100 * side['top1_high']:.1f} %)"
        for side in (metrics, tta)
    )
    assert f"| top-1 | {plain} | {several} |" in lines
    for row in rows_of(six / paths.PER_CLASS):
        start = f"| {row['label']} | {row['train_images']} | {row['test_images']} | {100 * float(row['top1']):.1f} % |"
        assert any(line.startswith(start) for line in lines)
    assert "## Classes, worst first" in lines  # not folded


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"&lt;script\>"),
        ("*x* `y` _z_ [l](u)", r"\*x\* \`y\` \_z\_ \[l\](u)"),
        ("two\nlines", "two lines"),
        ("@maintainer #12", "@\u200bmaintainer #\u200b12"),
        ("https://x.example", "https://\u200bx.example"),
        ("a & b", "a &amp; b"),
    ],
)
def test_markdown_shows_names_verbatim(text: str, shown: str) -> None:
    assert markdown_blocks.escape(text) == shown


def test_the_summary_of_hostile_names_keeps_its_columns(hostile: Path) -> None:
    text = (hostile / paths.REPORT_MARKDOWN).read_text(encoding="utf-8")
    classes, _, issues = text.partition("## Classes")[2].partition("**Label issues.**")
    for part, rows, bars in ((classes, len(pretend_run.HOSTILE), 8), (issues, markdown.MAX_LABEL_ISSUES, 6)):
        table = [line for line in part.splitlines() if line.startswith("|")]
        assert len(table) == 2 + rows
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {bars}
