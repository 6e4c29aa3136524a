"""The image formats that Boatyard reads, and the suffixes of photo files."""

from pathlib import PurePath

# Pillow's names of the formats, and the suffixes that Pillow knows for each. An MPO is opened as a JPEG.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
# Photos that are rejected with a reason, rather than overlooked.
UNSUPPORTED = (".ppm", ".pgm", ".jp2", ".avif", ".heic")

SUFFIXES = frozenset(suffix for suffixes in (*FORMATS.values(), UNSUPPORTED) for suffix in suffixes)


def has_photo_suffix(path: PurePath) -> bool:
    """Whether the file name looks like a photo's. Only decoding shows what a file is."""
    return path.suffix.lower() in SUFFIXES
