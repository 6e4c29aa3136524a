"""data/features/: what is computed, that growing it gives the bytes of a fresh run, and mix-ups."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_photos import draw_photo
from numpy.typing import NDArray
from torch import nn

from boatyard.core.errors import UserError
from boatyard.core.splits import Sample
from boatyard.features import embeddings, feature_files
from boatyard.features.feature_files import Task
from boatyard.features.store import FeatureStore
from boatyard.images.decoding import open_photo
from boatyard.images.views import PLAIN, Preprocessing, Recipe, plain_view
from boatyard.models.backbones import Backbone
from boatyard.models.engines.base import Engine
from boatyard.models.engines.torch_engine import TorchEngine
from boatyard.models.network import embedder
from boatyard.params.schema import Augment

WIDTH = 5
AUGMENT = Augment(
    scale=[0.5, 1.0],
    aspect=[0.8, 1.25],
    rotation=10,
    horizontal_flip=True,
    vertical_flip=False,
    brightness=0.2,
    contrast=0,
    saturation=0,
    hue=0,
)
RECIPE = Recipe(Preprocessing(16, 0.9, "bilinear", (0.5,) * 3, (0.5,) * 3), AUGMENT, seed=3)


class Squares(Engine):
    """A small network: the squares of 5 fixed linear functions of the pixels."""

    def __init__(self, batch: int, calls: int):
        self.batch, self.calls = batch, calls
        self.weights = np.random.default_rng(0).normal(size=(3 * 16 * 16, WIDTH))

    def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([((view.reshape(-1) / 255.0) @ self.weights) ** 2 for view in views]).astype(np.float32)


def row(label: str, number: int, split: str, raw: Path) -> Sample:
    path = draw_photo(raw, label, number)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Sample(path.relative_to(raw).as_posix(), label, split, sha256)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for label in ("discs", "squares"):
        (tmp_path / "raw" / label).mkdir(parents=True)
    return tmp_path / "raw"


def some_rows(raw: Path) -> list[Sample]:
    splits = ["train", "test", "train", "validation", "train", "validation"]
    rows = [
        row(label, number, split, raw) for label in ("discs", "squares") for number, split in enumerate(splits, start=2)
    ]
    return sorted(rows, key=lambda row: row.path)


def write(folder: Path, rows: list[Sample], views: int, store: FeatureStore) -> dict[str, bytes]:
    """Write the features from the store; the content of the files."""

    def read_rows(photos: Sequence[Sample], numbers: Sequence[int]) -> NDArray[np.float32]:
        keys = [RECIPE.name(photo.sha256, number) for photo in photos for number in numbers]
        return store.read(keys).reshape(len(photos), len(numbers), WIDTH)

    feature_files.write(folder, rows, views, WIDTH, read_rows)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def made(
    folder: Path, rows: list[Sample], views: int, store: FeatureStore, raw: Path, batch: int = 1
) -> dict[str, bytes]:
    """Compute what the store lacks, and write the features; the content of the files."""
    tasks = embeddings.missing(feature_files.wanted(rows, views), RECIPE, store)
    list(embeddings.compute(tasks, raw, RECIPE, Squares(batch, 2 if batch == 1 else 1), store, 2))
    return write(folder, rows, views, store)


def test_what_is_to_be_computed(tmp_path: Path) -> None:
    rows = [
        Sample("a/1.png", "a", "train", "11"),
        Sample("a/2.png", "a", "test", "22"),
        Sample("b/3.png", "b", "train", "33"),
        Sample("b/4.png", "b", "validation", "44"),
    ]
    store = FeatureStore(tmp_path, WIDTH)
    assert embeddings.missing(feature_files.wanted(rows, 2), RECIPE, store) == [
        Task(rows[0], [PLAIN, 0, 1]),
        Task(rows[1], [PLAIN]),
        Task(rows[2], [PLAIN, 0, 1]),
        Task(rows[3], [PLAIN]),
    ]
    have = [("11", PLAIN), ("11", 1), ("22", PLAIN), ("33", PLAIN), ("33", 0), ("33", 1)]
    store.add([RECIPE.name(sha256, number) for sha256, number in have], np.zeros((6, WIDTH), np.float32))
    assert embeddings.missing(feature_files.wanted(rows, 2), RECIPE, store) == [
        Task(rows[0], [0]),
        Task(rows[3], [PLAIN]),
    ]
    assert embeddings.missing(feature_files.wanted(rows, 3), RECIPE, store) == [
        Task(rows[0], [0, 2]),
        Task(rows[2], [2]),
        Task(rows[3], [PLAIN]),
    ]
    # A photo that moves to training lacks only its random views.
    moved = [replace(rows[1], split="train")]
    assert embeddings.missing(feature_files.wanted(moved, 2), RECIPE, store) == [Task(moved[0], [0, 1])]


def test_each_feature_is_the_networks_output_on_its_view(raw: Path, tmp_path: Path) -> None:
    rows = some_rows(raw)
    made(tmp_path / "features", rows, 2, FeatureStore(tmp_path / "store", WIDTH), raw)
    cached = feature_files.read(tmp_path / "features", rows)
    network = Squares(1, 1)
    training = [row for row in rows if row.split == "train"]
    assert cached.plain.shape == (12, WIDTH)
    assert cached.views.shape == (6, 2, WIDTH)
    for place, one in enumerate(rows):
        view = plain_view(open_photo(raw / one.path), RECIPE.preprocessing)
        assert np.array_equal(cached.plain[place], network(view[None])[0])
    for place, one in enumerate(training):
        photo = open_photo(raw / one.path)
        for number in (0, 1):
            view = RECIPE.plan(photo, one.sha256, [number]).views()[0]
            assert np.array_equal(cached.views[place, number], network(view[None])[0])


def test_growing_gives_the_bytes_of_a_fresh_run(raw: Path, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store", WIDTH)
    few = some_rows(raw)
    made(tmp_path / "grown", few, 1, store, raw)
    added = [row("discs", 0, "train", raw), row("squares", 20, "test", raw), row("squares", 21, "train", raw)]
    rows = sorted([*few, *added], key=lambda row: row.path)
    assert (
        sum(len(task.numbers) for task in embeddings.missing(feature_files.wanted(rows, 3), RECIPE, store))
        == 6 * 2 + 2 * 4 + 1
    )
    store = FeatureStore(tmp_path / "store", WIDTH)
    grown = made(tmp_path / "grown", rows, 3, store, raw)
    assert list(grown) == ["photos.csv", "plain.npy", "views.npy"]
    assert grown == made(tmp_path / "anew", rows, 3, FeatureStore(tmp_path / "other", WIDTH), raw)
    assert grown == made(tmp_path / "batches", rows, 3, FeatureStore(tmp_path / "third", WIDTH), raw, batch=4)
    # And back: nothing is computed, and the files are those of the first run.
    assert embeddings.missing(feature_files.wanted(few, 1), RECIPE, store) == []
    assert made(tmp_path / "back", few, 1, store, raw) == made(
        tmp_path / "first", few, 1, FeatureStore(tmp_path / "fourth", WIDTH), raw
    )


def test_growing_on_a_device_gives_the_bytes_of_a_fresh_run(raw: Path, tmp_path: Path) -> None:
    """PyTorch draws the views, and the batches are not the same."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, WIDTH)]
    network = embedder(Backbone("small", nn.Sequential(*layers), WIDTH, RECIPE.preprocessing), RECIPE.preprocessing)

    def written(folder: str, rows: list[Sample], store: FeatureStore) -> dict[str, bytes]:
        engine = TorchEngine(network, "cpu", batch=8, draws=True)
        tasks = embeddings.missing(feature_files.wanted(rows, 3), RECIPE, store)
        list(embeddings.compute(tasks, raw, RECIPE, engine, store, 2))
        return write(tmp_path / folder, rows, 3, store)

    few = some_rows(raw)
    rows = sorted([*few, row("discs", 0, "train", raw), row("squares", 20, "test", raw)], key=lambda row: row.path)
    growing = FeatureStore(tmp_path / "growing", WIDTH)
    written("few", few, growing)
    assert written("grown", rows, growing) == written("anew", rows, FeatureStore(tmp_path / "other", WIDTH))


