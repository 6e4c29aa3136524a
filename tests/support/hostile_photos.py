"""Files that a folder of photos may hold, and what becomes of each: docs/robustness.md says the same."""

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

DAMAGED = ("unreadable: damaged…", "unreadable: not a photo of a known format")
UNKNOWN = ("unreadable: not a photo of a known format",)


@dataclass(frozen=True)
class Case:
    """A kind of file.

    Attributes:
        what: as the page calls it.
        make: files of that kind.
        seen: if they stay: what the page says of their pixels, which are `blocks`.
        mode: if they stay: as it stands in data/catalog.csv.
        blocks: the middle of each block of 8 × 8 pixels, uint8 [rows, columns, 3]; every pixel if there are fewer.
        tolerance: how far JPEG and rounding may take each of these.
        reasons: if they do not stay: what may stand in data/rejected.csv; '…' is any text.
    """

    what: str
    make: Callable[[], list[bytes]]
    seen: str = ""
    mode: str = ""
    blocks: Pixels | None = None
    tolerance: int = 0
    reasons: tuple[str, ...] = ()


def turned(value: int) -> Case:
    def make() -> list[bytes]:
        exif = orientation(value)
        jpegs = [encode(drawn(), kind, subsampling=0, exif=exif) for kind in ("JPEG", "MPO")]
        return [*jpegs, *(encode(drawn(), kind, exif=exif) for kind in ("PNG", "TIFF")), webp(exif=exif)]

    upright = UPRIGHT[value](BLOCKS)
    return Case(f"EXIF orientation {value}, in every format", make, "upright", "RGB", upright, 4)


def webp(**options: object) -> bytes:
    return encode(drawn(), "WEBP", lossless=True, **options)


def cut(content: bytes) -> Iterator[bytes]:
    """Its beginnings, to all of whose pixels something is missing: the last bytes only close the file."""
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


def outside_the_list() -> list[bytes]:
    """Formats that Pillow reads or writes, or that cameras and the web use, and that are not allowed."""
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
        exif_block([ASIDE])[:20],
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
    ]
    return [encode(drawn(), "JPEG", subsampling=0, exif=block) for block in blocks]


def damaged_beside_the_orientation() -> list[bytes]:
    entries = [
        (270, 2, 4_000_000_000, b"\0\0\0\0"),  # a text of 4 GB
        (271, 99, 1, b"abcd"),  # a type that there is not
        (282, 5, 1, b"\xff\xff\0\0"),  # a fraction behind the end
        (282, 2, 4, b"abc\0"),  # a text where a fraction must be
        (34665, 4, 1, b"\xff\xff\xff\x7f"),  # a folder of tags far behind the end
    ]
    swapped = struct.pack(">HHII", 270, 2, 4_000_000_000, 0) + struct.pack(">HHIHxx", 274, 3, 1, 6)
    blocks = [exif_block(sorted([entry, ASIDE])) for entry in entries]
    blocks.append(b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + swapped + bytes(4))
    return [encode(drawn(), "JPEG", subsampling=0, exif=block) for block in blocks]


def huge_gif() -> bytes:
    content = bytearray(encode(Image.new("L", (2, 2)), "GIF"))
    content[6:10] = b"\xff\xff\xff\xff"
    return bytes(content)


