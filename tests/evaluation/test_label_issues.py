"""Label issues: planted label errors come first, and near duplicates do not confirm one another's labels."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import drawn_photos
import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML

from boatyard.core import paths, tables
from boatyard.core.splits import Sample
from boatyard.evaluation import label_issues
from boatyard.evaluation.label_issues import FOLDS, LabelIssue, find, folds, issue_count

REPOSITORY = Path(__file__).resolve().parents[2]


def run(root: Path, stage: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / f"stages/{stage}.py")],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Drawn photos in the folder of another class than the one they show.
WRONG = {
    "squares/disc 100.png": ("discs", 100),
    "stripes/disc 101.png": ("discs", 101),
    "discs/square 102.png": ("squares", 102),
    "discs/stripe 103.png": ("stripes", 103),
    "stripes/square 104.png": ("squares", 104),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages have run up to check_labels, on 90 photos and five with a wrong label."""
    root = tmp_path_factory.mktemp("checked")
    raw = root / paths.RAW
    for label in drawn_photos.CLASSES:
        (raw / label).mkdir(parents=True)
        for number in range(30):
            drawn_photos.draw_photo(raw, label, number)
    for name, (label, number) in WRONG.items():
        drawn_photos.draw_photo(raw, label, number).rename(raw / name)
    params = YAML(typ="safe").load((REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8"))
    params["filter"]["min_images"] = 8
    params["image"]["size"] = 64
    params["features"]["views"] = 0
    with (root / paths.PARAMS).open("w", encoding="utf-8") as stream:
        YAML().dump(params, stream)
    shutil.copy(REPOSITORY / paths.PIPELINE, root)
    (root / paths.WEIGHTS).mkdir(parents=True)
    for stage in ("filter", "split", "featurize"):
        run(root, stage)
    printed = run(root, "check_labels")
    count = len(tables.read_rows(root / paths.SUSPECTS, LabelIssue))
    assert printed == f"{count} of 95 labels may be wrong (see data/suspects.csv)\n"
    return root


@pytest.mark.slow
def test_planted_label_errors_come_first(checked: Path) -> None:
    found = tables.read_rows(checked / paths.SUSPECTS, LabelIssue)
    split_of = {row["path"]: row["split"] for row in tables.read_csv(checked / paths.SPLITS)}

    first = {issue.path: issue for issue in found[: len(WRONG)]}

    assert set(first) == set(WRONG)
    for path, issue in first.items():
        assert issue.label == path.split("/")[0]
        assert issue.looks_like == WRONG[path][0]
        assert issue.split == split_of[path]
        assert issue.label_probability < 0.1 < 0.8 < issue.probability
    assert [issue.label_probability for issue in found] == sorted(issue.label_probability for issue in found)
    metrics = json.loads((checked / paths.CHECK_LABELS_METRICS).read_text(encoding="utf-8"))
    assert metrics == {"photos": 95, "judged": 95, "top1": metrics["top1"], "suspects": len(found)}
    assert 0.85 <= metrics["top1"] <= 90 / 95


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "3"}, {"OPENBLAS_CORETYPE": "Prescott"}],
    ids=lambda environment: " ".join(f"{name}={value}" for name, value in environment.items()),
)
def test_threads_and_processor_type_change_no_byte(checked: Path, environment: dict[str, str]) -> None:
    before = [(checked / path).read_bytes() for path in (paths.SUSPECTS, paths.CHECK_LABELS_METRICS)]
    run(checked, "check_labels", **environment)
    assert [(checked / path).read_bytes() for path in (paths.SUSPECTS, paths.CHECK_LABELS_METRICS)] == before


def rows_of(labels: str) -> list[Sample]:
    return [Sample(f"{label}/{number:02d}", label, "train", f"{number:064x}") for number, label in enumerate(labels)]


def two_clouds(count: int, seed: int = 0) -> tuple[list[Sample], NDArray[np.float32]]:
    """As many photos of class a as of b, far apart."""
    rows = rows_of("ab" * count)
    centre = np.array([[4.0 * (row.label == "b")] for row in rows])
    return rows, (centre + np.random.default_rng(seed).normal(0, 1, (2 * count, 6))).astype(np.float32)


