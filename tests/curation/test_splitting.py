import hashlib
import json
import random
import runpy
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import check_told, examples
from ruamel.yaml import YAML

from boatyard.core import splits, tables
from boatyard.core import splits as given_split
from boatyard.core.errors import UserError
from boatyard.core.splits import Sample
from boatyard.curation import splitting
from boatyard.curation.catalog import Photo

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Parts:
    train: float
    validation: float


SIXTY = Parts(0.6, 0.2)


def photo(label: str, name: object) -> Photo:
    sha256 = hashlib.sha256(f"{label}/{name}".encode()).hexdigest()
    return Photo(f"{label}/{name}.jpg", label, 8, 8, "RGB", sha256, "0" * 64)


def several(label: str, count: int) -> list[Photo]:
    return [photo(label, number) for number in range(count)]


def split(photos: list[Photo], parts: Parts = SIXTY, seed: int = 0, groups: list[int] | None = None) -> list[Sample]:
    return splitting.stratified(photos, groups or list(range(len(photos))), parts, seed)


def sides(rows: list[Sample]) -> dict[str, str]:
    return {row.path: row.split for row in rows}


def on(rows: list[Sample], side: str) -> set[str]:
    return {row.path.removesuffix(".jpg") for row in rows if row.split == side}


# By the hash of "seed sha256", lowest first, these are the photos of class a: 4 2 9 0 6 8 7 3 1 5 with seed 0, and
# 8 7 9 3 1 4 0 6 2 5 with seed 1; those of class b: 4 2 1 3 0 with seed 0.
HAND_MADE = several("a", 10) + several("b", 5)


def test_a_known_split() -> None:
    rows = split(HAND_MADE)
    assert [row.path for row in rows] == sorted(entry.path for entry in HAND_MADE)
    assert on(rows, "train") == {"a/4", "a/2", "a/9", "a/0", "a/6", "a/8", "b/4", "b/2", "b/1"}
    assert on(rows, "validation") == {"a/7", "a/3", "b/3"}
    assert on(rows, "test") == {"a/1", "a/5", "b/0"}
    assert {(row.label, row.sha256) for row in rows} == {(entry.label, entry.sha256) for entry in HAND_MADE}

    rows = split(several("a", 10), seed=1)
    assert on(rows, "train") == {"a/8", "a/7", "a/9", "a/3", "a/1", "a/4"}
    assert on(rows, "validation") == {"a/0", "a/6"}


def test_order_names_and_other_classes_do_not_matter() -> None:
    rows = split(HAND_MADE)
    for seed in range(5):
        shuffled = random.Random(seed).sample(HAND_MADE, len(HAND_MADE))
        assert split(shuffled) == rows
    renamed = [
        Photo(f"a/{number}.png", "a", 8, 8, "L", entry.sha256, "f" * 64)
        for number, entry in enumerate(reversed(several("a", 10)))
    ]
    by_content = {row.sha256: row.split for row in rows}
    assert all(by_content[row.sha256] == row.split for row in split(renamed))
    assert sides(split(several("b", 5))) == {row.path: row.split for row in rows if row.label == "b"}


@pytest.mark.parametrize("parts", [SIXTY, Parts(0.5, 0.25), Parts(0.7, 0.1), Parts(0.34, 0.33)])
def test_every_class_is_divided_by_the_fractions(parts: Parts) -> None:
    for count in (*range(10, 60), 117, 588, 920):
        found = Counter(row.split for row in split(several("a", count), parts))
        assert abs(found["train"] - parts.train * count) <= 0.5 + 1e-9
        assert abs(found["train"] + found["validation"] - (parts.train + parts.validation) * count) <= 0.5 + 1e-9


def test_known_sizes() -> None:
    sizes = {}
    for count in (4, 5, 10, 11, 12, 13, 588, 117, 313, 920, 178, 402):
        found = Counter(row.split for row in split(several("a", count)))
        sizes[count] = tuple(found[side] for side in splits.SPLITS)
    assert sizes == {
        4: (2, 1, 1),
        5: (3, 1, 1),
        10: (6, 2, 2),
        11: (7, 2, 2),
        12: (7, 3, 2),
        13: (8, 2, 3),
        588: (353, 117, 118),
        117: (70, 24, 23),
        313: (188, 62, 63),
        920: (552, 184, 184),
        178: (107, 35, 36),
        402: (241, 81, 80),
    }


