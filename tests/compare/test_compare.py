"""`boatyard compare` on pretended runs in real git repositories, with DVC's cache where photos differ."""

import contextlib
import hashlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pretend_run
import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from boatyard.compare import code_changes, command, results
from boatyard.core import files, paths, tables
from boatyard.core.errors import UserError
from boatyard.core.splits import Sample, read_splits
from boatyard.curation.catalog import ClassCount
from boatyard.evaluation.predictions import Prediction, read_predictions, write_predictions

REPOSITORY = Path(__file__).parents[2]
GITHUBS_LIMIT = 65_536


class Repository:
    """A folder under git with a pretended run in it, including `dvc.lock`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def git(self, *arguments: str) -> str:
        settings = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
        done = subprocess.run(
            ["git", *settings, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self) -> None:
        self.lock()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A run")

    def lock(self) -> None:
        """Write the dvc.lock that DVC would have written if it had just run everything."""
        written = [
            name
            for name in (*results.METRICS_FILES.values(), *results._TABLES, paths.SPLITS)
            if self.path(name).exists()
        ]
        stage = {
            "cmd": "python stages/all.py",
            "deps": [self.entry(Path("stages/all.py")), self.entry(Path("src/library"))],
            "params": {"params.yaml": self.params()},
            "outs": [self.entry(path) for path in written],
        }
        with self.path(paths.LOCK).open("w", encoding="utf-8") as file:
            YAML().dump({"schema": "2.0", "stages": {"all": stage}}, file)

    def entry(self, path: Path) -> dict[str, str]:
        with contextlib.chdir(self.folder):
            return {"path": path.as_posix(), "hash": "md5", "md5": code_changes.digest(path)}

    def path(self, path: Path) -> Path:
        return self.folder / path

    def params(self) -> dict[str, Any]:
        return YAML(typ="safe", pure=True).load(self.path(paths.PARAMS).read_text(encoding="utf-8"))

    def set(self, **sections: Mapping[str, Any]) -> None:
        params = self.params()
        for name, values in sections.items():
            params[name] |= values
        with self.path(paths.PARAMS).open("w", encoding="utf-8") as file:
            YAML().dump(params, file)

    def metrics(self, path: Path, **values: Any) -> None:
        files.write_json(self.path(path), files.read_json(self.path(path)) | values)

    def answer(self, change: Callable[[int, Prediction], Prediction | None]) -> None:
        """Change the answers to the test photos one by one (None removes the photo), and the metrics to match."""
        for table, metrics in ((paths.PREDICTIONS, paths.EVALUATE_METRICS), (paths.TTA_PREDICTIONS, paths.TTA_METRICS)):
            if self.path(table).exists():
                old = read_predictions(self.path(table))
                rows = [row for row in itertools.starmap(change, enumerate(old)) if row is not None]
                write_predictions(self.path(table), rows)
                self.metrics(metrics, images=len(rows), top1=sum(row.right for row in rows) / len(rows))

    def splits(self, change: Callable[[list[Sample]], list[Sample]]) -> None:
        tables.write_rows(self.path(paths.SPLITS), Sample, change(read_splits(self.path(paths.SPLITS))))

    def compare(self, name: str | None = None) -> str:
        """What the command prints."""
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            assert command.run(name) == 0
        return printed.getvalue()


def pretend(folder: Path, labels: tuple[str, ...], each: int) -> Repository:
    pretend_run.draw_photos(folder / paths.RAW, labels, each)
    pretend_run.write(folder)
    with_tta = [replace(row, plain_predicted=row.predicted) for row in read_predictions(folder / paths.PREDICTIONS)]
    write_predictions(folder / paths.TTA_PREDICTIONS, with_tta)
    test = files.read_json(folder / paths.EVALUATE_METRICS)
    tta = files.read_json(folder / paths.TTA_METRICS)
    files.write_json(folder / paths.TTA_METRICS, tta | test | {"top1_gain": 0.0})
    shutil.copy(REPOSITORY / "presets/solar_cells.yaml", folder / paths.PARAMS)
    (folder / "stages").mkdir()
    (folder / "stages/all.py").write_text("pass\n", encoding="utf-8")
    (folder / "src/library").mkdir(parents=True)
    for name in ("a.py", "b.py"):
        (folder / "src/library" / name).write_text(f"{name}\n", encoding="utf-8")
    (folder / ".gitignore").write_text("/data\n", encoding="utf-8")
    shutil.rmtree(folder / paths.RAW)
    repository = Repository(folder)
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.commit()
    return repository


@pytest.fixture(autouse=True)
def _no_settings_of_gits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return pretend(tmp_path_factory.mktemp("six"), pretend_run.SIX, 100)


@pytest.fixture
def repository(six: Repository, tmp_path: Path) -> Repository:
    """A copy that a test may change: six classes, 122 test photos, one commit."""
    return Repository(shutil.copytree(six.folder, tmp_path / "repository"))


def right(row: Prediction) -> Prediction:
    others = tuple(pair for pair in row.top if pair[0] != row.actual)[: len(row.top) - 1]
    return replace(row, predicted=row.actual, probability=0.9, actual_probability=0.9, top=((row.actual, 0.9), *others))


def wrong(row: Prediction) -> Prediction:
    other = next(label for label in pretend_run.SIX if label != row.actual)
    return replace(
        row,
        predicted=other,
        probability=0.9,
        actual_probability=0.01,
        top=((other, 0.9), (row.actual, 0.01), *row.top[2:]),
    )


def cells(text: str, title: str) -> list[str]:
    """The cells of the first table row that starts with a title."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")][1:]


