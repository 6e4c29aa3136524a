"""Views of photos, the network's inputs: the plain view, and random views that are a pure function of a key."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageEnhance
from PIL.Image import Image as Photo

from boatyard.images.decoding import open_checked

if TYPE_CHECKING:
    from boatyard.params.schema import Augment, Image

View = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom: pixels from the photo's upper left corner

RESAMPLING = {
    "nearest": Pillow.Resampling.NEAREST,
    "bilinear": Pillow.Resampling.BILINEAR,
    "bicubic": Pillow.Resampling.BICUBIC,
    "lanczos": Pillow.Resampling.LANCZOS,
}

PLAIN = -1  # the number of the plain view
# Its mirror images: the number of each, and the axes of [..., height, width] for np.flip.
HORIZONTAL, VERTICAL, BOTH = -2, -3, -4
FLIPS: Mapping[int, tuple[int, ...]] = {HORIZONTAL: (-1,), VERTICAL: (-2,), BOTH: (-2, -1)}
# Training uses view numbers from 0; test-time augmentation uses its own, so that no test view is trained on.
FIRST_TTA_VIEW = 1_000_000
_OVERSAMPLING = 4


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing that a backbone expects."""

    size: int  # side of the square view, pixels
    # The plain view's side as a fraction of the photo's short side; 'squash': the whole photo, resized to a square
    # without keeping its aspect.
    crop: float | Literal["squash"]
    interpolation: str  # one of `RESAMPLING`
    # Per channel R, G, B, of values in [0, 1]. The network applies them; views are uint8.
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a view: channels, height, width."""
        return 3, self.size, self.size

    @property
    def short_side(self) -> int:
        """The short side, in pixels, that a photo needs for `open_photo`: four times that of the plain view.

        A view of a photo decoded at this size hardly differs from one of the whole photo (docs/performance.md, large
        photos). A random view of at least a sixteenth of its area is not upsampled; a smaller one is, and blurred.
        """
        return math.ceil(_OVERSAMPLING * self.size / (1 if self.crop == "squash" else self.crop))

    def box(self, width: int, height: int) -> Box:
        """The part of a photo of this size that the plain view shows: the central square, or the whole photo."""
        if self.crop == "squash":
            return 0, 0, width, height
        side = self.crop * min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def adapted(self, image: "Image") -> "Preprocessing":
        """A copy with the size and crop of params.yaml, unless these are `backbone`."""
        return replace(
            self,
            size=self.size if image.size == "backbone" else image.size,
            crop=self.crop if image.crop == "backbone" else image.crop,
        )


@dataclass(frozen=True)
class ViewSpec:
    """The parameters of a view, with all random draws made; drawing it is arithmetic on the photo's pixels."""

    box: Box  # the part of the photo to crop
    side: int  # of the square that the crop is resized to, pixels
    # Degrees by which the square is rotated clockwise about its centre. The view is then its central part; pixels from
    # outside are black. At 0 the view is the whole square.
    angle: float = 0.0
    brightness: float = 1.0  # a factor, as the next two
    contrast: float = 1.0
    saturation: float = 1.0
    hue: int | None = None  # shift in 256ths of the colour circle; None leaves colours unchanged
    flips: tuple[int, ...] = ()  # axes of [3, height, width] that are mirrored at the end


def plain_view(photo: Photo, preprocessing: Preprocessing) -> View:
    """The part of an RGB photo that `Preprocessing.box` gives, resized in one step: uint8 [3, size, size]."""
    return plain_views(photo, preprocessing).views()[0]


def plain_views(photo: Photo, preprocessing: Preprocessing) -> "PhotoViews":
    """The plain view of an RGB photo, not yet drawn."""
    return PhotoViews(photo, [plain_spec(photo.width, photo.height, preprocessing)], preprocessing)


def plain_spec(width: int, height: int, preprocessing: Preprocessing) -> ViewSpec:
    """The plain view of a photo of this size."""
    return ViewSpec(_inside(preprocessing.box(width, height), width, height), preprocessing.size)


def draw_view(photo: Photo, spec: ViewSpec, preprocessing: Preprocessing) -> View:
    """Draw a view of an RGB photo with Pillow: uint8 [3, size, size]."""
    image = photo.resize((spec.side, spec.side), RESAMPLING[preprocessing.interpolation], box=spec.box)
    if spec.angle:
        image = _rotate(image, spec.angle, preprocessing.size)
    view = np.asarray(_jitter(image, spec)).transpose(2, 0, 1)
    return np.ascontiguousarray(np.flip(view, spec.flips))


