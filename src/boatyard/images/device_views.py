"""Drawing views with PyTorch on a device, in batches: pixel by pixel the same as `images.views.draw_view`.

Pillow resizes in two passes, each a sum of pixels times weights that are rounded to 22 bits, in 32-bit integers (its
`Resample.c`); it rotates in float64 (`Geometry.c`) and blends in float32 (`Blend.c`). This module uses the same types
in the same order, one operation at a time, so that no result depends on the device's rounding except the sine in the
weights of 'lanczos': if two libraries' sines differ in the last bit, a weight may be rounded differently, and a level
may differ by 1.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import torch
from torch import Tensor

from boatyard.images.views import Preprocessing, ViewSpec, rotation

# Pixels of the first pass, or of rotated views, in a batch. Each takes about 100 bytes of device memory.
_BATCH_PIXELS = 2**23
_ONE = 2**22  # Pillow's fixed-point 1
# The distance, in pixels of the smaller image, from which on a weight is 0.
_REACH = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}


def draw(
    photos: Sequence[Tensor], specs: Sequence[Sequence[ViewSpec]], preprocessing: Preprocessing, device: str
) -> Tensor:
    """Draw views of decoded photos, photo by photo, in the order of their specs.

    Args:
        photos: uint8 [height, width, 3] each, of any size; transfers from pinned memory are asynchronous.
        specs: the views of each photo.
        preprocessing: the views' size and interpolation.
        device: torch's name of the device.

    Returns:
        uint8 [views, 3, size, size] on the device, in channels-last order.
    """
    size = preprocessing.size
    pixels = torch.cat([photo.to(device, non_blocking=True).flatten(0, 1) for photo in photos])
    starts = accumulate((photo.shape[0] * photo.shape[1] for photo in photos), initial=0)
    jobs = [
        _Job.of(start, photo, spec, preprocessing)
        for start, photo, wanted in zip(starts, photos, specs, strict=False)
        for spec in wanted
    ]
    views = torch.empty(len(jobs), size, size, 3, dtype=torch.uint8, device=device)
    for batch in _batches(jobs, size):
        part = [jobs[index] for index in batch]
        drawn = _resized(pixels, part, preprocessing.interpolation)
        if part[0].spec.angle:
            drawn = _rotated(drawn, [job.spec.angle for job in part], size)
        views[torch.tensor(batch, device=device)] = _flipped(_jittered(drawn, part), part)
    return views.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class _Axis:
    """One axis of a photo, and the interval that becomes `side` pixels of the view."""

    low: float
    high: float
    length: int  # of the photo, pixels
    stride: int  # pixels in memory from one to the next

    def reach(self, side: int, interpolation: str) -> float:
        return _REACH[interpolation] * max(1.0, self.scale(side))

    def scale(self, side: int) -> float:
        return float(np.float32(self.high) - np.float32(self.low)) / side

    def used(self, side: int, interpolation: str) -> tuple[int, int]:
        """The range of pixels that the view depends on: the first, and the one after the last."""
        if interpolation == "nearest":
            return 0, self.length
        low, scale, reach = float(np.float32(self.low)), self.scale(side), self.reach(side, interpolation)
        first, last = low + 0.5 * scale, low + (side - 1 + 0.5) * scale
        return max(int(first - reach + 0.5), 0), min(int(last + reach + 0.5), self.length)


@dataclass(frozen=True)
class _Job:
    """A view to draw."""

    start: int  # of the photo's pixels
    spec: ViewSpec
    inner: _Axis  # the axis that is resized first
    outer: _Axis
    lines: tuple[int, int]  # the range of lines along the outer axis that are resized
    transposed: bool  # inner is the vertical axis

    @classmethod
    def of(cls, start: int, photo: Tensor, spec: ViewSpec, preprocessing: Preprocessing) -> "_Job":
        height, width = photo.shape[:2]
        left, top, right, bottom = spec.box
        across, down = _Axis(left, right, width, 1), _Axis(top, bottom, height, width)
        transposed = height > 100 * width and spec.side < height  # Pillow resizes the columns of such a photo first
        inner, outer = (down, across) if transposed else (across, down)
        return cls(start, spec, inner, outer, outer.used(spec.side, preprocessing.interpolation), transposed)


def _batches(jobs: Sequence[_Job], size: int) -> Iterator[list[int]]:
    """Batches of jobs, as indices: with the same side length, all rotated or none, and similar numbers of lines."""

    def kind(place: int) -> tuple[int, bool]:
        return jobs[place].spec.side, bool(jobs[place].spec.angle)

    def lines(place: int) -> int:
        return jobs[place].lines[1] - jobs[place].lines[0]

    for (side, _), places in groupby(sorted(range(len(jobs)), key=lambda place: (kind(place), lines(place))), kind):
        part: list[int] = []
        for place in places:
            if part and (len(part) + 1) * max(lines(place) * side, size * size) > _BATCH_PIXELS:
                yield part
                part = []
            part.append(place)
        yield part


def _resized(pixels: Tensor, jobs: Sequence[_Job], interpolation: str) -> Tensor:
    """uint8 [jobs, side, side, 3]."""
    device, side = pixels.device, jobs[0].spec.side

    def column(numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, device=device).view(-1, 1, 1)

    starts = column([job.start for job in jobs])
    inner, outer = [job.inner for job in jobs], [job.outer for job in jobs]
    inner_strides, outer_strides = (column([axis.stride for axis in axes]) for axes in (inner, outer))
    if interpolation == "nearest":
        columns, rows = (_nearest(axes, side, device) for axes in (inner, outer))
        view = pixels[starts + rows[:, :, None] * outer_strides + columns[:, None] * inner_strides]
    else:
        count = max(last - first for first, last in (job.lines for job in jobs))
        firsts, lasts = (column([job.lines[end] for job in jobs]) for end in (0, 1))
        lines = torch.minimum(firsts + torch.arange(count, device=device).view(1, -1, 1), lasts - 1)
        lines = starts + lines * outer_strides
        sums = torch.full((len(jobs), count, side, 3), _ONE // 2, dtype=torch.int32, device=device)
        for place, weight in _weights(inner, side, interpolation, device):
            sums += pixels[lines + place[:, None] * inner_strides] * weight[:, None, :, None]
        resized = _levels(sums)  # [jobs, lines, side, 3]
        which = torch.arange(len(jobs), device=device)[:, None]
        sums = torch.full((len(jobs), side, side, 3), _ONE // 2, dtype=torch.int32, device=device)
        for place, weight in _weights(outer, side, interpolation, device):
            line = (place - firsts[:, 0]).clamp_(max=count - 1)  # one without weight may be out of range
            sums += resized[which, line] * weight[:, :, None, None]
        view = _levels(sums)
    if transposed := [index for index, job in enumerate(jobs) if job.transposed]:
        view[transposed] = view[transposed].transpose(1, 2)
    return view


def _levels(sums: Tensor) -> Tensor:
    return (sums >> 22).clamp_(0, 255).to(torch.uint8)


def _nearest(axes: Sequence[_Axis], side: int, device: torch.device) -> Tensor:
    """The photo's pixel for each pixel of the view, int64 [axes, side]."""
    # Pillow accumulates the steps, with their rounding errors.
    steps = np.array([[axis.scale(side)] * side for axis in axes])
    steps[:, 0] = [float(np.float32(axis.low)) + step * 0.5 for axis, step in zip(axes, steps[:, 0], strict=True)]
    last = np.array([[axis.length - 1] for axis in axes])
    return torch.from_numpy(np.add.accumulate(steps, axis=1).astype(np.int64).clip(0, last)).to(device)