def test_a_run_that_is_stopped_keeps_what_it_has(raw: Path, tmp_path: Path) -> None:
    rows, store = some_rows(raw), FeatureStore(tmp_path / "store", WIDTH)
    computing = embeddings.compute(
        embeddings.missing(feature_files.wanted(rows, 2), RECIPE, store), raw, RECIPE, Squares(1, 2), store, workers=2
    )
    assert [next(computing).photo for _ in range(4)] == rows[:4]
    computing.close()
    reopened = FeatureStore(tmp_path / "store", WIDTH)
    assert [task.photo for task in embeddings.missing(feature_files.wanted(rows, 2), RECIPE, reopened)] == rows[4:]


def test_other_augmentation_or_seed_reuses_only_the_plain_views(raw: Path, tmp_path: Path) -> None:
    rows, store = some_rows(raw), FeatureStore(tmp_path / "store", WIDTH)
    made(tmp_path / "features", rows, 2, store, raw)
    for other in (replace(RECIPE, seed=4), replace(RECIPE, augment=AUGMENT.model_copy(update={"rotation": 11}))):
        tasks = embeddings.missing(feature_files.wanted(rows, 2), other, store)
        assert [(task.photo.split, task.numbers) for task in tasks] == [("train", [0, 1])] * 6


def test_examples(raw: Path, tmp_path: Path) -> None:
    rows = some_rows(raw)
    made(tmp_path / "features", rows, 2, FeatureStore(tmp_path / "store", WIDTH), raw)
    cached = feature_files.read(tmp_path / "features", rows)
    train = feature_files.examples(cached, ["discs", "squares"], "train")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(train.features, cached.views)
    validation = feature_files.examples(cached, ["discs", "squares"], "validation")
    places = [place for place, row in enumerate(rows) if row.split == "validation"]
    assert validation.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(validation.rows(slice(None), 0), cached.plain[places])
    assert np.array_equal(validation.rows(np.array([3, 1]), 0), cached.plain[places][[3, 1]])


