"""PyTorch draws exactly the same views as Pillow."""

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import test_views
import torch
from numpy.typing import NDArray
from PIL import Image

from boatyard.images import device_views
from boatyard.images.views import FLIPS, PLAIN, PhotoViews, Preprocessing, Recipe, ViewSpec
from boatyard.params.schema import Augment

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
# Square, wide, tall, tiny, over 100 times as tall as wide; larger than a view, smaller, and the same size.
SIZES = [(90, 90), (120, 41), (33, 70), (1, 1), (5, 3), (1, 240), (2, 230), (240, 2), (24, 24)]
NUMBERS = [PLAIN, 0, *FLIPS, 1, 2]


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise over a ramp: every level, hard edges, greys and colours."""
    pixels = np.random.default_rng([width, height, seed]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2] = np.linspace(0, 255, width, dtype=np.uint8)[:, None]
    return Image.fromarray(pixels)


def wanted(interpolation: str, size: int = 24, crop: float | Literal["squash"] = 0.875) -> Preprocessing:
    return Preprocessing(size, crop, interpolation, (0.5,) * 3, (0.5,) * 3)


def augment(**changes: object) -> Augment:
    """Crops of every kind, mirrored along each axis."""
    crops = {"scale": [0.1, 1.0], "aspect": [0.5, 2.0], "horizontal_flip": True, "vertical_flip": True}
    return test_views.augment(**(crops | changes))


def by_pillow(shots: Sequence[PhotoViews]) -> NDArray[np.uint8]:
    return np.concatenate([np.stack(shot.views()) for shot in shots])


def by_torch(shots: Sequence[PhotoViews]) -> NDArray[np.uint8]:
    pixels = [torch.from_numpy(np.array(shot.photo)) for shot in shots]
    drawn = device_views.draw(pixels, [shot.specs for shot in shots], shots[0].preprocessing, "cpu")
    assert drawn.is_contiguous(memory_format=torch.channels_last)
    views: NDArray[np.uint8] = drawn.numpy()
    return views


def shots(preprocessing: Preprocessing, settings: Augment) -> list[PhotoViews]:
    recipe = Recipe(preprocessing, settings, seed=0)
    return [recipe.plan(photo(*size), str(size), NUMBERS) for size in SIZES]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("rotation", [0, 180])
def test_crops_and_rotations(interpolation: str, rotation: float) -> None:
    taken = shots(wanted(interpolation), augment(rotation=rotation))
    assert np.array_equal(by_torch(taken), by_pillow(taken))


@pytest.mark.parametrize("rotation", [0, 30])
def test_photos_squashed_to_a_square(rotation: float) -> None:
    taken = shots(wanted("bicubic", crop="squash"), augment(rotation=rotation))
    assert np.array_equal(by_torch(taken), by_pillow(taken))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [16, 224])
def test_photos_of_common_sizes(interpolation: str, size: int) -> None:
    recipe = Recipe(wanted(interpolation, size), augment(scale=[0.6, 1.0], rotation=15), seed=1)
    taken = [recipe.plan(photo(width, height), "a", [PLAIN, 0]) for width, height in [(300, 200), (640, 480)]]
    assert np.array_equal(by_torch(taken), by_pillow(taken))


@pytest.mark.parametrize(
    "jitter",
    [
        {"brightness": 1.0},
        {"contrast": 1.0},
        {"saturation": 1.0},
        {"hue": 0.5},
        {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "rotation": 30},
    ],
)
def test_colours(jitter: dict[str, float]) -> None:
    taken = shots(wanted("bilinear", crop=1.0), augment(**jitter))
    assert np.array_equal(by_torch(taken), by_pillow(taken))


def test_colours_and_hue_shifts_of_every_kind() -> None:
    """64³ colours, with black, greys and white, in blocks that are shifted by as many hues."""
    levels = np.linspace(0, 255, 64).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), 3).reshape(512, 512, 3)
    pieces = [
        colours[row : row + 64, column : column + 64] for row in range(0, 512, 64) for column in range(0, 512, 64)
    ]
    turns = random.Random(0).sample(range(-128, 129), 64)
    box = (0.0, 0.0, 64.0, 64.0)
    taken = [
        PhotoViews(
            Image.fromarray(piece), [ViewSpec(box, 64, hue=turn), ViewSpec(box, 64, hue=0)], wanted("bilinear", 64)
        )
        for piece, turn in zip(pieces, turns, strict=True)
    ]
    expected = by_pillow(taken)
    assert np.array_equal(by_torch(taken), expected)
    assert (expected[1] != pieces[0].transpose(2, 0, 1)).any()  # 8-bit HSV loses levels, and so must device_views


def test_a_view_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = shots(wanted("bicubic"), augment(rotation=20, contrast=0.3, hue=0.2))
    together = by_torch(taken)
    assert np.array_equal(np.concatenate([by_torch([shot]) for shot in taken]), together)
    monkeypatch.setattr(device_views, "_BATCH_PIXELS", 1)  # one view per batch
    assert np.array_equal(by_torch(taken), together)


def test_a_photo_without_views_and_no_views_at_all() -> None:
    recipe = Recipe(wanted("bilinear"), augment(), seed=0)
    none, some = recipe.plan(photo(30, 20), "a", []), recipe.plan(photo(20, 30), "b", [PLAIN, 0])
    assert np.array_equal(by_torch([none, some, none]), by_pillow([some]))
    assert by_torch([none]).shape == (0, 3, 24, 24)
