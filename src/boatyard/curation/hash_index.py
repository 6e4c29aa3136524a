"""Multi-index hashing (Norouzi, Punjani and Fleet 2012): finds candidate near pairs without comparing all pairs.

The 256 bits of `phash` are divided into c parts. Two hashes at most t = c·r + a bits apart, a < c, differ in at most r
bits of one of the first a + 1 parts, or in at most r − 1 bits of one of the others: otherwise they would be more than t
bits apart. So looking up each part, unchanged and with up to r of its bits flipped, finds all near pairs and few
others. Here r is at most 1: for a part of 20 bits that is 21 look-ups; with two bits flipped it would be 211.

Mirroring a photo inverts all bits of two words (`phash`). A part's key therefore consists of what mirroring does not
change: a bit of the second or third word is XORed with the first bit of that word in the part, a bit of the fourth with
both. So one look-up finds a hash under all flips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from boatyard.curation.perceptual_hash import BITS

_WORD = 64
# What a bit of each word is XORed with to be the same under every flip: the first bits of these words in the part.
_RELATIVE_TO: tuple[tuple[int, ...], ...] = (), (1,), (2,), (1, 2)
# A part has at most 22 bits: its table then has 2²⁰ entries, few enough for a core's cache.
_LEAST_STRIDE = 12
# At most 32 parts, so that each has bits of all four words.
_MOST_PARTS = 32

# Costs in units of one pair of hashes compared in blocks (about 7 ns): computing and sorting a hash's key, a look-up, a
# candidate, and the NumPy calls for the look-ups of one change.
_SORTED, _LOOK_UP, _CANDIDATE, _CALLS = 50, 2, 3, 20_000
# Candidates relative to those of random hashes: 1 for boats and Caltech-101, 9 for solar cells.
_CORRELATION = 4


@dataclass(frozen=True)
class Part:
    """Every `stride`-th bit from bit `start` on, so that neighbouring frequencies, which are correlated, are separated.

    `radius`, 0 or 1, is the number of these bits that may differ.
    """

    start: int
    stride: int
    radius: int

    @property
    def _places(self) -> list[tuple[int, int]]:
        """The word of each bit of the part, and its position in the word."""
        return [divmod(place, _WORD) for place in range(self.start, BITS, self.stride)]

    @property
    def width(self) -> int:
        """Bits of a key: two fewer than the part's."""
        return len(self._places) - 2

    def keys(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The part of n hashes [4, n], the same under every flip: int64 [n] below 2^`width`."""
        keys = np.zeros(hashes.shape[1], np.uint64)
        first: dict[int, NDArray[np.uint64]] = {}
        used = 0
        for word, place in self._places:
            bit = (hashes[word] >> np.uint64(place)) & np.uint64(1)
            if _RELATIVE_TO[word] == (word,) and word not in first:
                first[word] = bit
                continue
            for other in _RELATIVE_TO[word]:
                bit = bit ^ first[other]
            keys |= bit << np.uint64(used)
            used += 1
        return keys.astype(np.int64)

    @cached_property
    def changes(self) -> list[int]:
        """The values to XOR a key with to look up every key within `radius` bits of the part; the first is 0."""
        if not self.radius:
            return [0]
        # A key is linear in the bits: flipping one bit changes the key by the key of that bit alone.
        alone = np.zeros((4, len(self._places)), np.uint64)
        for number, (word, place) in enumerate(self._places):
            alone[word, number] = np.uint64(1 << place)
        return [0, *np.unique(self.keys(alone)).tolist()]

    def first(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The start of each key in the sorted keys: int64 [2^`width` + 1]; the next entry is its end."""
        return np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << self.width))])


def choose_parts(left: int, right: int, pairs: int, distance: int) -> list[Part]:
    """The parts for looking up `left` hashes among `right` others; empty if comparing all `pairs` costs less."""
    least, best = float(pairs), list[Part]()
    for count in range(distance // 2 + 1, min(distance + 1, _MOST_PARTS) + 1):
        radius, rest = divmod(distance, count)
        stride = max(count, _LEAST_STRIDE)
        found = [Part(start, stride, radius if start <= rest else radius - 1) for start in range(count)]
        found = [part for part in found if part.radius >= 0]
        cost = 0.0
        for part in found:
            candidates = _CORRELATION * pairs / 2**part.width
            cost += len(part.changes) * (_CALLS + _LOOK_UP * left + _CANDIDATE * candidates) + _SORTED * right
        if cost < least:
            least, best = cost, found
    return best


def pairs_of_ranges(
    rows: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pair each of `rows` with each number in its range from `start` to `stop`, about `limit` pairs at a time."""
    length = stop - start
    ends = np.cumsum(length)
    row = 0
    while row < len(rows):
        done = ends[row] - length[row]
        end = max(row + 1, int(np.searchsorted(ends, done + limit, side="right")))
        some = length[row:end]
        offset = np.arange(ends[end - 1] - done) - np.repeat(ends[row:end] - some - done, some)
        yield np.repeat(rows[row:end], some), np.repeat(start[row:end], some) + offset
        row = end