def test_an_added_photo_moves_at_most_one_photo_across_each_boundary() -> None:
    moved = Counter[int]()
    for seed in range(150):
        photos = several("a", 20 + seed % 37)
        before = sides(split(photos, seed=seed))
        after = sides(split([*photos, photo("a", "new")], seed=seed))
        moved[sum(after[path] != side for path, side in before.items())] += 1
    assert set(moved) == {0, 1, 2}
    assert moved[0] > 30  # and often none


def test_seeds_shuffle() -> None:
    photos = several("a", 40)
    test_photos = {frozenset(on(split(photos, seed=seed), "test")) for seed in range(20)}
    assert len(test_photos) == 20
    seen = Counter(path for chosen in test_photos for path in chosen)
    assert sum(seen.values()) == 20 * 8
    assert max(seen.values()) < 14  # no photo is always in it


def test_a_group_has_its_first_photos_rank_and_occupies_a_position_per_photo() -> None:
    photos = several("a", 10)
    # In order: 4 and 1 together, 2 9 0 6 | 8 7 | 3 5. The middles of their positions: 0.1, 0.25 … 0.55 | 0.65, 0.75 | …
    groups = [0, 1, 2, 3, 1, 4, 5, 6, 7, 8]
    rows = split(photos, groups=groups)
    assert on(rows, "train") == {"a/4", "a/1", "a/2", "a/9", "a/0", "a/6"}
    assert on(rows, "validation") == {"a/8", "a/7"}
    assert on(rows, "test") == {"a/3", "a/5"}
    # A group of seven covers positions 1 to 8 in the order 4 | 2 and its six | 7 5: its middle, 0.45, is in train.
    groups = [1, 1, 1, 1, 0, 2, 1, 3, 1, 1]
    rows = split(photos, Parts(0.5, 0.35), groups=groups)
    assert on(rows, "train") == {f"a/{number}" for number in (4, 0, 1, 2, 3, 6, 8, 9)}
    assert (on(rows, "validation"), on(rows, "test")) == ({"a/7"}, {"a/5"})


def test_a_group_with_two_classes_is_ranked_in_its_first_photos_class() -> None:
    # a/5, the last of class a, and b/0, the last of b, form a group; a/5 is ranked first.
    groups = list(range(15))
    groups[HAND_MADE.index(photo("b", 0))] = groups[HAND_MADE.index(photo("a", 5))]
    rows = split(HAND_MADE, groups=groups)
    # Class a as before; class b without b/0: positions (i + ½) / 4, so 4 2 | 1 | 3.
    assert on(rows, "train") == {"a/4", "a/2", "a/9", "a/0", "a/6", "a/8", "b/4", "b/2"}
    assert on(rows, "validation") == {"a/7", "a/3", "b/1"}
    assert on(rows, "test") == {"a/1", "a/5", "b/3", "b/0"}


@examples(50)
@given(st.integers(0, 2**32), st.integers(0, 99))
def test_groups_stay_together_and_every_photo_is_assigned_once(draw: int, seed: int) -> None:
    generator = np.random.default_rng(draw)
    photos = several("a", 60) + several("b", 40) + several("c", 30)
    groups = [int(group) for group in generator.integers(0, 90, len(photos))]
    rows = splitting.stratified(photos, groups, SIXTY, seed)
    assert sorted(row.path for row in rows) == sorted(entry.path for entry in photos)
    side = sides(rows)
    for group in set(groups):
        members = [entry.path for entry, number in zip(photos, groups, strict=True) if number == group]
        assert len({side[path] for path in members}) == 1
    renumbered = [7 * group + 3 for group in groups]
    order = generator.permutation(len(photos))
    assert rows == splitting.stratified(
        [photos[place] for place in order], [renumbered[place] for place in order], SIXTY, seed
    )