def test_nothing_changed(repository: Repository) -> None:
    sha = repository.git("rev-parse", "--short=7", "HEAD")
    assert repository.compare() == (
        "## Nothing changed: parameters, metrics, predictions and photos are the same\n\n"
        f"After: `{sha}` (main). Before: `{sha}`, the same commit. To compare with an earlier one: "
        "`boatyard compare HEAD~1`.\n"
    )


def test_a_gain(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "better_lr")
    repository.set(train={"lr": 0.0003})
    rows = read_predictions(repository.path(paths.PREDICTIONS))
    fixed = [number for number, row in enumerate(rows) if not row.right][:20]
    broken = next(number for number, row in enumerate(rows) if row.right)
    before = sum(row.right for row in rows)

    def change(number: int, row: Prediction) -> Prediction:
        return right(row) if number in fixed else wrong(row) if number == broken else row

    repository.answer(change)
    repository.lock()
    text = repository.compare()

    count, after = len(rows), before + len(fixed) - 1
    headline, evidence, sides, *_ = text.split("\n\n")
    assert headline == f"## Better: top-1 {100 * before / count:.1f} % → {100 * after / count:.1f} %"
    points = 100 * (after - before) / count
    assert re.match(
        rf"\+{points:.1f} points \(95 % interval \+\d+\.\d to \+\d+\.\d\) on {count} photos; "
        rf"{len(fixed)} fixed, 1 broken\.",
        evidence,
    )
    assert re.fullmatch(
        r"After: `\w{7}` \(better\\_lr\) with uncommitted changes\. Before: `\w{7}`, the merge base with main\.",
        sides,
    )
    assert cells(text, "top-1")[2::2] == [f"+{points:.1f}", "**better**"]
    assert cells(text, "train.lr") == ["0.001", "0.0003"]
    assert text.count("| train.") == 1
    assert "do not match its files" not in text
    assert f"Photos: the same {len(read_splits(repository.path(paths.SPLITS)))} photos, labels and splits." in text


def test_a_loss_of_accuracy_and_its_classes(repository: Repository) -> None:
    label = "poly-functional"
    repository.answer(lambda number, row: wrong(row) if row.actual == label else row)
    repository.lock()
    text = repository.compare()
    assert text.startswith("## Worse: top-1 ")
    section = text[text.index("### Classes that changed") :]
    images, _, after, fixed, _, evidence = cells(section, label)
    assert (after, fixed, evidence) == ("0.0 %", "0", "**worse**")
    assert int(images) == sum(row.actual == label for row in read_predictions(repository.path(paths.PREDICTIONS)))
    assert "Holm's correction for 6 classes" in section
    assert [name for name in pretend_run.SIX if f"| {name} |" in section] == [label]


