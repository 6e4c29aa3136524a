import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torchvision.transforms.functional as F  # the reference
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from properties import examples
from torchvision.transforms import InterpolationMode

from boatyard.core.errors import UserError
from boatyard.images import views
from boatyard.images.decoding import open_photo
from boatyard.images.views import PLAIN, Preprocessing, Recipe, View, plain_view
from boatyard.params import schema

SHA256 = "5e" * 32
Crop = float | Literal["squash"]

# Sixteen colours in a square of 4 × 4, channels last.
COLOURS = (np.arange(48, dtype=np.uint8) * 5).reshape(4, 4, 3)


def preprocessing(size: int, crop: Crop = 1.0, interpolation: str = "nearest") -> Preprocessing:
    return Preprocessing(size, crop, interpolation, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def augment(**changes: Any) -> schema.Augment:
    """No augmentation except the given one."""
    nothing: dict[str, Any] = {
        "scale": [1.0, 1.0],
        "aspect": [1.0, 1.0],
        "rotation": 0.0,
        "horizontal_flip": False,
        "vertical_flip": False,
        "brightness": 0.0,
        "contrast": 0.0,
        "saturation": 0.0,
        "hue": 0.0,
    }
    return schema.Augment(**(nothing | changes))


def blocks(colours: NDArray[np.uint8], side: int) -> Image.Image:
    return Image.fromarray(colours.repeat(side, axis=0).repeat(side, axis=1))


def draw_view(width: int = 90, height: int = 60) -> Image.Image:
    """Smooth colours with a hard edge, computed in integers: the same pixels everywhere."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)
    return Image.fromarray(np.stack([red, np.where(x > y, green, 255 - green), blue], axis=2).astype(np.uint8))


def seen(photo: Image.Image, settings: schema.Augment, number: int = 0, size: int = 16, **changes: Any) -> View:
    options = {"sha256": SHA256, "seed": 0} | changes
    return random_view(photo, preprocessing(size), settings, number=number, **options)


def random_view(
    photo: Image.Image, wanted: Preprocessing, settings: schema.Augment, sha256: str, number: int, seed: int
) -> View:
    return Recipe(wanted, settings, seed).plan(photo, sha256, [number]).views()[0]


def mirrored(view: View) -> list[View]:
    """The view, mirrored left to right, mirrored top to bottom, and both."""
    return [view, view[:, :, ::-1], view[:, ::-1], view[:, ::-1, ::-1]]


# The plain view


def test_blocks_of_a_square_photo() -> None:
    view = plain_view(blocks(COLOURS, 4), preprocessing(4))
    assert (view.shape, view.dtype, view.flags.c_contiguous) == ((3, 4, 4), np.uint8, True)
    assert (view == COLOURS.transpose(2, 0, 1)).all()
    assert view[0, 0].tolist() == [0, 15, 30, 45]  # red, the top row from the left
    assert view[2, :, 3].tolist() == [55, 115, 175, 235]  # blue, the right column from the top


def test_the_centre_of_a_wide_and_of_a_tall_photo() -> None:
    wide = np.concatenate([COLOURS, 255 - COLOURS], axis=1)  # 8 × 4 blocks: the centre is columns 2 to 5
    assert (plain_view(blocks(wide, 4), preprocessing(4)) == wide[:, 2:6].transpose(2, 0, 1)).all()
    high = wide.swapaxes(0, 1).copy()
    assert (plain_view(blocks(high, 4), preprocessing(4)) == high[2:6].transpose(2, 0, 1)).all()


def test_crop_is_a_fraction_of_the_short_side() -> None:
    assert (plain_view(blocks(COLOURS, 4), preprocessing(2, crop=0.5)) == COLOURS[1:3, 1:3].transpose(2, 0, 1)).all()
    assert (
        plain_view(blocks(COLOURS, 4), preprocessing(8, crop=0.5))[:, ::4, ::4] == COLOURS[1:3, 1:3].transpose(2, 0, 1)
    ).all()


def test_squash_shows_all_of_a_photo_of_any_shape() -> None:
    wanted = preprocessing(4, "squash")
    wide, high = COLOURS.repeat(12, axis=1).repeat(4, axis=0), COLOURS.repeat(4, axis=1).repeat(12, axis=0)
    for pixels in (wide, high, COLOURS):
        photo = Image.fromarray(pixels)
        assert wanted.box(*photo.size) == (0, 0, *photo.size)
        assert (plain_view(photo, wanted) == COLOURS.transpose(2, 0, 1)).all()
    photo = draw_view(500, 333)
    for name in REFERENCE:
        resized = F.resize(photo, [64, 64], REFERENCE[name])
        assert (plain_view(photo, preprocessing(64, "squash", name)) == np.asarray(resized).transpose(2, 0, 1)).all()


def test_a_squashed_square_photo_is_its_uncropped_view() -> None:
    assert (
        plain_view(draw_view(90, 90), preprocessing(24, "squash")) == plain_view(draw_view(90, 90), preprocessing(24))
    ).all()


REFERENCE = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}


@pytest.mark.parametrize("interpolation", REFERENCE)
@pytest.mark.parametrize(("size", "crop"), [(224, 224 / 256), (64, 1.0), (96, 0.95)])
@pytest.mark.parametrize("photo_size", [(300, 300), (500, 333), (240, 410), (70, 64)])
def test_the_plain_view_is_torchvisions_resize_and_centre_crop(
    interpolation: str, size: int, crop: float, photo_size: tuple[int, int]
) -> None:
    photo = draw_view(*photo_size)
    ours = plain_view(photo, preprocessing(size, crop, interpolation)).astype(int)
    resized = F.resize(photo, round(size / crop), REFERENCE[interpolation])
    reference = np.asarray(F.center_crop(resized, [size, size])).transpose(2, 0, 1).astype(int)
    # torchvision rounds to whole pixels in between, so the hard edge may be half a pixel off.
    difference = abs(ours - reference)
    assert difference.mean() < 1.6
    assert np.median(difference) <= 1
    assert np.quantile(difference, 0.95) <= 4


def test_settings_of_params_yaml_replace_the_backbones() -> None:
    backbones = preprocessing(224, 0.875, "bicubic")
    assert backbones.adapted(schema.Image(size="backbone", crop="backbone")) == backbones
    assert backbones.adapted(schema.Image(size=300, crop="backbone")) == replace(backbones, size=300)
    assert backbones.adapted(schema.Image(size="backbone", crop=1.0)) == replace(backbones, crop=1.0)
    assert backbones.adapted(schema.Image(size="backbone", crop="squash")) == replace(backbones, crop="squash")


# Random views: a pure function


def test_a_view_depends_only_on_its_arguments() -> None:
    photo = draw_view()
    everything = augment(
        scale=[0.3, 1.0],
        aspect=[0.5, 2.0],
        rotation=20.0,
        horizontal_flip=True,
        vertical_flip=True,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.1,
    )
    view = seen(photo, everything)
    np.random.seed(7)
    assert (view == seen(photo.copy(), everything)).all()
    assert (view.shape, view.dtype, view.flags.c_contiguous) == ((3, 16, 16), np.uint8, True)
    others = [
        seen(photo, everything, number=1),
        seen(photo, everything, seed=1),
        seen(photo, everything, sha256="5f" * 32),
        seen(photo, everything, number=views.FIRST_TTA_VIEW),
    ]
    for place, other in enumerate(others):
        assert (other != view).mean() > 0.5
        assert all((other != later).mean() > 0.5 for later in others[place + 1 :])


def test_known_views() -> None:
    photo = draw_view()
    flipped = seen(photo, augment(scale=[0.5, 0.9], horizontal_flip=True, vertical_flip=True), number=3, size=4)
    # The box is 54.5 pixels wide and high from (16.7, 1.7); its columns 23, 37, 50, 64 and rows 8, 22, 35, 49 are seen,
    # mirrored left to right: red is column · 255 // 90.
    assert flipped[0].tolist() == [[181, 141, 104, 65]] * 4
    assert flipped[1].tolist() == [[34, 34, 34, 34], [93, 93, 93, 93], [148, 148, 148, 107], [208, 208, 47, 47]]
    assert flipped[2].tolist() == [[122, 98, 76, 52], [146, 122, 100, 76], [168, 144, 122, 98], [192, 168, 146, 122]]
    jittered = random_view(
        photo,
        preprocessing(32, 0.875, "bilinear"),
        augment(scale=[0.5, 1.0], aspect=[0.75, 1.3333], rotation=15.0, brightness=0.2, contrast=0.2, saturation=0.2),
        SHA256,
        number=2,
        seed=11,
    )
    assert jittered[:, 16, 16].tolist() == [99, 131, 112]
    assert jittered[:, 4, 20].tolist() == [117, 55, 92]
    assert hashlib.sha256(jittered.tobytes()).hexdigest() == (
        "d436633310d9a3c4ff8d40842bc7048dec58613e08529a534bc615f57aed754a"
    )


def test_without_augmentation_a_random_view_is_the_plain_view() -> None:
    photo = draw_view(64, 64)
    for crop in (1.0, 0.875, 0.5):
        for interpolation in ("nearest", "bilinear", "bicubic"):
            wanted = preprocessing(24, crop, interpolation)
            for number in range(3):
                assert (random_view(photo, wanted, augment(), SHA256, number, 0) == plain_view(photo, wanted)).all()


@pytest.mark.parametrize("photo_size", [(64, 64), (131, 40), (40, 131)])
def test_without_augmentation_a_squashed_view_shows_the_whole_photo(photo_size: tuple[int, int]) -> None:
    photo, wanted = draw_view(*photo_size), preprocessing(24, "squash", "bicubic")
    for number in range(3):
        assert (random_view(photo, wanted, augment(), SHA256, number, 0) == plain_view(photo, wanted)).all()


def test_training_and_testing_use_different_view_numbers() -> None:
    most = schema.Features.model_fields["views"].metadata
    assert max(bound.le for bound in most if hasattr(bound, "le")) < views.FIRST_TTA_VIEW
    assert PLAIN < 0


def test_changing_one_setting_does_not_change_the_other_draws() -> None:
    photo = draw_view()
    cropped = augment(scale=[0.3, 0.8], aspect=[0.7, 1.4])
    for number in range(12):
        plain = seen(photo, cropped, number)
        flipped = seen(photo, cropped.model_copy(update={"horizontal_flip": True, "vertical_flip": True}), number)
        assert any((flipped == one).all() for one in mirrored(plain))
        darker = seen(photo, cropped.model_copy(update={"brightness": 0.5}), number).astype(float)
        sure = (plain > 60) & (darker < 255)
        factors = darker[sure] / plain[sure]
        assert np.ptp(factors) < 0.03  # one factor for all pixels, up to rounding


# Flips


def test_half_of_the_views_are_flipped_along_each_axis() -> None:
    photo = blocks(COLOURS, 1)
    found = [0, 0, 0, 0]
    both_ways = augment(horizontal_flip=True, vertical_flip=True)
    for number in range(800):
        view = seen(photo, both_ways, number, size=4)
        [which] = [place for place, one in enumerate(mirrored(COLOURS.transpose(2, 0, 1))) if (one == view).all()]
        found[which] += 1
    assert sum(found) == 800
    # 200 each, and five standard deviations.
    assert all(abs(count - 200) < 5 * math.sqrt(800 * 0.25 * 0.75) for count in found)


@pytest.mark.parametrize(("horizontal", "vertical", "allowed"), [(0, 0, {0}), (1, 0, {0, 1}), (0, 1, {0, 2})])
def test_only_allowed_flips(horizontal: int, vertical: int, allowed: set[int]) -> None:
    photo = blocks(COLOURS, 1)
    settings = augment(horizontal_flip=bool(horizontal), vertical_flip=bool(vertical))
    found = set()
    for number in range(40):
        view = seen(photo, settings, number, size=4)
        found |= {place for place, one in enumerate(mirrored(COLOURS.transpose(2, 0, 1))) if (one == view).all()}
    assert found == allowed


# The crop


class Camera:
    """A stand-in for a photo that records the box that is cropped."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height, self.size = width, height, (width, height)
        self.box = (0.0, 0.0, 0.0, 0.0)

    def resize(self, size: tuple[int, int], _: object, box: tuple[float, float, float, float]) -> Image.Image:
        self.box = box
        return Image.new("RGB", size)


def box_of(width: int, height: int, settings: schema.Augment, number: int, crop: Crop = 1.0) -> tuple[float, ...]:
    camera = Camera(width, height)
    random_view(camera, preprocessing(8, crop), settings, SHA256, number, 0)  # type: ignore[arg-type]
    return camera.box


def test_area_aspect_and_position_cover_their_ranges() -> None:
    settings = augment(scale=[0.2, 0.4], aspect=[0.5, 2.0])
    boxes = np.array([box_of(200, 200, settings, number) for number in range(400)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, aspect = width * height / 40_000, width / height
    assert 0.2 - 1e-9 <= area.min() < 0.205
    assert 0.395 < area.max() <= 0.4 + 1e-9
    assert 0.5 - 1e-9 <= aspect.min() < 0.51
    assert 1.96 < aspect.max() <= 2 + 1e-9
    assert abs(np.median(aspect) - 1) < 0.15  # wide as often as tall
    for low, extent in ((boxes[:, 0], width), (boxes[:, 1], height)):
        place = low / (200 - extent)
        assert 0 <= place.min() < 0.02
        assert 0.98 < place.max() <= 1
        assert abs(place.mean() - 0.5) < 0.08


def test_a_crop_that_does_not_fit_is_scaled_down_with_its_aspect() -> None:
    for number in range(5):
        left, top, right, bottom = box_of(200, 50, augment(), number)
        assert (top, bottom) == (0, 50)
        assert right - left == pytest.approx(50)  # a square of √(200 · 50) would not fit
        left, top, right, bottom = box_of(50, 200, augment(scale=[0.25, 0.25], aspect=[4.0, 4.0]), number)
        assert (left, right) == (0, 50)
        assert bottom - top == pytest.approx(12.5)  # 100 × 25, a quarter of the photo, would not fit


def test_a_random_view_has_the_central_crop_of_the_plain_view() -> None:
    settings = augment(scale=[0.25, 0.25])
    whole, middle = box_of(200, 200, settings, 3), box_of(200, 200, settings, 3, crop=0.8)
    assert [inner - outer for inner, outer in zip(middle, whole, strict=True)] == pytest.approx([10, 10, -10, -10])


def test_squashed_crops_vary_around_the_photos_own_aspect() -> None:
    settings = augment(scale=[0.2, 0.4], aspect=[0.5, 2.0])
    boxes = np.array([box_of(400, 100, settings, number, "squash") for number in range(400)])
    width, height = (boxes[:, 2] - boxes[:, 0]) / 400, (boxes[:, 3] - boxes[:, 1]) / 100
    area, factor = width * height, width / height
    assert 0.2 - 1e-9 <= area.min() < 0.205  # nothing is cropped
    assert 0.395 < area.max() <= 0.4 + 1e-9
    assert 0.5 - 1e-9 <= factor.min() < 0.51
    assert 1.96 < factor.max() <= 2 + 1e-9
    assert abs(np.median(factor) - 1) < 0.15
    # The same draws as for a square photo, stretched.
    square = np.array([box_of(100, 100, settings, number, "squash") for number in range(400)])
    assert boxes == pytest.approx(square * (4, 1, 4, 1))
    assert square == pytest.approx(np.array([box_of(100, 100, settings, number) for number in range(400)]))


def test_a_squashed_photo_is_rotated_whole() -> None:
    turned = random_view(
        Image.new("RGB", (130, 40), "white"), preprocessing(40, "squash"), augment(rotation=45.0), SHA256, 0, 0
    )
    assert turned[:, 20, :].min() == turned[:, :, 20].min() == 255  # edge to edge, so the square was not enlarged
    assert turned[:, 0, 0].max() == 0


@examples(150)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.tuples(st.floats(1e-9, 1), st.floats(1e-9, 1)).map(sorted),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
    st.floats(0, 180),
    st.floats(0.5, 1) | st.just("squash"),
    st.integers(0, 10**6),
)
def test_the_box_never_leaves_the_photo(
    width: int, height: int, scale: list[float], aspect: list[float], rotation: float, crop: Crop, number: int
) -> None:
    settings = augment(scale=scale, aspect=aspect, rotation=rotation)
    left, top, right, bottom = box_of(width, height, settings, number, crop)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@pytest.mark.parametrize("photo_size", [(1, 1), (1, 2000), (2000, 1), (2, 3)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("crop", [0.875, "squash"])
def test_tiny_and_thin_photos(photo_size: tuple[int, int], interpolation: str, crop: Crop) -> None:
    photo = Image.new("RGB", photo_size, (10, 100, 200))
    wanted = preprocessing(16, crop, interpolation)
    flat = np.broadcast_to(np.array([10, 100, 200]).reshape(3, 1, 1), (3, 16, 16))
    assert (plain_view(photo, wanted) == flat).all()
    for number in range(4):
        settings = augment(scale=[0.01, 1.0], aspect=[0.1, 10.0])
        assert (random_view(photo, wanted, settings, SHA256, number, 0) == flat).all()
        turned = random_view(photo, wanted, augment(rotation=5.0), SHA256, number, 0)
        assert (turned[:, 8, 8] == (10, 100, 200)).all()


# Rotation


def marked(x: int, y: int) -> Image.Image:
    """Black, 65 × 65, with a white square of 5 × 5 around (x, y)."""
    pixels = np.zeros((65, 65, 3), np.uint8)
    pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
    return Image.fromarray(pixels)


def mark_of(image: NDArray[np.uint8]) -> tuple[float, float]:
    """The position of the white square relative to the centre, x to the right and y down."""
    weight = image.astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] - (weight.shape[0] - 1) / 2
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


def test_rotation_is_clockwise_about_the_centre() -> None:
    for degrees, x, y in [(0, 20, 0), (90, 0, 20), (180, -20, 0), (-90, 0, -20), (45, 14.14, 14.14)]:
        turned = np.asarray(views._rotate(marked(52, 32), degrees, 65))[..., 0]
        assert mark_of(turned) == pytest.approx((x, y), abs=0.05)
    turned = np.asarray(views._rotate(draw_view(65, 65), 90, 65)).astype(int)
    assert abs(turned - np.rot90(np.asarray(draw_view(65, 65)), -1)).max() <= 1
    # A smaller view is the central part, at the same scale.
    assert mark_of(np.asarray(views._rotate(marked(42, 32), 90, 31))[..., 0]) == pytest.approx((0, 10), abs=0.05)


def test_random_rotations_cover_their_range_in_both_directions() -> None:
    degrees = []
    for number in range(150):
        x, y = mark_of(seen(marked(52, 32), augment(rotation=30.0), number, size=65)[0])
        assert math.hypot(x, y) == pytest.approx(20, abs=0.2)
        degrees.append(math.degrees(math.atan2(y, x)))
    assert -30.2 < min(degrees) < -28
    assert 28 < max(degrees) < 30.2
    assert abs(np.mean(degrees)) < 5


def test_pixels_from_outside_are_black() -> None:
    white = Image.new("RGB", (40, 40), "white")
    turned = np.asarray(views._rotate(white, 45, 40))
    assert turned[0, 0].tolist() == turned[39, 0].tolist() == [0, 0, 0]
    assert turned[20, 20].tolist() == [255, 255, 255]


# Colours


def flat(*colour: int) -> Image.Image:
    return Image.new("RGB", (8, 8), colour)


def colours(photo: Image.Image, settings: schema.Augment, count: int = 200) -> NDArray[np.int64]:
    """The colour of a flat photo in each of its views, [count, 3]."""
    found = []
    for number in range(count):
        view = seen(photo, settings, number, size=2)
        assert (view == view[:, :1, :1]).all()
        found.append(view[:, 0, 0])
    return np.array(found, np.int64)


def test_brightness_is_a_factor() -> None:
    found = colours(flat(100, 50, 10), augment(brightness=0.4))
    factor = found[:, 0] / 100
    assert 0.6 <= factor.min() < 0.62
    assert 1.38 < factor.max() <= 1.4
    assert abs(factor.mean() - 1) < 0.06
    assert abs(found[:, 1] - found[:, 0] / 2).max() <= 1
    assert abs(found[:, 2] - found[:, 0] / 10).max() <= 1
    assert colours(flat(200, 200, 200), augment(brightness=1.0)).max() == 255  # clipped, not wrapped around


def test_contrast_is_about_the_mean() -> None:
    assert (colours(flat(90, 90, 90), augment(contrast=0.9)) == 90).all()
    halves = Image.fromarray(np.array([[60, 60, 140, 140]] * 4, np.uint8)).convert("RGB")
    found = np.array([seen(halves, augment(contrast=0.5), number, size=4)[0, 0] for number in range(200)], int)
    assert abs(found[:, 0] + found[:, 3] - 200).max() <= 2  # as far below the mean as above
    spread = (found[:, 3] - found[:, 0]) / 80
    assert 0.5 <= spread.min() < 0.54
    assert 1.46 < spread.max() <= 1.51


def test_saturation_is_about_grey() -> None:
    assert (colours(flat(90, 90, 90), augment(saturation=1.0)) == 90).all()
    found = colours(flat(200, 100, 100), augment(saturation=0.5))
    grey = 130  # ITU-R 601: 0.299 · 200 + 0.587 · 100 + 0.114 · 100 = 129.9
    factor = (found[:, 0] - grey) / (200 - grey)
    assert 0.48 <= factor.min() < 0.54
    assert 1.46 < factor.max() <= 1.52
    assert (found[:, 1] == found[:, 2]).all()


def test_hue_shifts_colours_and_does_not_change_grey() -> None:
    for level in (0, 1, 90, 254, 255):
        assert (colours(flat(level, level, level), augment(hue=0.5), 30) == level).all()
    found = colours(flat(255, 0, 0), augment(hue=0.1))
    assert (found[:, 0] == 255).all()  # a tenth of the circle in both directions: red stays the strongest
    assert (found[:, 1:].min(axis=1) == 0).all()  # and saturation does not change
    towards_yellow, towards_magenta = found[:, 1], found[:, 2]  # 0.1 of the circle is 0.6 of the way
    assert 135 < towards_yellow.max() <= 0.6 * 255 + 6
    assert 135 < towards_magenta.max() <= 0.6 * 255 + 6
    found = colours(flat(255, 0, 0), augment(hue=0.5))
    assert (found.max(axis=1) == 255).all()
    assert all((found[:, channel] == 255).mean() > 0.25 for channel in range(3))  # all around the circle


# From a file


def test_a_recipe_opens_a_photo_once_and_draws_its_views(tmp_path: Path) -> None:
    draw_view().save(tmp_path / "x.png")
    settings = augment(scale=[0.5, 0.8])
    recipe = Recipe(preprocessing(12), settings, seed=5)
    plain, first, third = recipe.open(tmp_path / "x.png", SHA256, [PLAIN, 0, 2]).views()
    assert (plain == plain_view(draw_view(), preprocessing(12))).all()
    assert (first == random_view(draw_view(), preprocessing(12), settings, SHA256, 0, 5)).all()
    assert (third == random_view(draw_view(), preprocessing(12), settings, SHA256, 2, 5)).all()
    with pytest.raises(UserError, match=r"y\.png passed the filter but can't be opened now"):
        recipe.open(tmp_path / "y.png", SHA256, [PLAIN]).views()


def test_a_large_jpeg_is_decoded_no_larger_than_a_view_needs(tmp_path: Path) -> None:
    large, path = draw_view(1200, 800), tmp_path / "x.jpg"
    large.save(path, quality=95)
    wanted = preprocessing(80, crop=0.875, interpolation="bicubic")
    recipe = Recipe(wanted, augment(scale=[0.1, 0.1]), seed=5)
    with Image.open(path) as file:
        whole = file.convert("RGB")
    assert open_photo(path, wanted.short_side).size == (600, 400)

    found = recipe.open(path, SHA256, [PLAIN, 0, 1]).views()

    expected = recipe.plan(whole, SHA256, [PLAIN, 0, 1]).views()
    differences = np.abs(np.stack(found).astype(int) - np.stack(expected))
    assert differences.any()
    assert differences.mean() < 0.5


def test_mirrored_views_are_flips_of_the_plain_view() -> None:
    recipe = Recipe(preprocessing(12), augment(), seed=5)
    plain = plain_view(draw_view(), preprocessing(12))
    found = recipe.plan(draw_view(), SHA256, [views.HORIZONTAL, PLAIN, views.VERTICAL, views.BOTH]).views()
    for view, expected in zip(found, [plain[:, :, ::-1], plain, plain[:, ::-1], plain[:, ::-1, ::-1]], strict=True):
        assert (view == expected).all()
    assert len({recipe.name(SHA256, number) for number in (PLAIN, *views.FLIPS, 0)}) == 5


def test_only_identical_views_share_a_name() -> None:
    recipe = Recipe(preprocessing(12), augment(scale=[0.5, 0.8]), seed=5)
    others = [replace(recipe, seed=6), replace(recipe, augment=augment(scale=[0.5, 0.81]))]
    assert {one.name(SHA256, PLAIN) for one in [recipe, *others]} == {f"{SHA256} plain"}
    names = [one.name(SHA256, number) for one in [recipe, *others] for number in (0, 1, 10)]
    assert len({*names, recipe.name("00", 0)}) == 10
    assert recipe.name(SHA256, 0) == Recipe(preprocessing(12), augment(scale=[0.5, 0.8]), seed=5).name(SHA256, 0)