def test_the_time_is_proportional_to_the_class_size() -> None:
    rows = split(several("a", 30_000))  # takes minutes if it is quadratic
    assert Counter(row.split for row in rows) == {"train": 18_000, "validation": 6_000, "test": 6_000}


def test_every_class_must_be_in_every_split() -> None:
    with pytest.raises(UserError) as caught:
        split(several("a", 10) + several("b", 3))
    assert str(caught.value) == (
        "class 'b' (3 photos) has none in validation: raise filter.min_images, change the fractions, add photos, "
        "or lower split.near_duplicates if many of them are grouped"
    )
    with pytest.raises(UserError, match=r"class 'a' \(10 photos\) has none in validation"):
        split(several("a", 10), groups=[0] * 10)
    with pytest.raises(ValueError, match="zip"):
        splitting.stratified(several("a", 10), [0], SIXTY, 0)


def test_by_counts_is_in_file_name_order() -> None:
    photos = [photo("b", 3), photo("b", 1), photo("b", 10), photo("b", 2), *several("a", 5)]
    rows = splitting.by_counts(photos, 2, 1)
    assert [(row.path, row.split) for row in rows] == [
        ("a/0.jpg", "train"),
        ("a/1.jpg", "train"),
        ("a/2.jpg", "validation"),
        ("a/3.jpg", "test"),
        ("a/4.jpg", "test"),
        ("b/1.jpg", "train"),
        ("b/10.jpg", "train"),
        ("b/2.jpg", "validation"),
        ("b/3.jpg", "test"),
    ]
    for train, validation, side in ((4, 1, "validation"), (2, 2, "test")):
        with pytest.raises(UserError) as caught:
            splitting.by_counts(photos[:4], train, validation)
        assert str(caught.value) == (
            f"class 'b' (4 photos) has none in {side}: lower split.train or split.validation, "
            "raise filter.min_images, or add photos"
        )


GIVEN = [photo(label, f"{side}__{number}") for label in "ab" for side in splits.SPLITS for number in (1, 2)]


def test_published() -> None:
    rows = splitting.published(GIVEN[::-1])
    assert sides(rows) == {entry.path: entry.path[2:].split("__")[0] for entry in GIVEN}
    assert [row.path for row in rows] == sorted(entry.path for entry in GIVEN)
    with pytest.raises(UserError) as caught:
        splitting.published([*GIVEN, photo("a", "boat__3")])
    assert str(caught.value) == (
        "a/boat__3.jpg has no published split, but split.method is 'folders': "
        "set dataset.layout.kind to split_folders, or choose another split.method"
    )
    with pytest.raises(UserError) as caught:
        splitting.published([entry for entry in GIVEN if not entry.path.startswith("b/validation")])
    assert str(caught.value) == (
        "class 'b' (4 photos) has none in validation: add photos, name the class in filter.drop, "
        "or choose another split.method"
    )


@examples(60)
@given(
    st.sampled_from(["", *splits.SPLITS]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.text("_a", min_size=1),
)
def test_the_split_is_read_back_from_any_name(split: str, name: str) -> None:
    marked = given_split.mark(split, name)
    assert marked.endswith(name)
    if split:
        assert given_split.split_of(marked) == split


@examples(60)
@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from(["", *splits.SPLITS]), max_size=9), min_size=1),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_every_photo_is_in_one_split_or_there_is_an_error_of_one_line(
    drawn: dict[str, list[str]], train: int, validation: int
) -> None:
    photos = [
        photo(label, given_split.mark(split, f"{number}"))
        for label, splits in drawn.items()
        for number, split in enumerate(splits)
    ]
    for split_by in (splitting.published, lambda photos: splitting.by_counts(photos, train, validation)):
        try:
            rows = split_by(photos)
        except UserError as error:
            check_told(error)
            continue
        assert [(row.path, row.sha256) for row in rows] == sorted((entry.path, entry.sha256) for entry in photos)
        for label in {entry.label for entry in photos}:
            assert {row.split for row in rows if row.label == label} == set(splits.SPLITS)


