"""Opening a photo: upright, in RGB, no larger than needed; or refusing it with a reason."""

import mmap
import os
import re
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from boatyard.core.errors import UserError
from boatyard.images.formats import FORMATS

MAX_PIXELS = 128_000_000
# The limit of JPEG and GIF. A WebP or a TIFF may claim rows of millions of pixels, which take Pillow minutes.
MAX_SIDE = 65_535
# A progressive JPEG has about ten scans. Each takes as few as 20 bytes and makes the decoder process all the pixels.
MAX_SCANS = 100
_SCAN = re.compile(rb"\xff\xda")
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # not a stuffed byte or a restart marker
_SOS, _EOI, _WITHOUT_LENGTH = 0xDA, 0xD9, {0x01, 0xD8}

# How to turn a photo with each EXIF orientation upright.
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns about photos that are refused below with a reason, and about EXIF that is not used.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadablePhoto(Exception):
    """A file is not a usable photo. The message is the reason, in a few words."""


def open_photo(path: Path, short_side: int | None = None) -> Image.Image:
    """Decode a photo: EXIF orientation applied, first frame of an animation, transparency on white, 8-bit RGB.

    Colour profiles are not applied: the pixels are treated as sRGB, as in the training of the published backbones.

    Args:
        path: the file.
        short_side: pixels that are enough. A JPEG with at least twice as many is decoded at 1/2, 1/4 or 1/8 of its
            width and height, the smallest that is enough: libjpeg then computes only some of its frequencies.

    Raises:
        UnreadablePhoto: the file is missing, not a photo, damaged, of a format outside `FORMATS`, or over a limit.
    """
    return as_rgb(_decode(path, short_side))


def as_rgb(image: Image.Image) -> Image.Image:
    """The part of `open_photo` that follows decoding, idempotent; `UnreadablePhoto` if its pixels have 32 bits."""
    rgb = _to_rgb(_upright(image))
    rgb.info = {}  # Pillow copies the EXIF, by which an upright photo would be rotated again
    return rgb


def open_checked(path: Path, short_side: int | None = None) -> Image.Image:
    """`open_photo` for a photo that passed the filter; a `UserError` if it can't be opened any more."""
    try:
        return open_photo(path, short_side)
    except UnreadablePhoto as error:
        raise UserError(f"{path} passed the filter but can't be opened now ({error}): run `dvc repro` again") from None


def inspect_photo(path: Path) -> tuple[Image.Image, str]:
    """The whole photo as `open_photo` returns it, and the mode of its file ('L', 'RGB', 'CMYK', …)."""
    image = _decode(path)
    return as_rgb(image), image.mode


def check_file(path: Path) -> os.stat_result:
    """The `stat` of a file; `UnreadablePhoto` if it is missing, not a regular file, or empty."""
    try:
        about = path.stat()
    except FileNotFoundError:
        raise UnreadablePhoto("no such file") from None
    if not stat.S_ISREG(about.st_mode):  # reading a pipe might block forever
        raise UnreadablePhoto("not a file")
    if not about.st_size:
        raise UnreadablePhoto("empty file")
    return about


def _decode(path: Path, short_side: int | None = None) -> Image.Image:
    try:
        check_file(path)
        with Image.open(path, formats=list(FORMATS)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadablePhoto(f"{width}×{height} is over {MAX_PIXELS // 1_000_000} megapixels")
            if max(width, height) > MAX_SIDE:
                raise UnreadablePhoto(f"{width}×{height} has a side over {MAX_SIDE} pixels")
            if image.format in ("JPEG", "MPO") and _has_too_many_scans(path):
                raise UnreadablePhoto(f"over {MAX_SCANS} scans, as only a JPEG that is made to be slow has")
            if short_side:
                image.draft(None, (short_side, short_side))  # has no effect on formats other than JPEG
            image.load()
            return image
    except UnidentifiedImageError:
        raise UnreadablePhoto("not a photo in a known format") from None
    except Image.DecompressionBombError:
        raise UnreadablePhoto(f"over {MAX_PIXELS // 1_000_000} megapixels") from None
    except OSError as error:
        raise UnreadablePhoto(f"damaged or unreadable ({error.strerror or error})") from None
    # Pillow's decoders also raise these for hostile bytes.
    except (SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise UnreadablePhoto(f"damaged ({error})") from None


def _has_too_many_scans(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # A few milliseconds for 10 MB; but the two bytes may also be in a thumbnail, or in a video after the photo.
        if sum(1 for _ in _SCAN.finditer(content)) <= MAX_SCANS:
            return False
        scans, position = 0, 2
        while found := _MARKER.search(content, position):
            marker, position = found[1][0], found.end()
            scans += marker == _SOS
            if marker == _EOI or scans > MAX_SCANS:
                break
            if marker not in _WITHOUT_LENGTH:
                position += int.from_bytes(content[position : position + 2], "big")
    return scans > MAX_SCANS


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose, which also rewrites the EXIF and fails if any of it is damaged. TIFF photos are
    # upright already: Pillow rotates them while decoding.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error, OSError):
        orientation = None  # the pixels may be sound although the EXIF is damaged
    if orientation is None:
        orientation = _damaged_orientation(image.info.get("exif", b""))
    method = _TRANSPOSE.get(orientation)
    return image if method is None else image.transpose(method)


def _damaged_orientation(exif: bytes) -> int:
    """The orientation in EXIF that Pillow can't read, or not past the first damage; 1 if there is none."""
    try:
        exif = exif.removeprefix(b"Exif\0\0")
        order = {b"II*\0": "<", b"MM\0*": ">"}[exif[:4]]
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * entries, 12):
            tag, orientation = struct.unpack_from(f"{order}H6xH", exif, place)
            if tag == ExifTags.Base.Orientation:
                return int(orientation)
    except (KeyError, struct.error, TypeError):  # a PNG text chunk of that name is a string
        pass
    return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise UnreadablePhoto("32-bit pixels have no standard range")
    if image.mode.startswith("I;16"):
        # Keep the upper 8 bits; Pillow's own conversion would clip at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
