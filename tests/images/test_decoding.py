import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from block_photos import (
    BLOCKS,
    blocks_of,
    drawn,
    encode,
    grey_png,
    orientation,
    slow_jpeg,
    wide_webp,
)
from hypothesis import given
from hypothesis import strategies as st
from permissions import nobody
from PIL import Image, PngImagePlugin
from properties import damaged, examples

from boatyard.core.errors import UserError
from boatyard.images.decoding import UnreadablePhoto, inspect_photo, open_checked, open_photo

# The cases of tests/support/hostile_photos.py are tested in test_robustness.py.

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as the module does; pytest undoes that


def written(folder: Path, content: bytes, name: str = "photo") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def saved(folder: Path, photo: Image.Image, kind: str, **options: object) -> Path:
    return written(folder, encode(photo, kind, **options))


def reason(path: Path) -> str:
    with pytest.raises(UnreadablePhoto) as caught:
        open_photo(path)
    return str(caught.value)


LOSSLESS = [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})]


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_pixels_are_those_of_the_file(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    photo = open_photo(saved(tmp_path, drawn(), kind, **options))
    assert (photo.mode, photo.size) == ("RGB", (24, 16))
    assert (np.asarray(photo) == np.asarray(drawn())).all()


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize(
    ("short_side", "size"), [(None, (640, 480)), (241, (640, 480)), (240, (320, 240)), (60, (80, 60)), (1, (80, 60))]
)
def test_a_jpeg_is_decoded_no_larger_than_needed(
    tmp_path: Path, kind: str, short_side: int | None, size: tuple[int, int]
) -> None:
    large = drawn().resize((640, 480), Image.Resampling.BICUBIC)
    path = saved(tmp_path, large, kind, quality=95)

    photo = open_photo(path, short_side)

    assert photo.size == size
    levels = [np.asarray(image.resize((24, 16), Image.Resampling.BOX), int) for image in (photo, large)]
    assert np.abs(levels[0] - levels[1]).mean() < 2


def test_a_jpeg_decoded_at_a_smaller_size_is_upright_and_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    path = saved(tmp_path, drawn().resize((640, 480)).convert("CMYK"), "JPEG", exif=exif)
    photo = open_photo(path, 200)
    assert (photo.size, photo.mode) == ((240, 320), "RGB")


def test_other_formats_are_decoded_in_full_size(tmp_path: Path) -> None:
    assert open_photo(saved(tmp_path, drawn(), "PNG"), 2).size == (24, 16)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_jpeg_pixels_are_close(tmp_path: Path, kind: str) -> None:
    photo = open_photo(saved(tmp_path, drawn(), kind, quality=95, subsampling=0))
    assert photo.mode == "RGB"
    assert abs(blocks_of(photo).astype(int) - BLOCKS).max() <= 2


def test_sixteen_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    big_endian = Image.frombytes("I;16B", (2, 1), bytes([0xAB, 0xCD, 0x12, 0x34]))
    photo, mode = inspect_photo(saved(tmp_path, big_endian, "TIFF"))
    assert (mode, np.asarray(photo)[0, :, 0].tolist()) == ("I;16B", [0xAB, 0x12])


def test_a_transparent_colour_becomes_white(tmp_path: Path) -> None:
    photo, mode = inspect_photo(saved(tmp_path, drawn(), "PNG", transparency=(0, 0, 255)))
    assert mode == "RGB"
    expected = BLOCKS.copy()
    expected[0, 2] = 255
    assert (blocks_of(photo) == expected).all()
    photo = open_photo(saved(tmp_path, drawn().convert("L"), "PNG", transparency=76))
    assert blocks_of(photo)[..., 0].tolist() == [[255, 150, 29], [255, 128, 0]]


def test_grey_photos_of_every_depth_are_rotated(tmp_path: Path) -> None:
    values = np.array([[0x1000, 0x2000, 0x3000]], np.uint16)
    photo, mode = inspect_photo(saved(tmp_path, Image.fromarray(values), "PNG", exif=orientation(6)))
    assert (mode, photo.size, np.asarray(photo)[:, 0, 0].tolist()) == ("I;16", (1, 3), [0x10, 0x20, 0x30])
    transparent = Image.fromarray(np.array([[(9, 255), (9, 0)]], np.uint8), "LA")
    photo, mode = inspect_photo(saved(tmp_path, transparent, "PNG", exif=orientation(8)))
    assert (mode, np.asarray(photo)[:, 0, 0].tolist()) == ("LA", [255, 9])


def test_a_text_chunk_named_exif_is_not_exif(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("exif", "Exif")
    assert (blocks_of(open_photo(saved(tmp_path, drawn(), "PNG", pnginfo=info))) == BLOCKS).all()


def test_128_megapixels_are_allowed(tmp_path: Path) -> None:
    assert reason(written(tmp_path, grey_png(16_001, 8_000, rows=0))) == "16001×8000 is over 128 megapixels"
    # Refused for the missing pixels, not for its size.
    assert reason(written(tmp_path, grey_png(16_000, 8_000, rows=0))).startswith("damaged")


def test_rows_of_millions_of_pixels_are_refused_by_the_header(tmp_path: Path) -> None:
    # Found by fuzzing: a file of 1 KB that took Pillow a minute and a half.
    assert reason(written(tmp_path, wide_webp(7_000_000))) == "7000000×16 has a side over 65535 pixels"
    assert reason(written(tmp_path, grey_png(1, 65_536, rows=65_536))) == "1×65536 has a side over 65535 pixels"
    assert open_photo(written(tmp_path, grey_png(1, 65_535, rows=65_535))).size == (1, 65_535)


def test_a_jpeg_with_too_many_scans_is_refused(tmp_path: Path) -> None:
    slow = "over 100 scans, as only a JPEG that is made to be slow has"
    assert reason(written(tmp_path, slow_jpeg(101))) == slow
    assert open_photo(written(tmp_path, slow_jpeg(100))).size == (16, 16)
    # The two bytes that begin a scan, in a thumbnail and after the end, as in a photo with a video.
    thumbnail = b"\xff\xe3" + struct.pack(">H", 2 + 2 * 200) + b"\xff\xda" * 200
    content = encode(drawn(), "JPEG", quality=95, subsampling=0)
    path = written(tmp_path, content[:2] + thumbnail + content[2:] + b"\xff\xda" * 200)
    assert abs(blocks_of(open_photo(path)).astype(int) - BLOCKS).max() <= 2
    assert reason(written(tmp_path, content[:2] + thumbnail + slow_jpeg(101)[2:])) == slow
    assert reason(written(tmp_path, content[:2] + thumbnail)) == "not a photo in a known format"


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    assert reason(tmp_path / "missing.jpg") == "no such file"
    assert reason(tmp_path) == "not a file"
    dangling, loop, pipe = tmp_path / "dangling.jpg", tmp_path / "loop.jpg", tmp_path / "pipe.jpg"
    dangling.symlink_to(tmp_path / "missing.jpg")
    loop.symlink_to(loop)
    os.mkfifo(pipe)  # reading it would block forever
    assert reason(dangling) == "no such file"
    assert reason(loop) == "damaged or unreadable (Too many levels of symbolic links)"
    assert reason(pipe) == "not a file"
    assert reason(tmp_path / "nul\0.jpg").startswith("damaged")
    good = saved(tmp_path, drawn(), "PNG")
    (tmp_path / "link.png").symlink_to(good)
    assert (blocks_of(open_photo(tmp_path / "link.png")) == BLOCKS).all()


def test_a_file_without_read_permission(tmp_path: Path) -> None:
    saved(tmp_path, drawn(), "PNG").chmod(0)
    with nobody(tmp_path):
        assert reason(Path("photo")) == "damaged or unreadable (Permission denied)"


def test_a_photo_that_disappeared_after_the_filter_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"missing\.jpg passed the filter but can't be opened now \(.*\): run `dvc repro`"
    ):
        open_checked(tmp_path / "missing.jpg")
    assert (blocks_of(open_checked(saved(tmp_path, drawn(), "PNG"))) == BLOCKS).all()


# Any bytes: a photo in RGB, or UnreadablePhoto with a reason of one line.


def small_photos() -> list[bytes]:
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8))
    exif = orientation(6)
    exif[270] = "text"
    exif.get_ifd(34665)[36867] = "2020:01:01 00:00:00"
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "x" * 40, zip=True)
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>', zip=True)
    frames = {"save_all": True, "append_images": [photo.rotate(180)]}
    return [
        encode(photo, "JPEG", exif=exif),
        encode(photo, "JPEG", progressive=True),
        encode(photo.convert("CMYK"), "JPEG"),
        encode(photo, "MPO", **frames),
        encode(photo, "PNG", exif=exif),
        encode(photo, "PNG", pnginfo=info, icc_profile=b"x" * 99),
        encode(photo.convert("P"), "PNG", transparency=3),
        encode(photo.convert("LA"), "PNG"),
        encode(photo, "PNG", **frames),
        encode(photo, "WEBP", exif=exif),
        encode(photo, "WEBP", lossless=True, **frames),
        encode(photo, "GIF", **frames),
        encode(photo, "BMP"),
        encode(photo.convert("1"), "BMP"),
        encode(photo, "TIFF", exif=exif),
        *(encode(photo, "TIFF", compression=f"tiff_{kind}") for kind in ("lzw", "adobe_deflate")),
        *(encode(photo, "TIFF", compression=kind) for kind in ("packbits", "jpeg")),
        *(encode(Image.new(mode, (13, 9)), "TIFF") for mode in ("LAB", "PA", "CMYK", "LA", "I;16", "F")),
        encode(photo.convert("1"), "TIFF", compression="group4"),
        encode(photo.convert("P"), "BMP"),
        encode(photo.convert("RGBA"), "BMP"),
        encode(photo.convert("P"), "GIF", interlace=1),
    ]


SMALL_PHOTOS = small_photos()


def sealed(content: bytearray) -> bytes:
    """With correct checksums in a PNG's chunks, so that damage reaches the decoder."""
    place = 8
    while content.startswith(b"\x89PNG") and place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(content)


@examples(400)
@given(damaged(SMALL_PHOTOS), st.booleans())
def test_any_bytes_decode_or_raise_unreadable_photo(tmp_path: Path, content: bytes, seal: bool) -> None:
    path = written(tmp_path, sealed(bytearray(content)) if seal else content)
    try:
        photo, mode = inspect_photo(path)
    except UnreadablePhoto as refused:
        text = str(refused)
    else:
        text = f"a photo of mode {mode}"
        assert photo.mode == "RGB"
        assert len(photo.tobytes()) == 3 * photo.width * photo.height
    assert 5 < len(text) < 200
    assert "\n" not in text
    assert str(tmp_path) not in text