ASIDE = (274, 3, 1, b"\6\0\0\0")  # the orientation's tag, with the value 6
CUT = [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})]
CUT += [("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]
LUMA = [[76, 150, 29], [255, 128, 0]]  # ITU-R 601, of the blocks
RGBA = [[(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51), (100, 50, 200, 128)]]

CASES = [
    # Sound, and odd.
    Case(
        "another ending than the content's, or none",
        lambda: [encode(drawn(), "PNG"), encode(drawn(), "BMP"), webp()],
        "as it is: the content decides",
        "RGB",
        BLOCKS,
    ),
    Case(
        "CMYK",
        lambda: [
            encode(drawn().convert("CMYK"), "JPEG", quality=95, subsampling=0),
            encode(drawn().convert("CMYK"), "TIFF"),
        ],
        "as RGB; a profile does not count",
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
        "its upper 8 bits",
        "I;16",
        grey([[0xAB, 0, 0xFF]]),
    ),
    Case(
        "32 bits, whole numbers or fractions",
        lambda: [encode(Image.new(mode, (4, 4)), "TIFF") for mode in ("I", "F")],
        reasons=("unreadable: pixels of 32 bits have no agreed range",),
    ),
    Case(
        "RGBA",
        lambda: [encode(array(RGBA), kind) for kind in ("PNG", "TIFF")],
        "laid on white",
        "RGBA",
        np.array([[(255, 0, 0), (255, 255, 255), (204, 204, 204), (177, 152, 227)]], np.uint8),
    ),
    Case(
        "grey with transparency",
        one(lambda: encode(array([[(0, 255), (0, 0), (0, 51)]], "LA"), "PNG")),
        "laid on white",
        "LA",
        grey([[0, 255, 204]]),
    ),
    Case(
        "a palette with a transparent colour",
        lambda: [encode(palette(), kind, transparency=1) for kind in ("PNG", "GIF")],
        "laid on white",
        "P",
        np.array([[(255, 0, 0), (255, 255, 255), (10, 20, 30)]], np.uint8),
    ),
    Case(
        "a palette of half transparent colours",
        one(lambda: encode(palette(), "PNG", transparency=bytes([255, 51, 0]))),
        "laid on white",
        "P",
        np.array([[(255, 0, 0), (204, 204, 255), (255, 255, 255)]], np.uint8),
    ),
    Case("an animated GIF", one(lambda: frames("GIF")), "its first frame", "P", BLOCKS),
    Case("an animated WebP", one(lambda: frames("WEBP", lossless=True)), "its first frame", "RGBA", BLOCKS),
    Case(
        "an animated PNG, a TIFF of several pages, a JPEG with others behind it (MPO)",
        lambda: [frames("PNG"), frames("TIFF"), frames("MPO", quality=95, subsampling=0)],
        "its first frame",
        "RGB",
        BLOCKS,
        2,
    ),
    *(turned(value) for value in UPRIGHT),
    Case(
        "an EXIF orientation that there is not",
        lambda: [encode(drawn(), "PNG", exif=orientation(value)) for value in (0, 9, 65535)],
        "as it is stored",
        "RGB",
        BLOCKS,
    ),
    Case("broken EXIF", damaged_exif, "as it is stored", "RGB", BLOCKS, 4),
    Case(
        "EXIF broken in another place than the orientation",
        damaged_beside_the_orientation,
        "upright",
        "RGB",
        UPRIGHT[6](BLOCKS),
        4,
    ),
    Case(
        "an embedded colour profile: right, of another space, broken",
        profiled,
        "as if it had none: its numbers are taken for sRGB",
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
    # No photo, or none any more.
    Case(
        "a JPEG, PNG, WebP, GIF, BMP or TIFF cut off anywhere before its last pixel",
        lambda: [content for kind, options in CUT for content in cut(encode(noise(), kind, **options))],
        reasons=DAMAGED,
    ),
    Case("zero bytes", one(bytes), reasons=("unreadable: empty file",)),
    Case("a text called .jpg", one(lambda: b"not a photo, whatever its name says"), reasons=UNKNOWN),
    Case("a log-in page called .jpg", one(lambda: b"<!DOCTYPE html><title>Log in</title>"), reasons=UNKNOWN),
    Case("nothing but zeros", one(lambda: bytes(1000)), reasons=UNKNOWN),
    Case(
        "a format outside the list: HEIC, AVIF, JPEG 2000, PSD, raw, SVG, PDF, EPS, PPM, TGA, icons",
        outside_the_list,
        reasons=UNKNOWN,
    ),
    # Made to do harm.
    Case(
        "a bomb of 200 megapixels in 1 MB",
        one(lambda: grey_png(20_000, 10_000, rows=10_000)),
        reasons=("unreadable: over 128 megapixels",),
    ),
    Case(
        "a size in the header that no memory holds",
        lambda: [grey_png(60_000, 60_000, rows=0), grey_png(2**31 - 1, 2**31 - 1, rows=0), huge_gif()],
        reasons=("unreadable: over 128 megapixels",),
    ),
    Case(
        "129 megapixels",
        one(lambda: grey_png(16_000, 8_063, rows=0)),
        reasons=("unreadable: 16000×8063 is over 128 megapixels",),
    ),
    Case(
        "a row of 7,000,000 pixels in 1 KB, over which the decoder takes a minute",
        one(lambda: wide_webp(7_000_000)),
        reasons=("unreadable: 7000000×16 is over 65535 pixels long",),
    ),
    Case(
        "a JPEG of 10,000 scans in 0.1 MB, each of which goes over all the pixels",
        one(lambda: slow_jpeg(10_000)),
        reasons=("unreadable: over 100 scans, which only a JPEG made to be slow has",),
    ),
]