def test_splits_are_read_back(tmp_path: Path) -> None:
    rows = [Sample('a,"b"/new\nline.jpg', 'a,"b"', "train", "0" * 64), Sample("ü/1.jpg", "ü", "test", "1" * 64)]
    tables.write_rows(tmp_path / "splits.csv", Sample, rows)
    assert splits.read_splits(tmp_path / "splits.csv") == rows
    tables.write_rows(tmp_path / "one.csv", Sample, rows[1:])
    assert (tmp_path / "one.csv").read_text(encoding="utf-8") == (
        f"path,label,split,sha256\nü/1.jpg,ü,test,{'1' * 64}\n"
    )


def test_classes_and_their_numbers() -> None:
    rows = [Sample(f"{label}/1", label, "test", "") for label in ("b", "B", "a", "b", "ä")]
    assert splits.class_names(rows) == ["B", "a", "b", "ä"]
    numbers = splits.labels(rows, ["B", "a", "b", "ä"])
    assert (numbers.dtype, numbers.tolist()) == (np.int64, [2, 0, 1, 2, 3])
    with pytest.raises(UserError, match=r"^the model has no class 'ä': run `dvc repro`"):
        splits.labels(rows, ["B", "a", "b"])


@pytest.mark.parametrize(
    ("settings", "metrics", "printed"),
    [
        (
            {"method": "stratified", "train": 0.5, "validation": 0.25, "test": 0.25, "near_duplicates": 3},
            {"near_duplicate_groups": 1, "near_duplicate_photos": 3, "leaked_validation": 0, "leaked_test": 0},
            "7 train · 3 validation · 2 test\n3 photos in 1 groups of near duplicates\n",
        ),
        (
            {"method": "counts", "train": 3, "validation": 1},
            {"near_duplicate_groups": 1, "near_duplicate_photos": 3, "leaked_validation": 0, "leaked_test": 0},
            "6 train · 2 validation · 4 test\n3 photos in 1 groups of near duplicates\n",
        ),
        (
            {"method": "folders"},
            {"near_duplicate_groups": 1, "near_duplicate_photos": 3, "leaked_validation": 0, "leaked_test": 2},
            "4 train · 4 validation · 4 test\n3 photos in 1 groups of near duplicates\n"
            "LEAK: 2 test and 0 validation photos are near duplicates of photos in an earlier split "
            "(see data/leaks.csv); split.method: stratified keeps such photos in the same split\n",
        ),
    ],
)
def test_the_stage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, object],
    metrics: dict[str, int],
    printed: str,
) -> None:
    yaml = YAML(typ="safe", pure=True)
    values = yaml.load(REPOSITORY / "presets/solar_cells.yaml")
    layout = {"kind": "split_folders", "root": "."}
    values |= {"seed": 0, "split": settings, "dataset": {"source": "folder", "licence": "", "layout": layout}}
    yaml.dump(values, tmp_path / "params.yaml")
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    # Hashes far from one another, except those of the first three photos of class a, each 3 bits from the next.
    near = {"a/test__1.jpg": 0, "a/test__2.jpg": 3, "a/train__1.jpg": 6}
    hashes = [
        f"{(1 << near[entry.path]) - 1:064x}" if entry.path in near else entry.sha256
        for entry in sorted(GIVEN, key=lambda entry: entry.path)
    ]
    photos = [
        Photo(entry.path, entry.label, 8, 8, "RGB", entry.sha256, text)
        for entry, text in zip(sorted(GIVEN, key=lambda entry: entry.path), hashes, strict=True)
    ]
    tables.write_rows(Path("data/catalog.csv"), Photo, photos)
    runpy.run_path(str(REPOSITORY / "stages/split.py"), run_name="__main__")
    counts = Counter(row.split for row in splits.read_splits(Path("data/splits.csv")))
    assert json.loads(Path("metrics/split.json").read_text()) == {**counts, **metrics}
    rows = splits.read_splits(Path("data/splits.csv"))
    assert [row.path for row in rows] == [entry.path for entry in photos]
    assert capsys.readouterr().out == printed
    if settings["method"] == "stratified":
        assert len({row.split for row in rows if row.path in near}) == 1