def test_one_of_six_classes_needs_more_than_six_photos(repository: Repository) -> None:
    """6 fixed and none broken is p = 0.031, which one of six classes reaches by chance in a sixth of cases."""
    label = pretend_run.SIX[0]
    rows = read_predictions(repository.path(paths.PREDICTIONS))
    own = [number for number, row in enumerate(rows) if row.actual == label][:6]
    repository.answer(lambda number, row: wrong(row) if number in own else row)
    repository.commit()
    repository.answer(lambda number, row: right(row) if number in own else row)
    repository.lock()
    text = repository.compare()
    assert cells(text[text.index("### Classes that changed") :], label)[3:] == ["6", "0", "none"]
    assert text.startswith("## Better: ")


def test_a_change_that_could_be_chance(repository: Repository) -> None:
    rows = read_predictions(repository.path(paths.PREDICTIONS))
    changed = [next(n for n, row in enumerate(rows) if row.right is was) for was in (True, False)]
    repository.answer(lambda number, row: row if number not in changed else wrong(row) if row.right else right(row))
    repository.lock()
    text = repository.compare()
    headline, evidence, *_ = text.split("\n\n")
    assert re.fullmatch(r"## No evidence of a change: top-1 (\d+\.\d %) → \1", headline)
    assert re.fullmatch(rf"0\.0 points .* on {len(rows)} photos; 1 fixed, 1 broken\.", evidence)
    assert cells(text, "top-1")[2::2] == ["0.0", "none"]


def test_test_photos_in_part_the_same(repository: Repository) -> None:
    rows = read_predictions(repository.path(paths.PREDICTIONS))
    repository.answer(
        lambda number, row: None if number < 10 else replace(row, path="new.png") if number == 10 else row
    )
    repository.lock()
    text = repository.compare()
    common = len(rows) - 11
    assert text.splitlines()[0].endswith(f" on the {common} test photos in common")
    whole = f"On the whole test sets ({len(rows)} photos before and {len(rows) - 10} after; not the same photos): "
    assert whole in text
    assert f"| change on {common} in common |" in text
    # The same answers to the photos in common.
    assert cells(text, "loss")[2:] == ["0.000", "–", "no change"]
    assert f"\nNone of the {common} photos changed between right and wrong. On the whole" in text


def test_other_test_photos(repository: Repository) -> None:
    repository.answer(lambda number, row: replace(right(row), path=f"other/{number}.png"))
    repository.lock()
    text = repository.compare()
    rows = read_predictions(repository.path(paths.PREDICTIONS))
    assert re.fullmatch(r"## Better: top-1 \d+\.\d % → 100\.0 %, on different test photos", text.splitlines()[0])
    sizes = f"{len(rows)} photos before and {len(rows)} after"
    assert f"Too few test photos are the same for a paired comparison ({sizes})." in text
    assert "Newcombe's for top-k" in text
    low, high = re.fullmatch(r"\+(\d+\.\d) to \+(\d+\.\d)", cells(text, "top-1")[3]).groups()  # type: ignore[union-attr]
    assert float(low) < float(cells(text, "top-1")[2]) < float(high)
    assert "Shown: the classes whose change has a 95 % interval that excludes 0." in text


def test_a_photo_is_identified_by_its_content(repository: Repository) -> None:
    """Renamed photos are the same ones, where both sides' splits are available."""
    with_cache(repository)
    rename = {
        row.path: f"renamed/{number}.png" for number, row in enumerate(read_splits(repository.path(paths.SPLITS)))
    }
    repository.splits(lambda rows: [replace(row, path=rename[row.path]) for row in rows])
    repository.answer(lambda number, row: replace(row, path=rename[row.path]))
    repository.lock()
    text = repository.compare()
    assert re.search(r"in common|different test photos", text) is None
    assert " renamed." in text


def test_without_predictions_proportions_are_compared_by_counts(repository: Repository) -> None:
    repository.path(paths.PREDICTIONS).unlink()
    repository.commit()
    repository.metrics(paths.EVALUATE_METRICS, top1=0.97)
    repository.lock()
    text = repository.compare()
    sha = repository.git("rev-parse", "--short=7", "HEAD")
    assert f"plots/predictions.csv of {sha} is missing, so its photos can't be paired." in text
    assert cells(text, "top-1")[4] == "**better**"
    assert cells(text, "loss")[3:] == ["–", "–"]
    assert "Classes that changed" not in text


