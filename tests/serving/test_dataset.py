"""`boatyard.dataset`: the pipeline's views, with other random ones in each epoch, also from a DataLoader's workers."""

import pickle
import subprocess
import sys
from pathlib import Path

import drawn_photos
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate

import boatyard
from boatyard import params
from boatyard.core import paths, tables
from boatyard.core.errors import UserError
from boatyard.core.files import sha256_of
from boatyard.core.splits import Sample
from boatyard.images.decoding import open_photo
from boatyard.images.views import FIRST_TTA_VIEW, Recipe, plain_view
from boatyard.models import frozen_backbone
from boatyard.serving.dataset import PhotoDataset

REPOSITORY = Path(__file__).parents[2]
SPLITS = ["train", "train", "train", "validation", "test"]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backbones")


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, backbones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five photos of each of two classes in data/raw, and what the stages filter and split write of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "BACKBONES", backbones)  # built once for all tests
    preset = (REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8")
    for old, new in [("size: 300", "size: 32"), ("scale: [1.0, 1.0]", "scale: [0.3, 0.9]")]:
        assert old in preset
        preset = preset.replace(old, new)
    paths.PARAMS.write_text(preset, encoding="utf-8")
    rows = []
    for label in ("squares", "discs"):
        (paths.RAW / label).mkdir(parents=True)
        for number, split in enumerate(SPLITS):
            photo = drawn_photos.draw_photo(paths.RAW, label, number)
            rows.append(Sample(photo.relative_to(paths.RAW).as_posix(), label, split, sha256_of(photo)))
    tables.write_rows(paths.SPLITS, Sample, rows)


def recipe() -> Recipe:
    settings = params.read(paths.PARAMS)
    _, preprocessing = frozen_backbone.published(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    return Recipe(preprocessing, settings.augment, settings.seed)


def views_of(dataset: PhotoDataset) -> list[torch.Tensor]:
    return [view for view, _ in dataset]


def same(some: list[torch.Tensor], others: list[torch.Tensor]) -> list[bool]:
    return [torch.equal(one, other) for one, other in zip(some, others, strict=True)]


def test_a_split_has_the_attributes_of_an_image_folder() -> None:
    dataset = boatyard.dataset("train")

    assert dataset.classes == ["discs", "squares"]
    assert dataset.class_to_idx == {"discs": 0, "squares": 1}
    assert dataset.targets == [1, 1, 1, 0, 0, 0]
    assert [path.parent.name for path in dataset.paths] == ["squares"] * 3 + ["discs"] * 3
    assert all(path.is_file() for path in dataset.paths)
    assert [target for _, target in dataset] == dataset.targets
    assert [len(boatyard.dataset(split)) for split in ("train", "validation", "test")] == [6, 2, 2]


def test_plain_views_are_those_of_the_pipeline_normalised_as_by_the_network() -> None:
    preprocessing = recipe().preprocessing
    stored = boatyard.dataset("test", uint8=True)
    normalised = boatyard.dataset("test")

    for index, path in enumerate(stored.paths):
        expected = plain_view(open_photo(path), preprocessing)
        view, _ = stored[index]
        assert view.dtype == torch.uint8
        assert np.array_equal(view, expected)
        image, _ = normalised[index]
        assert (image.dtype, image.shape) == (torch.float32, (3, 32, 32))
        mean, std = (np.reshape(values, (3, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
        assert np.allclose(image, (expected / 255 - mean) / std, atol=1e-5)


def test_the_backbone_sees_the_same_numbers_as_in_the_pipeline() -> None:
    settings = params.read(paths.PARAMS)
    backbone, _ = frozen_backbone.published(
        settings.model, settings.image, settings.seed, paths.WEIGHTS, paths.BACKBONES
    )
    embedder = backbone.build()
    views, images = (default_collate(views_of(boatyard.dataset("test", uint8=uint8))) for uint8 in (True, False))

    with torch.inference_mode():
        assert torch.equal(embedder.backbone(images), embedder(views))


def test_an_epoch_shows_the_random_view_with_its_number() -> None:
    dataset = boatyard.dataset("train", views="random", uint8=True)
    drawn = recipe()
    for epoch in (0, 7):
        dataset.set_epoch(epoch)
        for (view, _), path in zip(dataset, dataset.paths, strict=True):
            (expected,) = drawn.open(path, sha256_of(path), [epoch]).views()
            assert np.array_equal(view, expected)


def test_without_epochs_every_pass_has_other_views_which_a_seed_repeats() -> None:
    dataset = boatyard.dataset("train", views="random")
    torch.manual_seed(0)
    first, second = views_of(dataset), views_of(dataset)
    torch.manual_seed(0)

    assert not any(same(first, second))
    assert all(same(first, views_of(dataset)))


@pytest.mark.parametrize("persistent", [False, True])
def test_a_loaders_workers_show_other_views_in_each_epoch(persistent: bool) -> None:
    dataset = boatyard.dataset("train", views="random")
    loader = DataLoader(dataset, batch_size=1, num_workers=2, persistent_workers=persistent)

    first, second = ([view for view, _ in loader] for _ in range(2))
    assert not any(same(first, second))

    for epoch in (3, 4, 3):
        dataset.set_epoch(epoch)
        assert all(same([view[0] for view, _ in loader], views_of(dataset)))


def test_it_can_be_pickled() -> None:
    dataset = boatyard.dataset("train", views="random")
    dataset.set_epoch(5)

    copy = pickle.loads(pickle.dumps(dataset))

    assert all(same(views_of(copy), views_of(dataset)))


def test_what_is_missing_or_misspelt_is_one_line() -> None:
    with pytest.raises(ValueError, match="split must be one of train, validation, test, not 'val'"):
        boatyard.dataset("val")
    with pytest.raises(ValueError, match="views must be plain or random, not 'augmented'"):
        boatyard.dataset("train", views="augmented")  # type: ignore[arg-type]
    for epoch in (-1, FIRST_TTA_VIEW):
        with pytest.raises(ValueError, match=f"epoch must be from 0 to 999999, not {epoch}"):
            boatyard.dataset("train").set_epoch(epoch)
    first = boatyard.dataset("train").paths[0]
    first.unlink()
    with pytest.raises(UserError, match=rf"{first.name} passed the filter but can't be opened now"):
        boatyard.dataset("train")[0]
    paths.RAW.rename("elsewhere")
    with pytest.raises(UserError, match=r"data/raw does not exist: run `dvc repro download`, or `dvc pull`"):
        boatyard.dataset("train")
    paths.SPLITS.unlink()
    with pytest.raises(UserError, match=r"data/splits\.csv does not exist: run `dvc repro` to make it"):
        boatyard.dataset("train")
    paths.PARAMS.unlink()
    with pytest.raises(UserError, match=r"params\.yaml does not exist: run from the repository's root"):
        boatyard.dataset("train")


def test_importing_boatyard_imports_no_library() -> None:
    script = "import sys, boatyard; boatyard.__all__; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