@dataclass(frozen=True)
class PhotoViews:
    """A decoded RGB photo and the views to draw of it.

    `views` draws them with Pillow; `boatyard.images.device_views` draws the same on a GPU.
    """

    photo: Photo
    specs: list[ViewSpec]
    preprocessing: Preprocessing

    def views(self) -> list[View]:
        """Each view, uint8 [3, size, size]; views that differ only in their flips are drawn once."""
        upright: dict[ViewSpec, View] = {}
        for spec in (replace(spec, flips=()) for spec in self.specs):
            if spec not in upright:
                upright[spec] = draw_view(self.photo, spec, self.preprocessing)
        return [np.ascontiguousarray(np.flip(upright[replace(spec, flips=())], spec.flips)) for spec in self.specs]


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the views of a photo."""

    preprocessing: Preprocessing
    augment: "Augment"
    seed: int

    def name(self, sha256: str, number: int) -> str:
        """A name that two views share only if they are identical, given the same preprocessing."""
        if number == PLAIN:
            return f"{sha256} plain"
        if number in FLIPS:
            return f"{sha256} plain flipped {' '.join(map(str, FLIPS[number]))}"
        settings = hashlib.blake2b(f"{self.augment!r} {self.seed}".encode(), digest_size=8).hexdigest()
        return f"{sha256} {number} {settings}"

    def open(self, path: Path, sha256: str, numbers: Sequence[int]) -> PhotoViews:
        """`plan` for a photo in a file; a `UserError` if it can't be opened."""
        return self.plan(open_checked(path, self.preprocessing.short_side), sha256, numbers)

    def plan(self, photo: Photo, sha256: str, numbers: Sequence[int]) -> PhotoViews:
        """The views of an RGB photo with these numbers, not yet drawn: random ones from 0; `PLAIN`; those of `FLIPS`.

        A view is the same for the same photo, number and recipe on any machine.
        """
        plain = plain_spec(photo.width, photo.height, self.preprocessing)

        def spec(number: int) -> ViewSpec:
            if number < 0:
                return replace(plain, flips=FLIPS.get(number, ()))
            return self._random(photo.width, photo.height, f"{self.seed} {sha256} {number}")

        return PhotoViews(photo, list(map(spec, numbers)), self.preprocessing)

    def _random(self, photo_width: int, photo_height: int, key: str) -> ViewSpec:
        """The random view of a photo of this size.

        A crop with the area and aspect of `augment` (Szegedy et al. 2015; the area is a fraction of the photo's) is
        resized, rotated about its centre, cropped to its central part as the plain view is, mirrored, and
        colour-jittered. A crop that does not fit into the photo is scaled down, with the same aspect. If the plain view
        is the whole photo resized to a square, the aspect of `augment` is a factor on the photo's own, and the central
        crop is left out. All draws are made whether they are used or not, so that changing one setting does not change
        the draws of the others.
        """
        augment, crop, draw = self.augment, self.preprocessing.crop, _uniform(key, 11)
        area = _between(augment.scale, draw[0]) * photo_width * photo_height
        aspect = math.exp(_between([math.log(limit) for limit in augment.aspect], draw[1]))
        if crop == "squash":
            aspect, crop = aspect * photo_width / photo_height, 1.0
        width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
        fit = min(1.0, photo_width / width, photo_height / height)
        width, height = width * fit, height * fit
        left, top = draw[2] * (photo_width - width), draw[3] * (photo_height - height)
        angle = (2 * draw[4] - 1) * augment.rotation
        if angle:
            side = round(self.preprocessing.size / crop)
            box = (left, top, left + width, top + height)
        else:
            side = self.preprocessing.size
            inset_x, inset_y = width * (1 - crop) / 2, height * (1 - crop) / 2
            box = (left + inset_x, top + inset_y, left + width - inset_x, top + height - inset_y)
        flips = [(-2, augment.vertical_flip and draw[6] < 0.5), (-1, augment.horizontal_flip and draw[5] < 0.5)]
        return ViewSpec(
            _inside(box, photo_width, photo_height),
            side,
            angle,
            brightness=_between([1 - augment.brightness, 1 + augment.brightness], draw[7]),
            contrast=_between([1 - augment.contrast, 1 + augment.contrast], draw[8]),
            saturation=_between([1 - augment.saturation, 1 + augment.saturation], draw[9]),
            hue=round(_between([-augment.hue, augment.hue], draw[10]) * 256) if augment.hue else None,
            flips=tuple(axis for axis, mirrored in flips if mirrored),
        )


def _inside(box: Box, width: int, height: int) -> Box:
    # Rounding may put an edge slightly outside, which Pillow refuses.
    return max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)


def rotation(degrees: float, side: int, size: int) -> tuple[float, float, float, float, float, float]:
    """The affine map from a view [size, size] to the image [side, side] whose central part it is, rotated clockwise."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    centre, middle = side / 2, size / 2
    return cos, sin, centre - cos * middle - sin * middle, -sin, cos, centre + sin * middle - cos * middle


def _rotate(image: Photo, degrees: float, size: int) -> Photo:
    """Rotate clockwise about the centre and crop the central square in one interpolation; outside is black."""
    matrix = rotation(degrees, image.width, size)
    return image.transform((size, size), Pillow.Transform.AFFINE, matrix, Pillow.Resampling.BILINEAR)


def _jitter(image: Photo, spec: ViewSpec) -> Photo:
    for enhance, factor in (
        (ImageEnhance.Brightness, spec.brightness),
        (ImageEnhance.Contrast, spec.contrast),
        (ImageEnhance.Color, spec.saturation),
    ):
        if factor != 1:
            image = enhance(image).enhance(factor)
    if spec.hue is not None:
        hue, saturation, value = image.convert("HSV").split()
        hue = hue.point([(level + spec.hue) % 256 for level in range(256)])
        image = Pillow.merge("HSV", (hue, saturation, value)).convert("RGB")
    return image


def _between(limits: list[float], fraction: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * fraction


def _uniform(key: str, count: int) -> list[float]:
    """`count` (at most 16) numbers in [0, 1) that depend only on `key`, not on library versions."""
    digest = hashlib.blake2b(key.encode(), digest_size=64).digest()
    return [int.from_bytes(digest[4 * i : 4 * i + 4], "little") / 2**32 for i in range(count)]
