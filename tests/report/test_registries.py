"""A metric, a TTA policy and a report figure are one registry entry each: toy entries appear everywhere.

The stages evaluate, tta_evaluate and report run for real, on a small network with random weights.
"""

import contextlib
import html
import io
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pretend_run
import pytest
import small_model
from ruamel.yaml import YAML

from boatyard import cli, params
from boatyard.compare import command
from boatyard.core import files, paths
from boatyard.core.errors import UserError
from boatyard.evaluation.metrics import METRICS, Metric
from boatyard.evaluation.predictions import read_predictions, write_predictions
from boatyard.params.tta_policies import POLICIES, Policy
from boatyard.report import theme
from boatyard.report.figure_registry import FIGURES, ReportFigure
from boatyard.report.figures import bars, sheets

REPOSITORY = Path(__file__).parents[2]
ERROR_RATE = Metric(
    "error_rate",
    "error rate",
    "share of wrong answers",
    compute=lambda answers, weights: weights @ (answers.rank > 0) / weights.sum(axis=1),
    higher_is_better=False,
)
EVERYTHING = Policy("the plain view, its mirror images and random ones", lambda flips, random: [*flips, *random])
MIRRORED = Policy("the plain view and its first mirror image", lambda flips, random: flips[:1])
CHART = ReportFigure(lambda run, _: bars.per_class(run.results), "training", "A toy chart", "Drawn for a test.")
SHEET = ReportFigure(
    lambda _, pictures: sheets.augmented_views(pictures.plain, pictures.plain, pictures.views[:4]),
    "labels",
    "A toy sheet of <photos>",
    "Views for a test.",
)


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    METRICS.append(ERROR_RATE)
    POLICIES.update(everything=EVERYTHING, mirrored=MIRRORED)
    FIGURES.update(toy_chart=CHART, toy_sheet=SHEET)
    yield
    METRICS.remove(ERROR_RATE)
    del POLICIES["everything"], POLICIES["mirrored"], FIGURES["toy_chart"], FIGURES["toy_sheet"]


def run_stage(root: Path, name: str) -> None:
    with contextlib.chdir(root), contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(str(REPOSITORY / f"stages/{name}.py"))["main"]()


def set_params(root: Path, **sections: dict[str, Any]) -> None:
    yaml = YAML()
    values = yaml.load((root / paths.PARAMS).read_text(encoding="utf-8"))
    for section, changed in sections.items():
        values[section].update(changed)
    with (root / paths.PARAMS).open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, _registered: None) -> Path:
    """A run whose last stages ran with the toy entries."""
    root = pretend_run.make(tmp_path_factory.mktemp("run"), small_model.CLASSES, 30)
    small_model.write(root)
    set_params(
        root, tta={"policies": ["everything"], "views": 3}, augment={"horizontal_flip": True, "vertical_flip": False}
    )
    for stage in ("evaluate", "tta_evaluate", "report"):
        run_stage(root, stage)
    return root


@pytest.fixture(scope="module")
def metrics(root: Path) -> list[dict[str, Any]]:
    return [files.read_json(root / path) for path in (paths.EVALUATE_METRICS, paths.TTA_METRICS)]


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / paths.REPORT_HTML).read_text(encoding="utf-8").replace("\u00a0", " ")


def test_a_metric_is_in_the_metrics_files(metrics: list[dict[str, Any]]) -> None:
    for found in metrics:
        assert found["error_rate"] == pytest.approx(1 - found["top1"], abs=1e-6)
        low, high = found["intervals"]["error_rate"]
        assert (1 - high, 1 - low) == pytest.approx(found["intervals"]["top1"], abs=0.02)
        assert list(found)[list(found).index("ece") + 1] == "error_rate"


def test_a_metric_is_in_the_reports(root: Path, page: str, metrics: list[dict[str, Any]]) -> None:
    plain, tta = (f"{100 * found['error_rate']:.1f} %" for found in metrics)
    low, high = ([f"{100 * found['intervals']['error_rate'][end]:.1f}" for found in metrics] for end in (0, 1))
    intervals = [f"{low[side]} – {high[side]} %" for side in (0, 1)]
    tile = f"{plain}<small>share of wrong answers<br>95&nbsp;% interval<br>{intervals[0]}</small>"
    assert f"<dt>Error rate</dt><dd>{tile}</dd>" in page
    cells = f"<td>{plain}<small>{intervals[0]}</small></td><td>{tta}<small>{intervals[1]}</small></td>"
    assert f'<th scope="row">Error rate</th>{cells}</tr>' in page
    row = f"\n| error rate | {plain} ({intervals[0]}) | {tta} ({intervals[1]}) |\n"
    for path in (paths.REPORT_MARKDOWN, paths.MODEL_CARD):
        assert row in (root / path).read_text(encoding="utf-8")


