"""Files that are not photos, or that nobody should open, and the reason that the page gives for each."""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image

SCRIPT = b'<svg xmlns="http://www.w3.org/2000/svg"><script>run()</script></svg>'


def write(folder: Path) -> dict[str, str]:
    """Write the files; return each file's name and the page's reason."""
    jpeg = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(jpeg, "JPEG")
    contents = {
        "text.jpg": (b"This is not a photo.", "Not a photo in a known format."),
        "empty.png": (b"", "Empty file."),
        "cut off.jpg": (jpeg.getvalue()[: len(jpeg.getvalue()) // 2], "Damaged or unreadable"),
        "bomb.png": (_bomb(20_000, 10_000), "Over 128 megapixels."),
        "larger than allowed.png": (_bomb(13_000, 10_000), "13000×10000 is over 128 megapixels."),
        "drawing.svg": (SCRIPT, "Not a photo in a known format."),
        "drawing.png": (SCRIPT, "Not a photo in a known format."),
        "page.gif": (b"<html><script>run()</script>", "Not a photo in a known format."),
        "<img src=x onerror=run()>.jpg": (b"GIF89a", "Not a photo in a known format."),
        "32 bits.tiff": (_deep(), "32-bit pixels have no standard range."),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: reason for name, (_, reason) in contents.items()}


def _bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims this many pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )


def _deep() -> bytes:
    content = io.BytesIO()
    Image.new("I", (40, 40)).save(content, "TIFF")
    return content.getvalue()
