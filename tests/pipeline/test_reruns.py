"""A change reruns what depends on it and nothing else."""

import csv
from collections.abc import Callable, Iterator

import drawn_photos
import pytest
from clone import Clone
from small_run import STAGES

Change = Callable[[Clone], object]


def param(key: str, value: object) -> Change:
    return lambda clone: clone.set_param(key, value)


def split_fractions(clone: Clone) -> None:
    for name, fraction in (("train", 0.5), ("validation", 0.25), ("test", 0.25)):
        clone.set_param(f"split.{name}", fraction)


def one_more_photo(clone: Clone) -> None:
    drawn_photos.draw_photo(clone.folder / "data/incoming", "discs", 500)


def comment_in(name: str) -> Change:
    def add(clone: Clone) -> None:
        path = clone.folder / name
        path.write_text(f"{path.read_text(encoding='utf-8')}\n# One more line.\n", encoding="utf-8")

    return add


def newer(name: str) -> Change:
    return lambda clone: (clone.folder / name).touch()


CHANGES: dict[str, tuple[Change, set[str]]] = {
    # What a change touches directly. What comes after reruns only if a stage then writes other bytes than before.
    "seed": (param("seed", 1), {"split", "featurize", "train", "evaluate", "tta_evaluate"}),
    "filter.min_images": (param("filter.min_images", 9), {"filter"}),
    "split fractions": (split_fractions, {"split"}),
    "image.size": (param("image.size", 96), {"featurize", "train"}),
    "augment": (param("augment.rotation", 10), {"featurize", "train", "tta_evaluate"}),
    "features.views": (param("features.views", 3), {"featurize", "train"}),
    "backbone": (param("model.backbone", "efficientnet_lite1"), {"featurize", "train"}),
    "head": (param("model.head.hidden", 128), {"train"}),
    "train.lr": (param("train.lr", 0.002), {"train"}),
    "evaluate.bins": (param("evaluate.bins", 10), {"evaluate", "tta_evaluate"}),
    "tta.views": (param("tta.views", 4), {"tta_evaluate"}),
    "one photo added": (one_more_photo, {"download"}),
    "a comment in duplicates.py": (comment_in("src/boatyard/curation/near_duplicates.py"), {"split"}),
    "a comment in suspects.py": (comment_in("src/boatyard/evaluation/label_issues.py"), {"check_labels"}),
    "a comment in training.py": (comment_in("src/boatyard/training/head_training.py"), {"train"}),
    "a comment in onnx_file.py": (comment_in("src/boatyard/export/onnx_file.py"), {"export"}),
    "a comment in a stage": (comment_in("stages/filter.py"), {"filter"}),
    "a newer date alone": (newer("src/boatyard/params/schema.py"), set()),
    "a comment in params.yaml": (comment_in("params.yaml"), set()),
    "a comment in the Makefile": (comment_in("Makefile"), set()),
}


@pytest.fixture(scope="module")
def bench(clone: Clone) -> Clone:
    """Where one change after another is made, looked at and taken back."""
    return clone


@pytest.fixture
def restored(bench: Clone) -> Iterator[Clone]:
    yield bench
    bench.git("checkout", "--quiet", ".")
    bench.git("clean", "--quiet", "--force", "-d")


@pytest.mark.parametrize("change", CHANGES)
def test_status_names_the_stages_that_a_change_touches(restored: Clone, change: str) -> None:
    make, touched = CHANGES[change]

    make(restored)

    assert restored.changed_stages() - {"report"} == touched


def test_a_learning_rate_reruns_the_head_and_what_follows_and_comes_back_from_the_run_cache(bench: Clone) -> None:
    before = bench.lock()
    model = (bench.folder / "models/model.safetensors").read_bytes()
    bench.set_param("train.lr", 0.003)

    there = bench.repro()
    changed = (bench.folder / "models/model.safetensors").read_bytes() != model
    bench.set_param("train.lr", 0.001)
    back = bench.repro()

    assert there.ran == {"train", "export", "evaluate", "tta_evaluate", "report"}
    assert changed
    assert back.ran == set()
    assert back.restored == {"train", "export", "evaluate", "tta_evaluate", "report"}
    assert bench.lock() == before
    assert (bench.folder / "models/model.safetensors").read_bytes() == model
    assert bench.git("status", "--porcelain") == ""


def test_another_image_size_is_never_taken_from_the_run_cache(bench: Clone) -> None:
    size = bench.params()["image"]["size"]
    bench.set_param("image.size", 96)

    there = bench.repro()
    bench.set_param("image.size", size)
    back = bench.repro()

    assert {"featurize", "train"} <= there.ran
    assert back.ran == set()
    assert bench.git("status", "--porcelain") == ""


def test_a_split_that_takes_no_notice_of_copies_still_tells_check_labels_of_them(bench: Clone) -> None:
    path, distance = bench.folder / "data/near_duplicates.csv", bench.params()["split"]["near_duplicates"]
    told = path.read_bytes()
    bench.set_param("split.near_duplicates", 0)

    bench.run("python", "stages/split.py")
    alike = path.read_bytes()
    bench.set_param("split.near_duplicates", distance)
    bench.run("python", "stages/split.py")

    assert alike.count(b"\n") > 2
    assert alike == told
    assert bench.git("status", "--porcelain") == ""


def test_a_stage_that_writes_the_same_bytes_stops_there(bench: Clone) -> None:
    comment_in("src/boatyard/curation/near_duplicates.py")(bench)

    assert bench.repro().ran - {"report"} == {"split"}


def test_a_photo_more_costs_its_own_views_alone(bench: Clone) -> None:
    def wanted() -> set[tuple[str, int]]:
        """(sha256, view) of the plain view of every photo, and of two random views of the training photos."""
        with (bench.folder / "data/splits.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {(row["sha256"], view) for row in rows for view in range(3 if row["split"] == "train" else 1)}

    before = wanted()
    one_more_photo(bench)

    repro = bench.repro()

    assert repro.ran == set(STAGES)
    after = wanted()
    assert 1 <= len(after - before) <= 7  # its own, and those of at most two photos that crossed into train
    assert f"{len(after - before)} of {len(after)} views went through" in repro.output
