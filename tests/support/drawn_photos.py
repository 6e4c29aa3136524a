"""A small folder of labelled photos, drawn: three classes that a network can tell apart, and every kind of odd file.

The same arguments give the same pixels. Names, sizes, formats and modes vary as they do in folders that people keep.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

CLASSES = ("discs", "squares", "stripes")
RARE = "crosses"
RARE_IMAGES = 3
_COLOURS = {"discs": (230, 60, 50), "squares": (50, 90, 230), "stripes": (40, 180, 70), "crosses": (240, 220, 60)}
_EXIF_ORIENTATION = 274


@dataclass(frozen=True)
class DrawnSet:
    """What `draw` put into the folder, as paths relative to it ("<class>/<file>")."""

    per_class: int  # photos of each of CLASSES that are sound, single and under one label
    unreadable: str
    duplicate: str  # the same bytes as `original`, in the same class
    original: str
    two_labels: tuple[str, str]  # the same bytes in two classes
    near_duplicates: tuple[str, str]  # one a slightly darker JPEG of the other
    rare: tuple[str, ...]

    @property
    def images(self) -> int:
        """All files."""
        return self.per_class * len(CLASSES) + 4 + len(self.rare)


def draw(folder: Path, per_class: int = 24) -> DrawnSet:
    """Draw the whole set into `folder`, a folder per class; `per_class` ≥ 8, for every oddity."""
    for label in (*CLASSES, RARE):
        (folder / label).mkdir(parents=True, exist_ok=True)
    for label in CLASSES:
        # One place in each class is left for a photo that is copied, or changed, from another of its class below.
        for number in range(per_class - (label == "stripes")):
            draw_photo(folder, label, number)
    for number in range(RARE_IMAGES):
        draw_photo(folder, RARE, number)

    whole = _encode(_pixels("discs", 900), "PNG")
    (folder / "discs/cut off.png").write_bytes(whole[: len(whole) // 2])
    original = folder / name_of("squares", 0)
    (folder / "squares/zz_copy.png").write_bytes(original.read_bytes())
    both = _encode(_pixels("squares", 901), "PNG")
    for label in ("discs", "squares"):
        (folder / label / "both.png").write_bytes(both)
    with Image.open(folder / name_of("stripes", 0)) as photo:
        darker = photo.convert("RGB").point(lambda value: round(value * 0.95))
    (folder / "stripes/zz_darker.jpg").write_bytes(_encode(darker, "JPEG"))
    return DrawnSet(
        per_class=per_class,
        unreadable="discs/cut off.png",
        duplicate="squares/zz_copy.png",
        original=name_of("squares", 0),
        two_labels=("discs/both.png", "squares/both.png"),
        near_duplicates=(name_of("stripes", 0), "stripes/zz_darker.jpg"),
        rare=tuple(name_of(RARE, number) for number in range(RARE_IMAGES)),
    )


def name_of(label: str, number: int) -> str:
    """The file that `draw_photo` writes, relative to the folder: its suffix and spelling go by the number."""
    stem = {4: f"Foto {number:02d} größer", 5: f"{label}, {number:02d}"}.get(number, f"{label}_{number:02d}")
    suffix = {1: ".jpg", 2: ".JPG", 3: ".jpeg"}.get(number, ".png")
    return f"{label}/{stem}{suffix}"


def draw_photo(folder: Path, label: str, number: int) -> Path:
    """Draw one photo; numbers 2, 6 and 7 are EXIF-rotated, grey and half transparent."""
    path = folder / name_of(label, number)
    photo = _pixels(label, number)
    exif = Image.Exif()
    if number == 2:
        # Stored lying on its side; the tag says to turn it by 90 degrees clockwise.
        photo = photo.transpose(Image.Transpose.ROTATE_90)
        exif[_EXIF_ORIENTATION] = 6
    elif number == 6:
        photo = ImageOps.grayscale(photo)
    elif number == 7:
        photo.putalpha(200)
    path.write_bytes(_encode(photo, "PNG" if path.suffix == ".png" else "JPEG", exif))
    return path


def _pixels(label: str, number: int) -> Image.Image:
    """A shape of its class's colour, somewhere on a cloudy ground; no two are near duplicates."""
    generator = np.random.default_rng([sorted(_COLOURS).index(label), number])
    width, height = (int(side) for side in generator.integers(72, 112, size=2))
    clouds = Image.fromarray(generator.integers(85, 135, size=(7, 7, 3), dtype=np.uint8))
    photo = clouds.resize((width, height), Image.Resampling.BICUBIC)
    brush = ImageDraw.Draw(photo)
    colour = tuple(int(np.clip(part + generator.integers(-25, 26), 0, 255)) for part in _COLOURS[label])
    size = int(generator.integers(34, 46))
    left = int(generator.integers(12, width - size - 12))
    top = int(generator.integers(12, height - size - 12))
    box = (left, top, left + size, top + size)
    if label == "discs":
        brush.ellipse(box, fill=colour)
    elif label == "squares":
        brush.rectangle(box, fill=colour)
    elif label == "stripes":
        for offset in range(0, size, 10):
            brush.rectangle((left, top + offset, left + size, top + offset + 4), fill=colour)
    else:
        brush.line((left, top, left + size, top + size), fill=colour, width=8)
        brush.line((left, top + size, left + size, top), fill=colour, width=8)
    return photo


def _encode(photo: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, kind, exif=exif or Image.Exif(), **({"quality": 92} if kind == "JPEG" else {}))
    return buffer.getvalue()
