"""Near duplicates: photos whose perceptual hashes differ in few bits, as they are or as mirror images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from boatyard.data.phash import words

# Bits of 256 within which photos are taken for the same, where params.yaml has no say. Copies scaled to 0.35 and
# recompressed, mirrored or not, lie within it 99 times in 100; cut by 1 % at each side 50 to 97 times, by 2 % 0 to 19
# (250 photos of each of two data sets).
DISTANCE = 24

# How one photo may come out of another: left and right exchanged, top and bottom, both (half a turn).
FLIPS = ("plain", "horizontal", "vertical", "both")

# Pairs compared at a time: few enough for a core's cache.
_BLOCK = 1 << 17


def group(hashes: Sequence[str], distance: int) -> NDArray[np.int64]:
    """Group photos that are linked by pairs of hashes at most `distance` bits apart, under any of `FLIPS`.

    Every pair is compared: for 100,000 photos 40 seconds of one core and under 100 MB, whatever they are
    (`benchmarks/near_duplicates.py --hashes 100000`). An index of the hashes' parts would compare fewer, but not where
    many photos look alike, such as the frames of a film.

    Args:
        hashes: one per photo, of `phash.phash`.
        distance: bits; 0 links only equal hashes.

    Returns:
        int64 [n]: each photo's group, numbered by first appearance.
    """
    if not hashes:
        return np.empty(0, np.int64)
    unique, node = np.unique(words(hashes), axis=0, return_inverse=True)
    component = _link(unique, distance)[node.ravel()]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int64)


def _link(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The connected component of each of n hashes, [n, 4]: int64 [n]."""
    count = len(hashes)
    component = np.arange(count)
    start = 0
    while start < count:
        end = start + max(1, _BLOCK // (count - start))
        plain, *flipped = (bits <= distance for bits in _bits(hashes[start:end], hashes[start:]))
        for near in flipped:
            plain |= near
        left, right = (component[start + place] for place in np.nonzero(plain))
        news = left != right
        if news.any():
            links = coo_array((np.ones(news.sum(), bool), (left[news], right[news])), shape=(count, count))
            component = connected_components(links, directed=False)[1].astype(np.int64)[component]
        start = end
    return component


class Match(NamedTuple):
    """The photo nearest to another one: its place, how many bits lie between them, and which of `FLIPS`."""

    place: int
    bits: int
    flip: str


def nearest(hashes: Sequence[str], others: Sequence[str], distance: int) -> list[Match | None]:
    """For each of n photos the nearest of some others, or None where none is within `distance` bits under any flip.

    Of equally near ones the first, and the first flip. Every pair is compared, as in `group`.
    """
    if not hashes or not others:
        return [None] * len(hashes)
    left, right = words(hashes), words(others)
    found: list[Match | None] = []
    step = max(1, _BLOCK // len(right))
    for start in range(0, len(left), step):
        bits = np.stack(_bits(left[start : start + step], right), axis=2)  # [photos, others, flips]
        flat = bits.reshape(len(bits), -1)
        for row, cell in zip(flat, flat.argmin(axis=1), strict=True):
            place, flip = divmod(int(cell), len(FLIPS))
            found.append(Match(place, int(row[cell]), FLIPS[flip]) if row[cell] <= distance else None)
    return found


def _bits(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> list[NDArray[np.int16]]:
    """Bits between each of n hashes and each of m, int16 [n, m], under each of `FLIPS`.

    The words hold frequencies that are even or odd down and across (see `phash`); a flip turns all bits of two of them.
    """
    a, b, c, d = (
        np.bitwise_count(mine[:, None] ^ theirs[None]).astype(np.int16)
        for mine, theirs in zip(np.ascontiguousarray(left.T), np.ascontiguousarray(right.T), strict=True)
    )
    return [a + b + c + d, 128 + a - b + c - d, 128 + a + b - c - d, 128 + a - b - c + d]