def test_a_table_of_another_run_is_not_used(repository: Repository) -> None:
    repository.metrics(paths.EVALUATE_METRICS, top1=0.5)
    repository.lock()
    text = repository.compare()
    assert "plots/predictions.csv of the working tree is from another run than its metrics" in text


def test_results_that_do_not_match_their_files(repository: Repository) -> None:
    repository.set(train={"lr": 0.5})
    repository.metrics(paths.TRAIN_METRICS, epochs=7)
    repository.path(Path("stages/all.py")).write_text("changed\n", encoding="utf-8")
    assert (
        "**The results of the working tree do not match its files** (changed in params.yaml: train.lr; "
        "changed code: stages/all.py; changed after DVC wrote them: metrics/train.json). "
        "Run `dvc repro` before you rely on this."
    ) in repository.compare()
    # Committed like this, the same applies to the commit, except for its code, which is not checked there.
    repository.git("commit", "--quiet", "--all", "--message", "not run")
    repository.lock()
    sha = repository.git("rev-parse", "--short=7", "HEAD")
    text = repository.compare()
    assert (
        f"**The results of {sha} do not match its files** (changed in params.yaml: train.lr; "
        "changed after DVC wrote them: metrics/train.json). It was committed without a `dvc repro`."
    ) in text
    assert "Code: 1 file changed: stages/all.py." in text


def test_a_changed_folder_of_code_is_listed_file_by_file(repository: Repository) -> None:
    repository.path(Path("src/library/b.py")).write_text("changed\n", encoding="utf-8")
    assert "changed code: src/library)." in repository.compare()
    repository.lock()
    text = repository.compare()
    assert "do not match its files" not in text
    assert "Code: 1 file changed: src/library/b.py." in text


def test_parameters_added_removed_and_written_differently(repository: Repository) -> None:
    repository.set(tta={"gone": True}, train={"lr": 0.001, "weight_decay": 0.0})
    repository.commit()
    text = (
        repository.path(paths.PARAMS)
        .read_text(encoding="utf-8")
        .replace("lr: 0.001", "lr: 1e-03")
        .replace("gone: true", "")
    )
    repository.path(paths.PARAMS).write_text(text.replace("weight_decay: 0.0\n", "weight_decay: 0\n"), encoding="utf-8")
    repository.set(tta={"added": ["a_b", "c|d"]})
    repository.lock()
    text = repository.compare()
    assert cells(text, "tta.gone") == ["true", "–"]
    assert cells(text, "tta.added") == ["–", r"\[a\_b, c\|d\]"]
    assert "train." not in text[text.index("### Parameters") : text.index("### Data")]


def test_the_calibration_error_with_other_bins_is_not_compared(repository: Repository) -> None:
    repository.set(evaluate={"bins": 10})
    repository.metrics(paths.EVALUATE_METRICS, ece=0.2)
    repository.lock()
    assert cells(repository.compare(), "calibration error")[3:] == ["–", "–"]


def test_metrics_that_one_side_lacks(repository: Repository) -> None:
    old = files.read_json(repository.path(paths.EVALUATE_METRICS))
    files.write_json(repository.path(paths.EVALUATE_METRICS), {key: old[key] for key in old if key != "macro_f1"})
    repository.path(paths.TTA_METRICS).unlink()
    repository.commit()
    files.write_json(repository.path(paths.EVALUATE_METRICS), old)
    repository.git("checkout", "--quiet", "HEAD~1", "--", str(paths.TTA_METRICS))
    repository.lock()
    text = repository.compare()
    low, high = (100 * bound for bound in old["intervals"]["macro_f1"])
    assert cells(text, "macro F1") == ["–", f"{100 * old['macro_f1']:.1f} % ({low:.1f}–{high:.1f})", "–", "–", "–"]
    assert "Test-time augmentation: only the working tree has results." in text