def test_copies_of_a_photo_do_not_confirm_its_label() -> None:
    rows, features = two_clouds(12)
    # Six copies of a photo beyond class a, seen from b, and far from it; they are labelled b.
    rows += [Sample(f"b/copy {number}", "b", "train", f"f{number:063x}") for number in range(6)]
    odd = np.random.default_rng(3).normal(0, 1e-3, (6, 6)) + np.array([-4.0, 9, -4, -4, 0, 0])
    features = np.vstack([features, odd.astype(np.float32)])
    together = [*range(24), *[24] * 6]
    found = {issue.path for issue in find(rows, features, together, ["a", "b"]).issues}
    assert found >= {row.path for row in rows[24:]}
    apart = {issue.path for issue in find(rows, features, range(30), ["a", "b"]).issues}
    assert not apart & {row.path for row in rows[24:]}


def test_label_issues_do_not_depend_on_the_order_or_split_of_the_photos() -> None:
    rows, features = two_clouds(20)
    rows[4] = replace(rows[4], label="b", path="b/04")
    before = find(rows, features, range(40), ["a", "b"])
    assert before.issues[0].path == "b/04"
    order = np.random.default_rng(1).permutation(40)
    mixed = [replace(rows[place], split="test") for place in order]
    after = find(mixed, features[order], order.tolist(), ["a", "b"])
    rounded = [[(s.path, s.looks_like, round(s.probability, 6)) for s in found.issues] for found in (before, after)]
    assert rounded[0] == rounded[1]
    assert (before.checked, before.confirmed) == (after.checked, after.confirmed)


def test_a_class_of_copies_of_one_photo_cannot_be_checked() -> None:
    rows, features = two_clouds(10)
    rows += [Sample(f"c/{number}", "c", "test", f"e{number:063x}") for number in range(4)]
    features = np.vstack([features, np.full((4, 6), 9, np.float32)])
    found = find(rows, features, [*range(20), *[20] * 4], ["a", "b", "c"])
    assert found.checked == 20
    assert not any("c" in (issue.label, issue.looks_like) for issue in found.issues)
    assert find(rows[20:], features[20:], [0] * 4, ["c"]) == label_issues.Findings([], 0, 0)


def test_folds_split_each_class_evenly_and_keep_groups_together() -> None:
    rows = rows_of("a" * 23 + "b" * 7)
    groups = [*range(20), 20, 20, 20, *range(23, 30)]
    found = folds(rows, groups)
    assert len(set(found[20:23].tolist())) == 1
    for label, places in (("a", list(range(21))), ("b", list(range(23, 30)))):
        counts = np.bincount(found[places], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1, label


def test_the_confident_joint_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]])
    # Means of each class's own probability: a (0.9 + 0.7 + 0.2) / 3 = 0.6, b (0.6 + 0.9 + 0.7) / 3 = 0.733. The third
    # photo is labelled a, and its b is 0.8.
    assert issue_count(np.log(probabilities), np.array([0, 0, 0, 1, 1, 1])) == 1
    # With the fourth labelled a as well: a is 0.55, b 0.8. Its b of 0.6 is below that.
    assert issue_count(np.log(probabilities), np.array([0, 0, 0, 0, 1, 1])) == 1
    # With the second labelled b and the last a: a is 0.467, b 0.6. Above these are the second's a of 0.7, and the
    # third's and the last one's b.
    assert issue_count(np.log(probabilities), np.array([0, 1, 0, 1, 1, 0])) == 3
    # A class without a photo has no threshold.
    with np.errstate(divide="ignore"):
        certain = np.log([[0.1, 0.0, 0.9], [0.2, 0.1, 0.7]])
    assert issue_count(certain, np.array([0, 0])) == 0


def test_a_written_table_is_read_back(tmp_path: Path) -> None:
    written = [
        LabelIssue('b/"1", x.png', "b", "test", "a", 0.75, 0.0625),
        LabelIssue("a/1", "a", "train", "b", 0.5, 0.25),
    ]
    tables.write_rows(tmp_path / "suspects.csv", LabelIssue, written)
    assert tables.read_rows(tmp_path / "suspects.csv", LabelIssue) == written
    with (tmp_path / "suspects.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["path", "label", "split", "looks_like", "probability", "label_probability"]
