"""Opening a photo: decoded whole, upright, in RGB, or refused with a reason."""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO")
MAX_PIXELS = 128_000_000

# Larger photos are refused below, by their header and with a reason; Pillow's own warning would only repeat it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadablePhoto(Exception):
    """A file that is no usable photo. Its message is the reason, in a few words."""


def open_photo(path: Path) -> Image.Image:
    """Decode a photo: EXIF orientation applied, first frame of an animation, transparency laid on white, 8-bit RGB.

    Colour profiles are not applied: the pixels are taken for sRGB, as the published backbones take them.

    Raises:
        UnreadablePhoto: the file is missing, no photo, damaged, of a format outside `FORMATS`, or over `MAX_PIXELS`.
    """
    image = _decode(path)
    return _to_rgb(_upright(image))


def inspect_photo(path: Path) -> tuple[Image.Image, str]:
    """The same photo, and the mode that its file has ('L', 'RGB', 'CMYK', …)."""
    image = _decode(path)
    return _to_rgb(_upright(image)), image.mode


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadablePhoto(f"{width}×{height} is over {MAX_PIXELS // 1_000_000} megapixels")
            image.load()
            return image
    except UnidentifiedImageError:
        raise UnreadablePhoto("empty file" if path.stat().st_size == 0 else "not a photo of a known format") from None
    except Image.DecompressionBombError:
        raise UnreadablePhoto(f"over {MAX_PIXELS // 1_000_000} megapixels") from None
    except OSError as error:
        raise UnreadablePhoto(f"damaged or unreadable ({error.strerror or error})") from None
    # Pillow's decoders meet hostile bytes with these as well.
    except (SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise UnreadablePhoto(f"damaged ({error})") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error, OSError):
        # Damaged EXIF says nothing about the orientation, and nothing against the pixels.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        # 16 bits a pixel: keep the upper 8; Pillow's own conversion would clip at 255.
        grey = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UnreadablePhoto("floating-point pixels have no agreed range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
