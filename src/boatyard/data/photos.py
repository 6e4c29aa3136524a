"""Opening a photo: decoded whole, upright, in RGB, or refused with a reason."""

import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from boatyard.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # an MPO opens as the JPEG that it starts with
MAX_PIXELS = 128_000_000

# What the EXIF orientation says must be done to a photo so that it stands upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow warns of is either refused below, with a reason, or EXIF that nobody needs.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadablePhoto(Exception):
    """A file that is no usable photo. Its message is the reason, in a few words."""


def open_photo(path: Path) -> Image.Image:
    """Decode a photo: EXIF orientation applied, first frame of an animation, transparency laid on white, 8-bit RGB.

    Colour profiles are not applied: the pixels are taken for sRGB, as the published backbones take them.

    Raises:
        UnreadablePhoto: the file is missing, no photo, damaged, of a format outside `FORMATS`, or over `MAX_PIXELS`.
    """
    return as_rgb(_decode(path))


def as_rgb(image: Image.Image) -> Image.Image:
    """What `open_photo` makes of a decoded image.

    Raises:
        UnreadablePhoto: its pixels have 32 bits.
    """
    return _to_rgb(_upright(image))


def open_checked(path: Path) -> Image.Image:
    """`open_photo` for a photo that the filter has let through.

    Raises:
        UserError: it can't be opened any more.
    """
    try:
        return open_photo(path)
    except UnreadablePhoto as error:
        raise UserError(f"{path} passed the filter and can't be opened now ({error}): run `dvc repro` again") from None


def inspect_photo(path: Path) -> tuple[Image.Image, str]:
    """The same photo, and the mode that its file has ('L', 'RGB', 'CMYK', …)."""
    image = _decode(path)
    return as_rgb(image), image.mode


def _decode(path: Path) -> Image.Image:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # reading a pipe might never end
            raise UnreadablePhoto("not a file")
        if not about.st_size:
            raise UnreadablePhoto("empty file")
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadablePhoto(f"{width}×{height} is over {MAX_PIXELS // 1_000_000} megapixels")
            image.load()
            return image
    except UnidentifiedImageError:
        raise UnreadablePhoto("not a photo of a known format") from None
    except Image.DecompressionBombError:
        raise UnreadablePhoto(f"over {MAX_PIXELS // 1_000_000} megapixels") from None
    except FileNotFoundError:
        raise UnreadablePhoto("no such file") from None
    except OSError as error:
        raise UnreadablePhoto(f"damaged or unreadable ({error.strerror or error})") from None
    # Pillow's decoders meet hostile bytes with these as well.
    except (SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise UnreadablePhoto(f"damaged ({error})") from None


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose, which also writes the EXIF anew and fails where any of it is damaged. TIFF photos are
    # upright already: Pillow turns them while it decodes them.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        if orientation is None:
            orientation = _orientation_entry(image.info.get("exif", b""))
        turn = _TURNS.get(orientation or 1)
    except (SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error, OSError):
        # Damaged EXIF says nothing about the orientation, and nothing against the pixels.
        return image
    return image if turn is None else image.transpose(turn)


def _orientation_entry(exif: bytes) -> int | None:
    """The orientation in an EXIF block's first folder of tags: before 13, Pillow stops at the first damaged tag."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    (folder,) = struct.unpack_from(f"{order}I", block, 4)
    (entries,) = struct.unpack_from(f"{order}H", block, folder)
    for place in range(folder + 2, folder + 2 + 12 * entries, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, place)
        if tag == ExifTags.Base.Orientation:
            return int(value)
    return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise UnreadablePhoto("pixels of 32 bits have no agreed range")
    if image.mode.startswith("I;16"):
        # Keep the upper 8 bits; Pillow's own conversion would clip at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
