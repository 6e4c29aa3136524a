"""Photos of six blocks of colour with known pixels, and files that only claim to be photos."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# 3 wide, 2 high, in flat 8 × 8 blocks so that JPEG keeps the colours: red green blue over white grey black.
BLOCKS = np.array(
    [[(255, 0, 0), (0, 255, 0), (0, 0, 255)], [(255, 255, 255), (128, 128, 128), (0, 0, 0)]], dtype=np.uint8
)

# The blocks of a photo with each EXIF orientation once it is upright.
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}
# Written out for the two orientations that cameras use most.
assert UPRIGHT[6](np.arange(6).reshape(2, 3)).tolist() == [[3, 0], [4, 1], [5, 2]]
assert UPRIGHT[8](np.arange(6).reshape(2, 3)).tolist() == [[2, 5], [1, 4], [0, 3]]


def drawn() -> Image.Image:
    return Image.fromarray(BLOCKS.repeat(8, axis=0).repeat(8, axis=1))


def encode(photo: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, kind, **options)
    return buffer.getvalue()


def blocks_of(photo: Image.Image) -> Pixels:
    """The middle pixel of every block of 8 × 8."""
    return np.asarray(photo)[4::8, 4::8]


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = value
    return exif


def exif_block(entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """A little-endian EXIF block with these entries: tag, type, count, value or offset."""
    body = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(width: int, height: int, rows: int) -> bytes:
    """A black PNG that claims this size and has the pixels of so many rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(bytes(width + 1)) for _ in range(rows)) + packer.flush()
    parts = png_chunk(b"IHDR", header), png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def slow_jpeg(scans: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A progressive JPEG with its last scan repeated, so that it has `scans` in all."""
    content = encode(Image.new("L", size, 128), "JPEG", progressive=True)
    there = content.count(b"\xff\xda")
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * (scans - there) + content[-2:]


def wide_webp(width: int) -> bytes:
    """A WebP with a canvas this wide and one small frame on it."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime")]
    content = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    place = content.index(b"VP8X") + 12
    content[place : place + 3] = (width - 1).to_bytes(3, "little")
    return bytes(content)