def test_every_other_metric_is_there(repository: Repository) -> None:
    assert set(results.METRICS_FILES.values()) == {
        path for name, path in vars(paths).items() if name.endswith("_METRICS")
    }
    repository.metrics(paths.TRAIN_METRICS, epochs=12_345, validation_loss=0.25, extra="new")
    repository.metrics(paths.TTA_METRICS, policy="random", validation={"plain": {"loss": 0.5}})
    repository.lock()
    text = repository.compare()
    assert cells(text, "train.epochs") == ["34", "12,345", "+12311"]
    assert cells(text, "train.extra") == ["–", "new", ""]
    assert cells(text, r"tta\_evaluate.policy") == ["flips", "random", ""]
    assert cells(text, r"tta\_evaluate.validation.plain.loss") == ["0.6100", "0.5000", "−0.1100"]
    assert cells(text, r"tta\_evaluate.validation.flips.loss") == ["0.5800", "–", ""]
    shown = set(re.findall(r"\w+\.\w[\w.]*", text[text.index("other metrics changed") :].replace("\\", "")))
    for name, path in results.METRICS_FILES.items():
        if name in ("download", "filter", "split", "train"):
            for key, value in files.read_json(repository.path(path)).items():
                assert isinstance(value, dict) or f"{name}.{key}" in shown


def with_cache(repository: Repository, remote: bool = False) -> Path:
    """Make the repository one of DVC's, with its splits in the cache; returns where they lie there."""
    subprocess.run(
        ["dvc", "init", "--quiet", "--force"], cwd=repository.folder, check=True, capture_output=True, env=ENVIRONMENT
    )
    if remote:
        subprocess.run(
            ["dvc", "remote", "add", "--default", "--quiet", "there", "../there"],
            cwd=repository.folder, check=True, capture_output=True, env=ENVIRONMENT,
        )  # fmt: skip
    content = repository.path(paths.SPLITS).read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    cached = repository.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    repository.git("add", ".dvc/config")
    return cached


ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
}


def more_photos(repository: Repository) -> None:
    """Take the first photo out, add two, move one to another split, and give one another label."""

    def change(rows: list[Sample]) -> list[Sample]:
        train = [row for row in rows if row.split == "train"]
        moved, relabelled = train[3], train[4]
        kept = [row for row in rows[1:] if row not in (moved, relabelled)]
        new = [Sample(f"thin-film/new_{n}.png", "thin-film", "train", f"{n}" * 64) for n in range(2)]
        return [*kept, *new, replace(moved, split="validation"), replace(relabelled, label="thin-film")]

    repository.splits(change)
    counts = tables.read_rows(repository.path(paths.CLASS_COUNTS), ClassCount)
    grown = [replace(row, kept=row.kept + 3) if row.label == "thin-film" else row for row in counts]
    grown = [replace(row, kept=row.kept - 2) if row.label == pretend_run.SIX[0] else row for row in grown]
    tables.write_rows(repository.path(paths.CLASS_COUNTS), ClassCount, grown)
    repository.lock()


def test_photos_from_the_cache(repository: Repository) -> None:
    with_cache(repository)
    count = len(read_splits(repository.path(paths.SPLITS)))
    more_photos(repository)
    text = repository.compare()
    assert f"{count} → {count + 1} photos: 2 added, 1 removed, 1 relabelled, 1 in another split." in text
    assert "Splits: 1 from train to validation." in text
    data = text[text.index("### Data") :]
    assert cells(data, "thin-film") == ["2", "0"]
    assert cells(data, pretend_run.SIX[0]) == ["0", "1"]
    assert r"Added: thin-film/new\_0.png, thin-film/new\_1.png." in data
    assert f"Removed: {pretend_run.SIX[0]}/photo 00.png." in data
    assert re.search(r"Relabelled: \S+/photo \d\d\.png → thin-film\.", data)


@pytest.mark.parametrize("remote", [False, True])
def test_photos_that_are_not_available(repository: Repository, remote: bool) -> None:
    with_cache(repository, remote).unlink()
    count = len(read_splits(repository.path(paths.SPLITS)))
    more_photos(repository)
    sha = repository.git("rev-parse", "--short=7", "HEAD")
    text = repository.compare()
    how = (
        "`dvc fetch --all-commits data/splits.csv` fetches it, if it was pushed"
        if remote
        else "it is not in DVC's cache here, and no remote is configured to fetch it from"
    )
    assert f"data/splits.csv of {sha} is not available; {how}." in text
    assert (
        f"By plots/class_counts.csv: {count} → {count + 1} photos. Which photos were added and removed is unknown."
        in text
    )
    assert cells(text[text.index("### Data") :], "thin-film")[2] == "+3"
    # On a build server the later one is not available either.
    repository.path(paths.SPLITS).unlink()
    text = repository.compare()
    assert "data/splits.csv of the working tree is not available; " in text
    assert ("`dvc pull data/splits.csv` fetches it" in text) == remote


