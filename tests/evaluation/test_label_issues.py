"""Wrong labels: planted ones are found among the first suspects, and copies do not vouch for one another."""

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
from boatyard.evaluation.label_issues import FOLDS, LabelIssue, doubtful, find, folds

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


# Drawn photos that are filed under another class than the one they show.
WRONG = {
    "squares/disc 100.png": ("discs", 100),
    "stripes/disc 101.png": ("discs", 101),
    "discs/square 102.png": ("squares", 102),
    "discs/stripe 103.png": ("stripes", 103),
    "stripes/square 104.png": ("squares", 104),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages have run up to check_labels, over 90 photos of which five are filed wrongly."""
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
    said = run(root, "check_labels")
    count = len(label_issues.read_suspects(root / paths.SUSPECTS))
    assert said == f"{count} of 95 labels are in doubt (see data/suspects.csv)\n"
    return root


def test_planted_label_errors_are_the_first_suspects(checked: Path) -> None:
    found = label_issues.read_suspects(checked / paths.SUSPECTS)
    split_of = {row["path"]: row["split"] for row in tables.read_csv(checked / paths.SPLITS)}

    first = {suspect.path: suspect for suspect in found[: len(WRONG)]}

    assert set(first) == set(WRONG)
    for path, suspect in first.items():
        assert suspect.label == path.split("/")[0]
        assert suspect.looks_like == WRONG[path][0]
        assert suspect.split == split_of[path]
        assert suspect.label_probability < 0.1 < 0.8 < suspect.probability
    assert [suspect.label_probability for suspect in found] == sorted(suspect.label_probability for suspect in found)
    metrics = json.loads((checked / paths.CHECK_LABELS_METRICS).read_text(encoding="utf-8"))
    assert metrics == {"photos": 95, "judged": 95, "top1": metrics["top1"], "suspects": len(found)}
    assert 0.85 <= metrics["top1"] <= 90 / 95


@pytest.mark.parametrize(
    "environment",
    [{"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "3"}, {"OPENBLAS_CORETYPE": "Prescott"}],
    ids=lambda environment: " ".join(f"{name}={value}" for name, value in environment.items()),
)
def test_threads_and_another_processors_arithmetic_change_no_byte(checked: Path, environment: dict[str, str]) -> None:
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


def test_copies_of_a_photo_do_not_vouch_for_its_label() -> None:
    rows, features = two_clouds(12)
    # Six copies of a photo that lies on the far side of class a, and apart from it; they are filed under b.
    rows += [Sample(f"b/copy {number}", "b", "train", f"f{number:063x}") for number in range(6)]
    odd = np.random.default_rng(3).normal(0, 1e-3, (6, 6)) + np.array([-4.0, 9, -4, -4, 0, 0])
    features = np.vstack([features, odd.astype(np.float32)])
    together = [*range(24), *[24] * 6]
    found = {suspect.path for suspect in find(rows, features, together, ["a", "b"]).suspects}
    assert found >= {row.path for row in rows[24:]}
    apart = {suspect.path for suspect in find(rows, features, range(30), ["a", "b"]).suspects}
    assert not apart & {row.path for row in rows[24:]}


def test_suspects_do_not_depend_on_the_order_or_split_of_the_photos() -> None:
    rows, features = two_clouds(20)
    rows[4] = replace(rows[4], label="b", path="b/04")
    before = find(rows, features, range(40), ["a", "b"])
    assert before.suspects[0].path == "b/04"
    order = np.random.default_rng(1).permutation(40)
    mixed = [replace(rows[place], split="test") for place in order]
    after = find(mixed, features[order], order.tolist(), ["a", "b"])
    rounded = [[(s.path, s.looks_like, round(s.probability, 6)) for s in found.suspects] for found in (before, after)]
    assert rounded[0] == rounded[1]
    assert (before.judged, before.right) == (after.judged, after.right)


def test_a_class_whose_photos_are_all_copies_can_not_be_judged() -> None:
    rows, features = two_clouds(10)
    rows += [Sample(f"c/{number}", "c", "test", f"e{number:063x}") for number in range(4)]
    features = np.vstack([features, np.full((4, 6), 9, np.float32)])
    found = find(rows, features, [*range(20), *[20] * 4], ["a", "b", "c"])
    assert found.judged == 20
    assert not any("c" in (suspect.label, suspect.looks_like) for suspect in found.suspects)
    assert find(rows[20:], features[20:], [0] * 4, ["c"]) == label_issues.Findings([], 0, 0)


def test_folds_share_each_class_evenly_and_keep_groups_together() -> None:
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
    # photo is under a, and its b is 0.8.
    assert doubtful(np.log(probabilities), np.array([0, 0, 0, 1, 1, 1])) == 1
    # With the fourth under a as well: a is 0.55, b 0.8. Its b of 0.6 is not enough.
    assert doubtful(np.log(probabilities), np.array([0, 0, 0, 0, 1, 1])) == 1
    # With the second under b and the last under a: a is 0.467, b 0.6. Enough are the second's a of 0.7, and the third's
    # and the last one's b.
    assert doubtful(np.log(probabilities), np.array([0, 1, 0, 1, 1, 0])) == 3
    # A class without a photo is nobody's.
    with np.errstate(divide="ignore"):
        certain = np.log([[0.1, 0.0, 0.9], [0.2, 0.1, 0.7]])
    assert doubtful(certain, np.array([0, 0])) == 0


def test_the_table_comes_back(tmp_path: Path) -> None:
    written = [
        LabelIssue('b/"1", x.png', "b", "test", "a", 0.75, 0.0625),
        LabelIssue("a/1", "a", "train", "b", 0.5, 0.25),
    ]
    label_issues.write_suspects(tmp_path / "suspects.csv", written)
    assert label_issues.read_suspects(tmp_path / "suspects.csv") == written
    with (tmp_path / "suspects.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["path", "label", "split", "looks_like", "probability", "label_probability"]
