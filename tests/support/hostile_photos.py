"""Files in a folder of photos and how filter handles them: the rows of docs/robustness.md."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from block_photos import (
    BLOCKS,
    UPRIGHT,
    Pixels,
    drawn,
    encode,
    exif_block,
    grey_png,
    orientation,
    slow_jpeg,
    wide_webp,
)
from numpy.typing import NDArray
from PIL import Image, ImageCms

DAMAGED = ("unreadable: damaged…", "unreadable: not a photo in a known format")
UNKNOWN = ("unreadable: not a photo in a known format",)


@dataclass(frozen=True)
class Case:
    """A kind of file.

    Attributes:
        what: its name on the page.
        make: files of that kind.
        seen: if they are kept: how, on the page.
        mode: if they are kept: the mode in data/catalog.csv.
        blocks: if they are kept: the middle of each block of 8 × 8 pixels, uint8 [rows, columns, 3]; every pixel of a
            smaller photo.
        tolerance: the largest difference from these values, because of JPEG and rounding.
        reasons: if they are rejected: the possible reasons in data/rejected.csv; '…' is any text.
    """

    what: str
    make: Callable[[], list[bytes]]
    seen: str = ""
    mode: str = ""
    blocks: Pixels | None = None
    tolerance: int = 0
    reasons: tuple[str, ...] = ()


def oriented(value: int) -> Case:
    def make() -> list[bytes]:
        exif = orientation(value)
        jpegs = [encode(drawn(), kind, subsampling=0, exif=exif) for kind in ("JPEG", "MPO")]
        return [*jpegs, *(encode(drawn(), kind, exif=exif) for kind in ("PNG", "TIFF")), webp(exif=exif)]

    upright = UPRIGHT[value](BLOCKS)
    return Case(f"EXIF orientation {value}, in every format", make, "upright", "RGB", upright, 4)


def webp(**options: object) -> bytes:
    return encode(drawn(), "WEBP", lossless=True, **options)


def truncated(content: bytes) -> Iterator[bytes]:
    """Truncated files, each without some pixels: the last bytes only close the file."""
    for length in sorted({*range(1, 40), *np.linspace(40, 0.9 * len(content), 25).astype(int).tolist()}):
        yield content[:length]


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))


def one(content: Callable[[], bytes]) -> Callable[[], list[bytes]]:
    return lambda: [content()]


def array(values: object, mode: str | None = None) -> Image.Image:
    return Image.fromarray(np.array(values, np.uint8), mode)


def palette() -> Image.Image:
    photo = array([[0, 1, 2]], "P")
    photo.putpalette([255, 0, 0, 0, 0, 255, 10, 20, 30])
    return photo


def frames(kind: str, **options: object) -> bytes:
    others = [Image.new("RGB", (24, 16), colour) for colour in ("lime", "blue")]
    return encode(drawn(), kind, save_all=True, append_images=others, **options)


def grey(values: object) -> NDArray[np.uint8]:
    """Three equal channels."""
    return np.repeat(np.array(values, np.uint8)[..., None], 3, axis=2)


def profiled() -> list[bytes]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"XXXX").replace(b"bXYZ", b"rXYZ").replace(b"XXXX", b"bXYZ")
    return [encode(drawn(), "PNG", icc_profile=content) for content in (profile, swapped, b"no profile", profile[:99])]


def unsupported() -> list[bytes]:
    """Unsupported formats that Pillow reads or writes, or that cameras and the web use."""
    written = [encode(Image.new("RGB", (64, 64)), kind) for kind in ("PPM", "ICO", "TGA", "PDF", "EPS", "JPEG2000")]
    heif = [b"\0\0\0\x18ftyp" + brand + bytes(500) for brand in (b"heic", b"avif")]
    return [
        *written,
        *heif,
        b"8BPS\0\1" + bytes(500),
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"II*\0CR2\0" + bytes(99),
    ]


def damaged_exif() -> list[bytes]:
    blocks = [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        exif_block([ROTATED])[:20],
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
    ]
    return [encode(drawn(), "JPEG", subsampling=0, exif=block) for block in blocks]


def damaged_except_orientation() -> list[bytes]:
    entries = [
        (270, 2, 4_000_000_000, b"\0\0\0\0"),  # a text of 4 GB
        (271, 99, 1, b"abcd"),  # a type that does not exist
        (282, 5, 1, b"\xff\xff\0\0"),  # a fraction past the end
        (282, 2, 4, b"abc\0"),  # a text instead of a fraction
        (34665, 4, 1, b"\xff\xff\xff\x7f"),  # a directory of tags far past the end
    ]
    swapped = struct.pack(">HHII", 270, 2, 4_000_000_000, 0) + struct.pack(">HHIHxx", 274, 3, 1, 6)
    blocks = [exif_block(sorted([entry, ROTATED])) for entry in entries]
    blocks.append(b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + swapped + bytes(4))
    return [encode(drawn(), "JPEG", subsampling=0, exif=block) for block in blocks]


def huge_gif() -> bytes:
    content = bytearray(encode(Image.new("L", (2, 2)), "GIF"))
    content[6:10] = b"\xff\xff\xff\xff"
    return bytes(content)


ROTATED = (274, 3, 1, b"\6\0\0\0")  # orientation 6
CUT = [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})]
CUT += [("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]
LUMA = [[76, 150, 29], [255, 128, 0]]  # ITU-R 601, of the blocks
RGBA = [[(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51), (100, 50, 200, 128)]]

CASES = [
    # Sound but unusual.
    Case(
        "a wrong file extension, or none",
        lambda: [encode(drawn(), "PNG"), encode(drawn(), "BMP"), webp()],
        "as it is: only the content counts",
        "RGB",
        BLOCKS,
    ),
    Case(
        "CMYK",
        lambda: [
            encode(drawn().convert("CMYK"), "JPEG", quality=95, subsampling=0),
            encode(drawn().convert("CMYK"), "TIFF"),
        ],
        "as RGB; a profile is ignored",
        "CMYK",
        BLOCKS,
        4,
    ),
    Case(
        "grey",
        lambda: [encode(drawn().convert("L"), kind) for kind in ("PNG", "BMP", "TIFF")],
        "as RGB",
        "L",
        grey(LUMA),
    ),
    Case(
        "1 bit",
        lambda: [encode(array([[0, 255], [255, 0]]).convert("1"), kind) for kind in ("PNG", "BMP", "TIFF")],
        "black and white",
        "1",
        grey([[0, 255], [255, 0]]),
    ),
    Case(
        "16 bits, grey",
        lambda: [
            encode(Image.fromarray(np.array([[0xABCD, 0x00FF, 0xFFFF]], np.uint16)), kind) for kind in ("PNG", "TIFF")
        ],
        "as its upper 8 bits",
        "I;16",
        grey([[0xAB, 0, 0xFF]]),
    ),
    Case(
        "32 bits, integer or floating-point",
        lambda: [encode(Image.new(mode, (4, 4)), "TIFF") for mode in ("I", "F")],
        reasons=("unreadable: 32-bit pixels have no standard range",),
    ),
    Case(
        "RGBA",
        lambda: [encode(array(RGBA), kind) for kind in ("PNG", "TIFF")],
        "on white",
        "RGBA",
        np.array([[(255, 0, 0), (255, 255, 255), (204, 204, 204), (177, 152, 227)]], np.uint8),
    ),
    Case(
        "grey with transparency",
        one(lambda: encode(array([[(0, 255), (0, 0), (0, 51)]], "LA"), "PNG")),
        "on white",
        "LA",
        grey([[0, 255, 204]]),
    ),
    Case(
        "a palette with a transparent colour",
        lambda: [encode(palette(), kind, transparency=1) for kind in ("PNG", "GIF")],
        "on white",
        "P",
        np.array([[(255, 0, 0), (255, 255, 255), (10, 20, 30)]], np.uint8),
    ),
    Case(
        "a palette with partly transparent colours",
        one(lambda: encode(palette(), "PNG", transparency=bytes([255, 51, 0]))),
        "on white",
        "P",
        np.array([[(255, 0, 0), (204, 204, 255), (255, 255, 255)]], np.uint8),
    ),
    Case("an animated GIF", one(lambda: frames("GIF")), "its first frame", "P", BLOCKS),
    Case("an animated WebP", one(lambda: frames("WEBP", lossless=True)), "its first frame", "RGBA", BLOCKS),
    Case(
        "an animated PNG, a TIFF with several pages, a JPEG followed by others (MPO)",
        lambda: [frames("PNG"), frames("TIFF"), frames("MPO", quality=95, subsampling=0)],
        "its first frame",
        "RGB",
        BLOCKS,
        2,
    ),
    *(oriented(value) for value in UPRIGHT),
    Case(
        "an invalid EXIF orientation",
        lambda: [encode(drawn(), "PNG", exif=orientation(value)) for value in (0, 9, 65535)],
        "as it is stored",
        "RGB",
        BLOCKS,
    ),
    Case("damaged EXIF", damaged_exif, "as it is stored", "RGB", BLOCKS, 4),
    Case(
        "EXIF that is damaged elsewhere than in the orientation",
        damaged_except_orientation,
        "upright",
        "RGB",
        UPRIGHT[6](BLOCKS),
        4,
    ),
    Case(
        "an embedded colour profile: valid, of another colour space, damaged",
        profiled,
        "as if it had none: the pixels are treated as sRGB",
        "RGB",
        BLOCKS,
    ),
    Case(
        "1 × 1",
        lambda: [encode(array([[(10, 200, 30)]]), kind) for kind in ("PNG", "BMP", "TIFF")],
        "as it is",
        "RGB",
        np.array([[(10, 200, 30)]], np.uint8),
    ),
    Case("1 × 20,000", one(lambda: grey_png(1, 20_000, rows=20_000)), "as it is", "L", grey(np.zeros((20_000, 1)))),
    # Not photos, or not any more.
    Case(
        "a JPEG, PNG, WebP, GIF, BMP or TIFF that ends anywhere before its last pixel",
        lambda: [content for kind, options in CUT for content in truncated(encode(noise(), kind, **options))],
        reasons=DAMAGED,
    ),
    Case("zero bytes", one(bytes), reasons=("unreadable: empty file",)),
    Case("a text file named .jpg", one(lambda: b"not a photo, whatever its name says"), reasons=UNKNOWN),
    Case("a login page named .jpg", one(lambda: b"<!DOCTYPE html><title>Log in</title>"), reasons=UNKNOWN),
    Case("only zeros", one(lambda: bytes(1000)), reasons=UNKNOWN),
    Case(
        "an unsupported format: HEIC, AVIF, JPEG 2000, PSD, raw, SVG, PDF, EPS, PPM, TGA, icons",
        unsupported,
        reasons=UNKNOWN,
    ),
    # Malicious.
    Case(
        "a decompression bomb: 200 megapixels in 1 MB",
        one(lambda: grey_png(20_000, 10_000, rows=10_000)),
        reasons=("unreadable: over 128 megapixels",),
    ),
    Case(
        "a header with a size that fits no memory",
        lambda: [grey_png(60_000, 60_000, rows=0), grey_png(2**31 - 1, 2**31 - 1, rows=0), huge_gif()],
        reasons=("unreadable: over 128 megapixels",),
    ),
    Case(
        "129 megapixels",
        one(lambda: grey_png(16_000, 8_063, rows=0)),
        reasons=("unreadable: 16000×8063 is over 128 megapixels",),
    ),
    Case(
        "rows of 7,000,000 pixels in 1 KB, which take a minute to decode",
        one(lambda: wide_webp(7_000_000)),
        reasons=("unreadable: 7000000×16 has a side over 65535 pixels",),
    ),
    Case(
        "a JPEG of 10,000 scans in 0.1 MB, each of which covers all the pixels",
        one(lambda: slow_jpeg(10_000)),
        reasons=("unreadable: over 100 scans, as only a JPEG that is made to be slow has",),
    ),
]