def test_photos_are_known_to_be_the_same_without_reading_them(repository: Repository) -> None:
    repository.set(train={"lr": 0.1})
    repository.lock()
    repository.path(paths.SPLITS).unlink()
    text = repository.compare()
    assert re.search(r"Photos: the same \d+ photos, labels and splits\.", text)


def test_classes_added_and_removed(repository: Repository) -> None:
    counts = tables.read_rows(repository.path(paths.CLASS_COUNTS), ClassCount)
    gone = [replace(row, kept=0) if row.label == "thin-film" else row for row in counts]
    tables.write_rows(repository.path(paths.CLASS_COUNTS), ClassCount, [*gone, ClassCount("a_new_one", 9, 9)])
    repository.lock()
    assert (
        r"**Classes added: a\_new\_one; removed: thin-film.** The metrics before and after are for different tasks."
    ) in repository.compare()


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (paths.EVALUATE_METRICS, None, "{name} has no metrics/evaluate.json: {make}"),
        (paths.EVALUATE_METRICS, "{", "{prefix}metrics/evaluate.json, line 1: damaged (Expecting property name"),
        (paths.EVALUATE_METRICS, "[]", "{prefix}metrics/evaluate.json is not a JSON object; {repair}"),
        (paths.EVALUATE_METRICS, "{}", "{name}: metrics/evaluate.json has no valid number 'images'; {repair}"),
        (paths.EVALUATE_METRICS, '{"images": 0, "top1": 1}', "{name}: metrics/evaluate.json has no valid"),
        (paths.EVALUATE_METRICS, '{"images": 9, "top1": NaN}', "{name}: metrics/evaluate.json has no valid"),
        (paths.TTA_METRICS, '{"images": 9, "top1": 7}', "{name}: metrics/tta_evaluate.json has no valid number 'top1'"),
        *(
            (
                paths.EVALUATE_METRICS,
                f'{{"images": 9, "top1": 1, "intervals": {intervals}}}',
                "{name}: metrics/evaluate.json has no valid number 'intervals.",
            )
            for intervals in ("3", "[]", '{"top1": 1}', '{"top1": [1]}', '{"loss": [0, "x"]}', '{"ece": [0, 2]}')
        ),
        (paths.PREDICTIONS, "path,actual\na,b\n", "{prefix}plots/predictions.csv is not a table of predictions ("),
        (paths.PREDICTIONS, "path,actual\na,b,c\n", "{prefix}plots/predictions.csv, line 2: damaged (expected 2"),
        (paths.CLASS_COUNTS, "label,images,kept\na,x,1\n", "{prefix}plots/class_counts.csv, line 2: damaged"),
        (paths.PARAMS, "a: [1\n", "{prefix}params.yaml, line 2: not valid YAML"),
        (paths.LOCK, "stages: [1]\n", "{prefix}dvc.lock is not a DVC lock file ('list' object"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_a_one_line_error_on_either_side(
    repository: Repository, path: Path, content: str | None, message: str
) -> None:
    def damage() -> None:
        if content is None:
            repository.path(path).unlink()
        else:
            repository.path(path).write_text(content, encoding="utf-8")

    damage()
    with pytest.raises(UserError) as caught:
        repository.compare()
    repair, make = "run `dvc repro` to regenerate it", "run `dvc repro` to make it"
    assert str(caught.value).startswith(message.format(name="the working tree", prefix="", repair=repair, make=make))

    repository.git("commit", "--quiet", "--all", "--message", "damaged")
    sha = repository.git("rev-parse", "--short=7", "HEAD")
    repository.git("checkout", "--quiet", "HEAD~1", "--", ".")
    with pytest.raises(UserError) as caught:
        repository.compare()
    make = "the pipeline had not run by then; compare with a later commit"
    repair = "compare with another commit"
    assert str(caught.value).startswith(message.format(name=sha, prefix=f"{sha}:", repair=repair, make=make))
    assert content is None or str(caught.value).endswith(f"; {repair}")


class Page(HTMLParser):
    """The tags and the text of a rendered comparison."""

    def __init__(self, markdown: str):
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        # GitHub's: tables, raw HTML, and addresses that become links.
        page = MarkdownIt("gfm-like", {"linkify": False}).render(markdown)
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert all(name == "style" for name, _ in attrs), attrs

    def handle_data(self, data: str) -> None:
        self.text += data


EXPECTED = {"h2", "h3", "p", "code", "strong", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    names = (*pretend_run.HOSTILE, "@someone #1 www.example.org https://example.org", "</summary></details>`code`")
    folder = tmp_path / "hostile"
    labels = [name.replace("/", "∕") for name in names]
    repository = pretend(folder, tuple(labels), 25)
    repository.git("checkout", "--quiet", "-b", "<b>branch</b>`|@someone")
    repository.set(filter={"drop": ["<img src=x onerror=alert(1)>", "a|b", "[x](http://y)", "```"]})
    repository.metrics(paths.DOWNLOAD_METRICS, licence="<script>alert(1)</script> | @all")
    repository.answer(lambda number, row: replace(row, predicted=labels[number % 9]))
    counts = tables.read_rows(repository.path(paths.CLASS_COUNTS), ClassCount)
    tables.write_rows(repository.path(paths.CLASS_COUNTS), ClassCount, [*counts, ClassCount("<u>new</u> @all", 9, 9)])
    repository.lock()
    text = repository.compare()
    page = Page(text)
    assert page.tags == EXPECTED
    shown = page.text.replace("\u200b", "")
    section = shown[shown.index("Classes that changed") :]
    for label in labels:
        assert (label if len(label) <= 60 else label[:59] + "…") in section, label
    assert "<u>new</u> @all" in shown
    assert "<script>alert(1)</script> | @all" in shown
    assert not re.search(r"[@#]\w|://\w|www\.\w", text)
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_the_longest_comparison_fits_into_a_comment(tmp_path: Path) -> None:
    labels = tuple(f"class_{number:04d}_" + "<&|_*>" * 20 for number in range(400))
    folder = tmp_path / "many"
    repository = pretend(folder, tuple(label.replace("/", "") for label in labels[:60]), 10)
    with_cache(repository)
    repository.set(filter={f"key_{number}_" + "_" * 90: "*" * 200 for number in range(300)})
    repository.answer(lambda number, row: replace(row, predicted=labels[number % 60]))
    repository.metrics(paths.TRAIN_METRICS, **{f"metric_{number}_" + "_" * 90: "|" * 200 for number in range(300)})
    rows = [
        Sample(f"{label}/{n}.png", label, "train", f"{place}-{n}")
        for place, label in enumerate(labels)
        for n in range(3)
    ]
    repository.splits(lambda old: [*old[40:], *rows])
    counts = [ClassCount(label, 3, 3) for label in labels]
    tables.write_rows(repository.path(paths.CLASS_COUNTS), ClassCount, counts)
    repository.lock()
    text = repository.compare()
    assert len(text) < GITHUBS_LIMIT
    assert text.count("more are not shown") >= 3
    assert Page(text).tags == EXPECTED


def run_command(folder: Path, *arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    call = ["-c", code, *arguments] if code else ["-m", "boatyard", *arguments]
    return subprocess.run(
        [sys.executable, *call], cwd=folder, env={**ENVIRONMENT, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_ends_with_one_line_and_status_2(repository: Repository, tmp_path: Path) -> None:
    done = run_command(repository.folder, "compare", "no-such-branch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: 'no-such-branch' is not a commit, branch, tag or experiment of this repository: correct it, "
        "or run `git fetch` first\n"
    )
    done = run_command(tmp_path, "compare")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: git finds no repository here (")


def test_the_command_loads_nothing_heavy(repository: Repository) -> None:
    repository.answer(lambda number, row: wrong(row) if number == 3 else row)
    code = """
import sys
from boatyard.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("status", end.code)
heavy = ("torch", "torchvision", "timm", "onnxruntime", "matplotlib", "jinja2", "pydantic", "scipy", "sklearn", "dvc")
print("loaded", *[name for name in heavy if name in sys.modules])
"""
    done = run_command(repository.folder, "compare", code=code)
    assert done.stdout.splitlines()[-2:] == ["status 0", "loaded"], done.stderr
    assert done.stderr == ""