def test_a_metric_is_compared_between_commits(
    root: Path, tmp_path: Path, metrics: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(root, repository, ignore=shutil.ignore_patterns("raw", "models", ".work"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments in (["init", "--quiet", "--initial-branch", "main"], ["add", "."], ["commit", "-qm", "A run"]):
        names = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
        subprocess.run(["git", *names, *arguments], cwd=repository, check=True)
    rows = read_predictions(repository / paths.PREDICTIONS)
    other = dict(zip(small_model.CLASSES, [*small_model.CLASSES[1:], small_model.CLASSES[0]], strict=True))
    wrong = [replace(row, predicted=other[row.actual]) for row in rows]
    write_predictions(repository / paths.PREDICTIONS, wrong)
    changed = {"top1": 0.0, "top1_low": 0.0, "top1_high": 0.1, "error_rate": 1.0}
    intervals = {"intervals": metrics[0]["intervals"] | {"error_rate": [0.95, 1.0]}}
    files.write_json(repository / paths.EVALUATE_METRICS, metrics[0] | changed | intervals)
    printed = io.StringIO()
    with contextlib.chdir(repository), contextlib.redirect_stdout(printed):
        command.run(None)
    line = next(line for line in printed.getvalue().splitlines() if line.startswith("| error rate |"))
    before, top1 = 100 * metrics[0]["error_rate"], 100 * metrics[0]["top1"]
    low, high = (f"{100 * bound:.1f}" for bound in metrics[0]["intervals"]["error_rate"])
    assert line.startswith(f"| error rate | {before:.1f} % ({low}–{high}) | 100.0 % (95.0–100.0) | +{top1:.1f} | +")
    assert line.endswith(" | **worse** |")
    assert "error rate (worse)" in printed.getvalue()


def test_a_policy_is_in_the_metrics_and_the_reports(root: Path, page: str, metrics: list[dict[str, Any]]) -> None:
    tta = metrics[1]
    assert (tta["policy"], tta["views"]) == ("everything", 4)  # plain, mirrored, and two random views
    assert list(tta["validation"]) == ["plain", "everything"]
    assert f"The probabilities of 4 views of each photo ({EVERYTHING.description}) are averaged." in page
    assert "(everything, 4 views, chosen on validation)" in (root / paths.REPORT_MARKDOWN).read_text(encoding="utf-8")
    assert "(everything, 4)" in (root / paths.MODEL_CARD).read_text(encoding="utf-8")


def test_a_policy_is_known_to_params(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / paths.PARAMS, tmp_path)
    set_params(tmp_path, tta={"policies": ["unknown"]})
    expected = "input should be 'flips' or 'random' or 'everything' or 'mirrored'"
    with pytest.raises(UserError, match=rf"tta\.policies\[0\]: 'unknown' is invalid; {expected}$"):
        params.read(tmp_path / paths.PARAMS)
    set_params(tmp_path, tta={"policies": ["everything", "mirrored"]}, augment={"horizontal_flip": False})
    with pytest.raises(UserError, match=r"tta\.policies has 'mirrored', but augment allows no flip; remove it"):
        params.read(tmp_path / paths.PARAMS)


def test_a_policy_is_known_to_predict(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(next((root / paths.RAW).rglob("*.png")))

    def predict(*arguments: str) -> tuple[int, str, str]:
        with contextlib.chdir(root), pytest.raises(SystemExit) as end:
            cli.main(["predict", photo, "--format", "csv", *arguments])
        return int(end.value.code or 0), *capsys.readouterr()

    by_policy = {name: predict("--tta-policy", name)[1] for name in ("flips", "random", "everything", "mirrored")}
    assert by_policy["mirrored"] == by_policy["flips"]  # the model allows one flip
    assert len(set(by_policy.values())) == 3
    assert predict("--tta")[0] == 0
    code, _, error = predict("--tta-policy", "unknown")
    assert code == 2
    assert re.search(r"invalid choice: 'unknown' \(choose from .*everything.*\)", error)
    code, usage, _ = predict("--help")
    assert code == 0
    assert "flips, random, everything, mirrored" in " ".join(usage.split())


@pytest.mark.parametrize(
    ("name", "figure", "drawing"),
    [("toy_chart", CHART, "<svg "), ("toy_sheet", SHEET, '<img src="data:image/jpeg;base64,')],
)
def test_a_figure_is_a_file_and_at_its_place_on_the_page(
    root: Path, page: str, name: str, figure: ReportFigure, drawing: str
) -> None:
    assert (root / paths.FIGURES / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    (section,) = re.findall(rf'<section id="{figure.section}".*?</section>', page, re.DOTALL)
    title = html.escape(figure.title)
    shown = section.rpartition(f"<h3>{title}</h3>")[2]
    assert re.match(rf'\s*<figure class="chart"><div role="img" aria-label="{title}">{drawing}', shown)
    assert f"<figcaption>{figure.caption}</figcaption>" in shown
    assert page.count(f"<h3>{title}</h3>") == 1


def test_every_figure_names_a_section_of_the_page(page: str) -> None:
    sections = set(re.findall(r'<section id="([^"]+)"', page))
    assert {figure.section for figure in FIGURES.values()} - {""} <= sections


def test_colours_are_in_the_theme_only() -> None:
    package = Path(theme.__file__).parents[1]
    sources = [path for path in package.rglob("*") if path.suffix in (".py", ".css", ".j2", ".js")]
    assert len(sources) > 100
    colour = re.compile(r"(?:#|%23)(?:[0-9a-fA-F]{3}){1,2}\b")
    found = {path.name for path in sources if colour.search(path.read_text(encoding="utf-8"))}
    assert found == {Path(theme.__file__).name}
    assert theme.LIGHT.keys() == theme.DARK.keys()