def _weights(
    axes: Sequence[_Axis], side: int, interpolation: str, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Tap by tap, a pixel of the photo for each pixel of the view, and its weight: int64 and int32 [axes, side]."""

    def column(numbers: Sequence[float], kind: torch.dtype) -> Tensor:
        return torch.tensor(numbers, dtype=kind, device=device)[:, None]

    taps = max(2 * math.ceil(axis.reach(side, interpolation)) + 1 for axis in axes)
    low = column([axis.low for axis in axes], torch.float32)
    high = column([axis.high for axis in axes], torch.float32)
    length = column([axis.length for axis in axes], torch.int64)
    scale = _over((high - low).double(), side)
    stretch = scale.clamp(min=1.0)
    reach = stretch * _REACH[interpolation]
    centres = (torch.arange(side, dtype=torch.float64, device=device) + 0.5) * scale + low.double()
    first = (centres - reach + 0.5).long().clamp(min=0)
    last = torch.minimum((centres + reach + 0.5).long(), length)
    places = first[..., None] + torch.arange(taps, device=device)
    distances = (places.double() - centres[..., None] + 0.5) * (1.0 / stretch)[..., None]
    raw = torch.where(places < last[..., None], _kernel(distances.abs(), interpolation), 0.0)
    total = torch.zeros_like(centres)
    for weight in raw.unbind(2):  # in Pillow's order, unlike `sum`
        total += weight
    fixed = raw / torch.where(total == 0, 1.0, total)[..., None] * _ONE
    weights = torch.where(fixed < 0, fixed - 0.5, fixed + 0.5).int()
    return zip(torch.minimum(places, length[..., None] - 1).unbind(2), weights.unbind(2), strict=True)


def _kernel(x: Tensor, interpolation: str) -> Tensor:
    """The weight of a pixel at the distance x ≥ 0."""
    if interpolation == "bilinear":
        return torch.where(x < 1, 1 - x, 0.0)
    if interpolation == "bicubic":  # Keys 1981 with a = −1/2
        near = (1.5 * x - 2.5) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * -0.5
        return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    return torch.where(x < 3, _sinc(x) * _sinc(_over(x, 3)), 0.0)


def _sinc(x: Tensor) -> Tensor:
    angle = x * math.pi
    return torch.where(x == 0, 1.0, torch.sin(angle) / torch.where(x == 0, 1.0, angle))


def _rotated(images: Tensor, angles: Sequence[float], size: int) -> Tensor:
    """uint8 [n, side, side, 3] rotated about the centre and cropped to it: uint8 [n, size, size, 3]."""
    side, device = images.shape[1], images.device
    matrices = torch.tensor([rotation(angle, side, size) for angle in angles], dtype=torch.float64, device=device)
    a, b, c, d, e, f = matrices[:, :, None, None].unbind(1)
    middles = torch.arange(size, dtype=torch.float64, device=device) + 0.5
    x, y = middles[None, None], middles[None, :, None]
    x, y = a * x + b * y + c, d * x + e * y + f
    outside = (x < 0) | (x >= side) | (y < 0) | (y >= side)
    x, y = x - 0.5, y - 0.5
    left, top = x.floor(), y.floor()
    dx, dy = (x - left)[..., None], (y - top)[..., None]
    columns = [(left.long() + step).clamp(0, side - 1) for step in (0, 1)]
    rows = [(top.long() + step).clamp(0, side - 1) for step in (0, 1)]
    which = torch.arange(len(images), device=device)[:, None, None]
    between = []
    for row in rows:
        near, far = (images[which, row, column].double() for column in columns)
        between.append(near + (far - near) * dx)
    upper, lower = between
    levels = (upper + (lower - upper) * dy).to(torch.uint8)
    return levels.masked_fill_(outside[..., None], 0)


def _jittered(images: Tensor, jobs: Sequence[_Job]) -> Tensor:
    """Apply each view's brightness, contrast, saturation and hue to uint8 [n, size, size, 3]."""
    images = _blended(images, [job.spec.brightness for job in jobs], lambda images: torch.zeros_like(images))
    images = _blended(images, [job.spec.contrast for job in jobs], _mean_grey)
    images = _blended(images, [job.spec.saturation for job in jobs], _grey)
    if shifted := [index for index, job in enumerate(jobs) if job.spec.hue is not None]:
        shifts = torch.tensor([jobs[index].spec.hue for index in shifted], device=images.device)
        images[shifted] = _hue_shifted(images[shifted], shifts.view(-1, 1, 1))
    return images


def _blended(images: Tensor, factors: Sequence[float], flat: Callable[[Tensor], Tensor]) -> Tensor:
    """Extrapolate each image away from (factor above 1) or interpolate it towards (below 1) the result of `flat`."""
    if all(factor == 1 for factor in factors):
        return images
    factor = torch.tensor(factors, dtype=torch.float32, device=images.device).view(-1, 1, 1, 1)
    start = flat(images).int()
    return (start + factor * (images.int() - start)).clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """The luma of ITU-R 601, [n, size, size, 1]."""
    red, green, blue = images.int().unbind(3)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[..., None]


def _mean_grey(images: Tensor) -> Tensor:
    sums = _grey(images).sum((1, 2, 3), dtype=torch.int64).double()
    return (_over(sums, images.shape[1] * images.shape[2]) + 0.5).int().view(-1, 1, 1, 1)


def _hue_shifted(images: Tensor, shifts: Tensor) -> Tensor:
    """Through 8-bit HSV and back as in Pillow's `convert`: float32 where it has floats, float64 elsewhere."""
    red, green, blue = images.int().unbind(3)
    value, least = images.amax(3).int(), images.amin(3).int()
    spread = (value - least).float()
    flat = value == least
    divisor = torch.where(flat, 1.0, spread)
    r, g, b = ((value - channel).float() / divisor for channel in (red, green, blue))
    towards_green, towards_blue = (2.0 + r.double() - b.double()).float(), (4.0 + g.double() - r.double()).float()
    sixth = torch.where(red == value, b - g, torch.where(green == value, towards_green, towards_blue))
    around = _over(sixth.double(), 6) + 1.0
    around = torch.where(around < 1, around, around - 1.0).float()
    hue = torch.where(flat, 0, (around.double() * 255.0).int().clamp(0, 255))
    saturation = ((spread / value.clamp(min=1).float()).double() * 255.0).int().clamp(0, 255)

    hue = (hue + shifts) % 256
    place = _over(hue.double() * 6.0, 255)
    sector = place.floor()
    rest = (place - sector).float()
    share = _over(saturation.double(), 255).float()
    low = _rounded(value.double() * (1.0 - share.double()))
    falling = _rounded(value.double() * (1.0 - (share * rest).double()))
    rising = _rounded(value.double() * (1.0 - share.double() * (1.0 - rest.double())))
    sector = (sector.long() % 6)[..., None]
    sectors = (
        [value, falling, low, low, rising, value],  # red
        [rising, value, value, falling, low, low],  # green
        [low, low, rising, value, value, falling],  # blue
    )
    return torch.cat([torch.stack(levels, 3).gather(3, sector) for levels in sectors], 3).to(torch.uint8)


def _over(numbers: Tensor, divisor: float) -> Tensor:
    """A correctly rounded quotient. Dividing by a Python number on CUDA, PyTorch multiplies by its reciprocal."""
    return numbers / torch.full((), divisor, dtype=numbers.dtype, device=numbers.device)


def _rounded(numbers: Tensor) -> Tensor:
    """Numbers ≥ 0 rounded to the nearest integer, halves up, like C's `round`."""
    whole = numbers.floor()
    return (whole + (numbers - whole >= 0.5)).int().clamp(0, 255)


def _flipped(images: Tensor, jobs: Sequence[_Job]) -> Tensor:
    """Mirror uint8 [n, size, size, 3] along each view's flips, which are axes of [3, size, size]."""
    for flips in {job.spec.flips for job in jobs} - {()}:
        places = [place for place, job in enumerate(jobs) if job.spec.flips == flips]
        images[places] = images[places].flip([axis - 1 for axis in flips])
    return images
