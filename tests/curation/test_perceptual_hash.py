"""The perceptual hash: the signs of the cosine transform, in integers, and the hashes of mirror images."""

import numpy as np
import pytest
import scipy.fft
from drawn_photos import CLASSES, draw_photo
from PIL import Image, ImageOps

from boatyard.curation import perceptual_hash as module
from boatyard.curation.perceptual_hash import phash, words


def noise(seed: int, size: tuple[int, int] = (90, 70)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def bits(text: str) -> list[int]:
    return [int(bit) for bit in f"{int(text, 16):0256b}"]


def test_the_bits_are_the_signs_of_scipys_cosine_transform() -> None:
    for seed in range(20):
        grey = noise(seed).convert("L").resize((64, 64), Image.Resampling.LANCZOS)
        spectrum = np.asarray(scipy.fft.dctn(np.asarray(grey, np.float64)))[:16, :16]
        quarters = [spectrum[::2, ::2], spectrum[::2, 1::2], spectrum[1::2, ::2], spectrum[1::2, 1::2]]
        assert bits(phash(noise(seed))) == [int(value > 0) for quarter in quarters for value in quarter.flat]


def test_the_cosines_are_the_same_integers_everywhere() -> None:
    exact = 2**14 * np.cos(np.pi / 64 * np.outer(np.arange(16), np.arange(64) + 0.5))
    # None is so close to a half that a last-bit difference of a processor's cosine could change the rounding.
    assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-6
    assert module._COSINES.sum(axis=1).tolist() == [64 * 2**14] + [0] * 15


def test_a_known_hash() -> None:
    """Computed once: a machine that computes another hash would group photos differently."""
    pixels = (np.add.outer(np.arange(90) ** 2, 7 * np.arange(120)) % 256).astype(np.uint8)
    known = "890d0e09090e71f100101f191d1e1f160f09090e0901f0f20010181e1c181f90"
    assert phash(Image.fromarray(pixels).convert("RGB")) == known


@pytest.mark.parametrize(
    ("flip", "inverted_words"),
    [(ImageOps.mirror, (1, 3)), (ImageOps.flip, (2, 3)), (lambda photo: photo.rotate(180), (1, 2))],
)
def test_mirroring_inverts_two_of_four_words(flip, inverted_words) -> None:  # type: ignore[no-untyped-def]
    for seed in range(20):
        plain, flipped = words([phash(noise(seed))])[0], words([phash(flip(noise(seed)))])[0]
        for number in range(4):
            expected = ~plain[number] if number in inverted_words else plain[number]
            assert flipped[number] == expected


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_flat_photo_has_only_the_zero_frequency(level: int) -> None:
    assert phash(Image.new("RGB", (50, 40), (level,) * 3)) == ("8" if level else "0") + "0" * 63


def test_different_photos_differ_in_about_half_of_the_bits(tmp_path) -> None:  # type: ignore[no-untyped-def]
    hashes = []
    for label in CLASSES:
        (tmp_path / label).mkdir()
        for number in range(10):
            with Image.open(draw_photo(tmp_path, label, number)) as photo:
                hashes.append(int(phash(photo.convert("RGB")), 16))
    distances = [(one ^ other).bit_count() for place, one in enumerate(hashes) for other in hashes[:place]]
    assert np.mean(distances) == pytest.approx(128, abs=12)
    assert min(distances) > 47