def test_without_random_views_the_head_trains_on_plain_ones(raw: Path, tmp_path: Path) -> None:
    rows = some_rows(raw)
    made(tmp_path / "features", rows, 0, FeatureStore(tmp_path / "store", WIDTH), raw)
    cached = feature_files.read(tmp_path / "features", rows)
    assert cached.views.shape == (6, 0, WIDTH)
    train = feature_files.examples(cached, ["discs", "squares"], "train")
    places = [place for place, row in enumerate(rows) if row.split == "train"]
    assert np.array_equal(train.rows(slice(None), 0), cached.plain[places])


def test_features_of_other_photos_or_another_split(raw: Path, tmp_path: Path) -> None:
    rows = some_rows(raw)
    made(tmp_path / "features", rows, 1, FeatureStore(tmp_path / "store", WIDTH), raw)
    others = {
        "one fewer": rows[1:],
        "another order": rows[::-1],
        "another split": [replace(rows[0], split="test" if rows[0].split == "train" else "train"), *rows[1:]],
        "other content": [replace(rows[0], sha256="0" * 64), *rows[1:]],
    }
    for other in others.values():
        with pytest.raises(UserError, match="belongs to other photos than data/splits"):
            feature_files.read(tmp_path / "features", other)
    with pytest.raises(UserError, match=r"photos\.csv does not exist"):
        feature_files.read(tmp_path / "nowhere", rows)


def test_damaged_features(raw: Path, tmp_path: Path) -> None:
    rows = some_rows(raw)
    made(tmp_path / "features", rows, 1, FeatureStore(tmp_path / "store", WIDTH), raw)
    folder = tmp_path / "features"
    whole = (folder / "plain.npy").read_bytes()
    for content in (b"", whole[:60], whole[:-1], b"noise" * 50):
        (folder / "plain.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"plain\.npy can't be read") as caught:
            feature_files.read(tmp_path / "features", rows)
        assert "\n" not in str(caught.value)
    np.save(folder / "plain.npy", np.zeros((11, WIDTH), np.float32))
    with pytest.raises(UserError, match=r"plain\.npy does not contain features of 12 photos"):
        feature_files.read(tmp_path / "features", rows)
    (folder / "plain.npy").write_bytes(whole)
    (folder / "views.npy").unlink()
    with pytest.raises(UserError, match=r"views\.npy can't be read"):
        feature_files.read(tmp_path / "features", rows)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_photo_that_was_damaged_since_the_filter(how: str, batch: int, raw: Path, tmp_path: Path) -> None:
    rows, store = some_rows(raw), FeatureStore(tmp_path / "store", WIDTH)
    photo = raw / rows[7].path
    if how == "cut":
        photo.write_bytes(photo.read_bytes()[:300])
    else:
        photo.unlink()
    with pytest.raises(UserError, match=photo.name) as caught:
        made(tmp_path / "features", rows, 2, store, raw, batch)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "features").exists()
