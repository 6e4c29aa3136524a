"""A change reruns the stages that depend on it, and no others."""

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
    # The stages that a change affects directly. Later stages rerun only if an earlier one writes other bytes.
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
    "a comment in label_issues.py": (
        comment_in("src/boatyard/evaluation/label_issues.py"),
        {"check_labels", "train", "evaluate", "tta_evaluate"},
    ),
    "a newer date alone": (newer("src/boatyard/params/schema.py"), set()),
    "a comment in params.yaml": (comment_in("params.yaml"), set()),
    "a comment in the Makefile": (comment_in("Makefile"), set()),
}


@pytest.fixture(scope="module")
def bench(clone: Clone) -> Clone:
    """Where the tests make their changes and revert them."""
    return clone


@pytest.fixture
def restored(bench: Clone) -> Iterator[Clone]:
    yield bench
    bench.git("checkout", "--quiet", ".")
    bench.git("clean", "--quiet", "--force", "-d")


@pytest.mark.parametrize("change", CHANGES)
def test_status_names_the_stages_that_a_change_affects(restored: Clone, change: str) -> None:
    make, affected = CHANGES[change]

    make(restored)

    assert restored.changed_stages() - {"report"} == affected


@pytest.mark.slow
def test_a_learning_rate_reruns_train_and_later_stages_and_is_reverted_from_the_run_cache(bench: Clone) -> None:
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


@pytest.mark.slow
def test_another_image_size_is_not_restored_from_the_run_cache(bench: Clone) -> None:
    size = bench.params()["image"]["size"]
    bench.set_param("image.size", 96)

    there = bench.repro()
    bench.set_param("image.size", size)
    back = bench.repro()

    assert {"featurize", "train"} <= there.ran
    assert back.ran == set()
    assert bench.git("status", "--porcelain") == ""


def test_a_split_that_ignores_near_duplicates_still_lists_them_for_check_labels(bench: Clone) -> None:
    path, distance = bench.folder / "data/near_duplicates.csv", bench.params()["split"]["near_duplicates"]
    listed = path.read_bytes()
    bench.set_param("split.near_duplicates", 0)

    bench.run("python", "stages/split.py")
    ignored = path.read_bytes()
    bench.set_param("split.near_duplicates", distance)
    bench.run("python", "stages/split.py")

    assert ignored.count(b"\n") > 2
    assert ignored == listed
    assert bench.git("status", "--porcelain") == ""


def test_a_rerun_that_writes_the_same_bytes_reruns_no_other_stage(bench: Clone) -> None:
    comment_in("stages/split.py")(bench)

    assert bench.repro().ran - {"report"} == {"split"}


@pytest.mark.slow
def test_an_added_photo_costs_only_its_own_views(bench: Clone) -> None:
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
    assert 1 <= len(after - before) <= 7  # its own, and those of at most two photos that moved into train
    assert f"{len(after - before)} of {len(after)} views went through" in repro.output
